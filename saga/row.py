"""One row of ``saga_state`` in Python's types."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import RowMapping

from saga.position import Position, Status, StopReason, WaitingFor
from saga.task import Effect

COLUMNS = (
    "saga_id, saga_type, definition_version, current_step, step_index, state, effects, status, "
    "error_message, retry_count, max_retries, attempt, version, epoch, dispatches, claimed_by, "
    "claim_deadline, call_ended_at, wake_at, not_before, waiting_for, stop_reason, look_at, looks, "
    "overdue, unknown_since, business_key, timeout_at, started_at, completed_at, created_at"
)

_NAMES = (*COLUMNS.split(", "), "now")


@dataclass(frozen=True, kw_only=True)
class Row(Position):
    """A saga as the database has it, read with the database's time (``now``).

    All instants are aware. ``state`` is the JSON of the saga's state model.
    """

    saga_id: UUID
    saga_type: str
    definition_version: int
    epoch: int
    version: int
    state: Mapping[str, Any]
    step_index: int
    dispatches: int
    retry_count: int
    max_retries: int
    claimed_by: UUID | None
    claim_deadline: datetime | None
    wake_at: datetime | None
    not_before: datetime | None
    look_at: str | None
    unknown_since: datetime | None
    business_key: str | None
    error_message: str | None
    started_at: datetime
    completed_at: datetime | None
    created_at: datetime

    @classmethod
    def read(cls, found: RowMapping) -> Self:
        """The row of a result that selected COLUMNS and ``clock_timestamp() AS now``."""
        values: dict[str, Any] = {name: found[name] for name in _NAMES}
        waiting_for, stop_reason = values.pop("waiting_for"), values.pop("stop_reason")
        return cls(
            status=Status(values.pop("status")),
            step=values.pop("current_step"),
            effects={step: Effect(effect) for step, effect in values.pop("effects").items()},
            claimed=values["claimed_by"] is not None,
            waiting_for=WaitingFor(waiting_for) if waiting_for else None,
            stop_reason=StopReason(stop_reason) if stop_reason else None,
            **values,
        )
