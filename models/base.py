"""What all business tables share."""

from collections.abc import Iterable
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The business tables of this application."""


def new_id() -> str:
    """An id for a record of ours."""
    return str(uuid4())


def one_of(column: str, values: Iterable[StrEnum], *, name: str) -> CheckConstraint:
    """A CHECK that the column holds one of the values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name)
