"""A producer's input as the command line takes it: JSON, or a file of JSON lines."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from saga.cli.errors import UsageError
from saga.inputs import exact_json, plain_fault

M = TypeVar("M", bound=BaseModel)


def read(model: type[M], text: str | bytes) -> M:
    """Read one input, in UTF-8. Raises UsageError that names every field that is wrong."""
    values = json_object("the input", text)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(faults(error))) from error


def json_object(what: str, text: str | bytes) -> dict[str, Any]:
    """Read a JSON object in UTF-8, numbers as they are written. Raises UsageError."""
    try:
        values = exact_json(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{what} must be a JSON object")
    return values


def faults(error: ValidationError) -> Iterator[str]:
    """Say what is wrong, field by field: ``amount: must be at least 0.01``."""
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"])
        plain = plain_fault(fault)
        yield f"{field}: {plain}" if field else plain


def lines(file: str) -> Iterator[tuple[int, bytes]]:
    """Give the lines of a file (``-``: standard input) with their numbers; blank ones are left out.

    As bytes, so that a line that is not in UTF-8 stands alone in being wrong. Raises UsageError
    where the file cannot be read.
    """
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def count_lines(file: str) -> int | None:
    """How many ``lines`` the file has; None where that takes reading what comes only once."""
    return sum(1 for _ in lines(file)) if Path(file).is_file() else None


def about_field(error: Exception) -> str:
    """Say an error with the field that it is about, where it has one."""
    field, said = getattr(error, "field", None), str(error)
    return f"{field}: {said}" if field and not said.startswith(field) else said
