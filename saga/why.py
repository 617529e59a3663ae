"""Where a saga stands and what would happen next, in plain words."""

from typing import Any

from saga.definition import Saga
from saga.row import Row


def why(saga: Saga[Any] | None, row: Row) -> str:  # noqa: ARG001
    """Tell where the saga stands and what comes next. ``saga`` is None for an unknown one."""
    return f"{row.status} at {row.step}"
