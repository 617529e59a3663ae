"""A producer's input as the command line takes it: JSON, or a file of JSON lines."""

import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from saga.cli.errors import UsageError

_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")

M = TypeVar("M", bound=BaseModel)

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
    "string_type": "must be text",
    "string_too_short": "must not be shorter than {min_length}",
    "string_too_long": "must not be longer than {max_length}",
    "value_error": "{error}",
}


def read(model: type[M], text: str) -> M:
    """Read one input. Raises UsageError that names every field that is wrong."""
    try:
        # Money keeps every digit that was written.
        values = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the input is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError("the input must be a JSON object")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(faults(error))) from error


def faults(error: ValidationError) -> Iterator[str]:
    """Say what is wrong, field by field: ``amount: must be at least 0.01``."""
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"])
        said = _PLAIN.get(fault["type"])
        plain = said.format(**fault.get("ctx", {})) if said else fault["msg"]
        plain = _DECIMAL.sub(r"\1", plain)
        yield f"{field}: {plain}" if field else plain


def lines(file: str) -> Iterator[tuple[int, str]]:
    """Give the lines of a file (``-``: standard input) with their numbers; blank ones are left out.

    Raises UsageError where the file cannot be read.
    """
    try:
        with sys.stdin if file == "-" else Path(file).open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def about_field(error: Exception) -> str:
    """Say an error with the field that it is about, where it has one."""
    field, said = getattr(error, "field", None), str(error)
    return f"{field}: {said}" if field and not said.startswith(field) else said
