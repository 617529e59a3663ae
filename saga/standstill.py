"""Which sagas a pause of their type or step has stopped, to be read when it has ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.row import CAME_THERE, COLUMNS, PAUSE, Row


@dataclass(frozen=True, kw_only=True)
class EndedPause:
    """A pause that was ended, and some of whose sagas may not go on yet."""

    number: int
    saga_type: str
    step: str | None
    at: datetime
    resumed_at: datetime
    resumed_by: str
    resume_reason: str
    is_settling: bool


def ended_pauses(connection: Connection, *, settling: timedelta) -> list[EndedPause]:
    """Pauses to lift. Those ended less than ``settling`` ago may still be met by a latecomer."""
    sql = (
        "SELECT id AS number, saga_type, step, at, resumed_at, resumed_by, resume_reason, "
        "resumed_at > clock_timestamp() - %(settling)s AS is_settling "
        "FROM saga_pause WHERE resumed_at IS NOT NULL AND lifted_at IS NULL ORDER BY id"
    )
    found = connection.exec_driver_sql(sql, {"settling": settling}).mappings()
    return [EndedPause(**pause) for pause in found]


_ITS_EVENTS = "SELECT {} FROM saga_event AS e WHERE e.saga_id = saga_state.saga_id AND "

# Where no message and no recovery met the pause, only the events tell that the clock stood: the
# saga was there when the pause ended, and nobody gave it that time back. A signal may have moved
# it on since; then its next event names the step where it stood.
_STOOD_UNMET = (
    "paused IS NULL AND started_at < %(resumed_at)s AND NOT EXISTS ("
    f"{_ITS_EVENTS.format('')} e.kind = 'resumed' AND e.at >= %(resumed_at)s) "
    "AND (%(step)s::text IS NULL OR %(step)s = coalesce(("
    f"{_ITS_EVENTS.format('e.step')} e.at >= %(resumed_at)s ORDER BY e.seq LIMIT 1), current_step))"
)
_STANDS = "paused IN ('type', 'step') AND (%(step)s::text IS NULL OR current_step = %(step)s)"
_PAUSED_STILL = (
    "SELECT FROM saga_pause AS p WHERE p.saga_type = saga_state.saga_type "
    "AND p.resumed_at IS NULL AND (p.step IS NULL OR p.step = current_step)"
)
_STOOD_STILL = (
    "completed_at IS NULL AND saga_type = %(saga_type)s "
    f"AND status IN ('RUNNING', 'COMPENSATING') AND (({_STANDS}) OR ({_STOOD_UNMET})) "
    f"AND NOT EXISTS ({_PAUSED_STILL})"
)
_STOOD_SINCE = CAME_THERE.removesuffix(")") + " AND e.at < %(resumed_at)s)"


def stood_still(connection: Connection, pause: EndedPause, *, most: int) -> list[UUID]:
    """Sagas whose clock stands, or stood, for an ended pause; the longest ones first."""
    sql = (
        f"SELECT saga_id FROM saga_state WHERE {_STOOD_STILL} "  # noqa: S608
        "ORDER BY created_at LIMIT %(most)s"
    )
    return list(connection.exec_driver_sql(sql, {**_of(pause), "most": most}).scalars())


def lock_stood_still(
    connection: Connection, pause: EndedPause, saga_id: UUID
) -> tuple[Row, timedelta] | None:
    """The row, locked, if it still stands for that pause and nobody else has it.

    And for how long its clock stood, where the row itself does not know: from when it came to
    where the pause found it, or the pause to it.
    """
    sql = (
        f"SELECT {COLUMNS}, clock_timestamp() AS now, {PAUSE}, {_STOOD_SINCE} AS stood_since "  # noqa: S608
        f"FROM saga_state WHERE saga_id = %(saga_id)s AND {_STOOD_STILL} FOR UPDATE SKIP LOCKED"
    )
    params = {**_of(pause), "saga_id": str(saga_id)}
    found = connection.exec_driver_sql(sql, params).mappings().one_or_none()
    if found is None:
        return None
    since = max(pause.at, found["stood_since"] or pause.at)
    return Row.read(found), max(pause.resumed_at - since, timedelta(0))


def _of(pause: EndedPause) -> dict[str, Any]:
    return {
        "saga_type": pause.saga_type,
        "step": pause.step,
        "resumed_at": pause.resumed_at,
    }
