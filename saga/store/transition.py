"""What every transition shares: it names what it expects, and writes its event with it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from saga.crashpoints import reach
from saga.row import COLUMNS, Row

# Waking no later than the saga's time ends makes recovery see the end of it. Once it has passed,
# only patience counts.
WAKE = (
    "LEAST(clock_timestamp() + %(patience)s, "
    "CASE WHEN timeout_at > clock_timestamp() THEN timeout_at END)"
)

# The same for a wait that is known; what the end of the saga's time does not stop waits it out.
WAKE_AFTER = (
    "LEAST(clock_timestamp() + %(wake)s, "
    "CASE WHEN %(time_ends)s AND timeout_at > clock_timestamp() THEN timeout_at END)"
)

# A call that was lost may last longer than those that came after it.
CALL_ENDED = "call_ended_at = GREATEST(call_ended_at, clock_timestamp())"

# Whoever moves a saga on knows its definition.
UNCLAIM = "claimed_by = NULL, claim_deadline = NULL, unknown_since = NULL"

UNPAUSE = "paused = NULL, paused_at = NULL"

# The pause of a step, or of a type, is met anew at the next step.
KEEP_OWN_PAUSE = (
    "paused = CASE WHEN paused = 'saga' THEN paused END, "
    "paused_at = CASE WHEN paused = 'saga' THEN paused_at END"
)

NEXT_ATTEMPTS = (
    "attempt = 0, retry_count = 0, not_before = NULL, waiting_for = NULL, signal = NULL, polls = 0"
)


P = ParamSpec("P")
T = TypeVar("T")


def writes(statement: Callable[P, T]) -> Callable[P, T]:
    """A statement that writes: each is a point where a test lets the process die."""

    @wraps(statement)
    def write(*args: P.args, **kwargs: P.kwargs) -> T:
        written = statement(*args, **kwargs)
        reach(f"wrote {statement.__name__}")
        return written

    return write


EVENT = """
    INSERT INTO saga_event
        (saga_id, seq, at, kind, step, attempt, epoch, task_id, worker, duration, actor, detail)
    SELECT saga_id, version, updated_at, %(kind)s, %(event_step)s, %(event_attempt)s, epoch,
           %(task_id)s, %(worker)s, %(duration)s, %(actor)s, %(detail)s::jsonb
    FROM moved"""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an event says besides the transition: what it was, who did it, and how long it took."""

    kind: str
    task_id: str | None = None
    worker: str | None = None
    actor: str | None = None
    duration: timedelta | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def params(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "task_id": self.task_id,
            "worker": self.worker,
            "actor": self.actor,
            "duration": self.duration,
            "detail": json.dumps(self.detail),
        }


def transition(sets: str) -> str:
    return f"""
WITH moved AS (
    UPDATE saga_state
    SET version = version + 1, updated_at = clock_timestamp(), {sets}
    WHERE saga_id = %(saga_id)s AND version = %(at_version)s AND epoch = %(at_epoch)s
      AND claimed_by IS NOT DISTINCT FROM %(at_claim)s::uuid
    RETURNING {COLUMNS}
), noted AS ({EVENT}
)
SELECT {COLUMNS}, clock_timestamp() AS now FROM moved"""  # noqa: S608 - only our own constants


def move(
    connection: Connection, statement: str, row: Row, record: Record, **params: Any
) -> Row | None:
    found = connection.exec_driver_sql(
        statement,
        {
            "saga_id": str(row.saga_id),
            "at_version": row.version,
            "at_epoch": row.epoch,
            "at_claim": str(row.claimed_by) if row.claimed_by else None,
            "event_step": row.step,
            "event_attempt": row.attempt,
            **record.params(),
            **params,
        },
    ).mappings()
    moved = found.one_or_none()
    return None if moved is None else Row.read(moved)
