"""One row of ``saga_state`` in Python's types."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import RowMapping

from saga.position import Paused, Position, Status, StopReason, WaitingFor
from saga.task import Effect, IdempotencyKey

COLUMNS = (
    "saga_id, saga_type, definition_version, current_step, step_index, state, effects, status, "
    "error_message, retry_count, max_retries, attempt, version, epoch, dispatches, claimed_by, "
    "claim_deadline, call_ended_at, wake_at, not_before, waiting_for, stop_reason, look_at, looks, "
    "overdue, unknown_since, business_key, timeout_at, started_at, completed_at, created_at, "
    "updated_at, signal, polls, generations, paused, paused_at, failed_from"
)

# Whether the saga's type, or the step where it stands, is paused now.
PAUSE = """(
    SELECT CASE WHEN p.step IS NULL THEN 'type' ELSE 'step' END FROM saga_pause AS p
    WHERE p.saga_type = saga_state.saga_type AND p.resumed_at IS NULL
      AND (p.step IS NULL OR p.step = saga_state.current_step)
    ORDER BY p.step NULLS FIRST LIMIT 1) AS pause"""

# Since when the saga stands where it stands: what only tells of it has not moved it.
CAME_THERE = """(
    SELECT max(e.at) FROM saga_event AS e WHERE e.saga_id = saga_state.saga_id
      AND e.kind NOT IN
        ('signal_received', 'late_success', 'stopping', 'paused', 'resumed', 'progress'))"""

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
    generations: Mapping[str, int]
    look_at: str | None
    unknown_since: datetime | None
    business_key: str | None
    error_message: str | None
    started_at: datetime
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def read(cls, found: RowMapping) -> Self:
        """The row of a result that selected COLUMNS, ``clock_timestamp() AS now``, maybe PAUSE."""
        pause = found.get("pause")
        values: dict[str, Any] = {name: found[name] for name in _NAMES}
        waiting_for, stop_reason = values.pop("waiting_for"), values.pop("stop_reason")
        paused, failed_from = values.pop("paused"), values.pop("failed_from")
        return cls(
            status=Status(values.pop("status")),
            step=values.pop("current_step"),
            effects={step: Effect(effect) for step, effect in values.pop("effects").items()},
            claimed=values["claimed_by"] is not None,
            waiting_for=WaitingFor(waiting_for) if waiting_for else None,
            stop_reason=StopReason(stop_reason) if stop_reason else None,
            paused=Paused(paused) if paused else None,
            failed_from=Status(failed_from) if failed_from else None,
            pause=Paused(pause) if pause else None,
            **values,
        )

    def stands_as(self, before: Self) -> bool:
        """Whether nobody tried or published its step since; signals and pauses may have come."""
        mine = (self.epoch, self.step, self.attempt, self.dispatches)
        return mine == (before.epoch, before.step, before.attempt, before.dispatches)

    @property
    def key(self) -> IdempotencyKey:
        """The idempotency key of the step where the saga stands."""
        return self.key_of(self.step)

    def step_of(self, key: str, steps: Iterable[str]) -> str | None:
        """Which of these steps the key is of, in the generation used now or an earlier one."""
        for step in steps:
            for generation in range(1, self.generations.get(step, 1) + 1):
                if key == IdempotencyKey.of(self.saga_id, step, generation=generation):
                    return step
        return None

    def key_of(self, step: str) -> IdempotencyKey:
        """The idempotency key of a step, in the generation that is used now."""
        return IdempotencyKey.of(self.saga_id, step, generation=self.generations.get(step, 1))
