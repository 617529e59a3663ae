"""JSON that producers send: its numbers as they were written, its faults in plain words."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# Python refuses to read longer whole numbers, and none of ours is as long.
_LONGEST_INTEGER = 20
# Pydantic puts a decimal limit into its messages as Python would write it.
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")

_PLAIN = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_parsing": "must be a number",
    "decimal_type": "must be a number",
    "finite_number": "must be a finite number",
    "int_parsing": "must be a whole number",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "string_too_short": "must not be shorter than {min_length}",
    "string_too_long": "must not be longer than {max_length}",
    "value_error": "{error}",
}


def exact_json(text: str | bytes) -> Any:
    """Read JSON with 0.1 as the decimal 0.1, not as the binary float beside it.

    Raises ValueError or RecursionError for what cannot be read.
    """
    return json.loads(text, parse_float=Decimal, parse_constant=Decimal, parse_int=_whole_number)


def plain_fault(fault: Mapping[str, Any]) -> str:
    """Say one of pydantic's errors without its field: ``must be at least 0.01``."""
    said = _PLAIN.get(fault["type"])
    if said is None:
        return str(fault["msg"]).replace("Input should", "should")
    return _DECIMAL.sub(r"\1", said.format(**fault.get("ctx", {})))


def is_storable(values: Any) -> bool:
    """Whether PostgreSQL takes these JSON values: no U+0000, lone surrogates, NaN or infinity."""
    match values:
        case float():
            return math.isfinite(values)
        case str():
            return "\0" not in values and values.encode(errors="replace").decode() == values
        case Mapping():
            return all(is_storable(part) for pair in values.items() for part in pair)
        case list() | tuple():
            return all(is_storable(part) for part in values)
    return True


def _whole_number(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else Decimal(digits)
