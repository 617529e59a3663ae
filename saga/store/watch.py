"""What recovery writes: dispatched, put off, looked at again, noted; and its own pulse."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.moves import Effects
from saga.row import Row
from saga.store.transition import UNCLAIM, WAKE, Record, move, transition, writes

_DISPATCH = transition(
    f"{UNCLAIM}, dispatches = dispatches + 1, epoch = epoch + %(raise_epoch)s, "
    "effects = effects || %(effects)s::jsonb, overdue = overdue OR %(overdue)s, "
    "call_ended_at = GREATEST(%(call_ended_at)s, call_ended_at), not_before = NULL, "
    "error_message = coalesce(%(error)s, error_message), retry_count = attempt, "
    f"wake_at = {WAKE}"
)


@writes
def dispatch(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    patience: timedelta,
    effects: Effects,
    overdue: bool,
    raise_epoch: int,
    call_ended_at: datetime | None,
    error: str | None,
) -> Row | None:
    """Write down that the saga is about to be published, before it is."""
    return move(
        connection,
        _DISPATCH,
        row,
        record,
        patience=patience,
        effects=json.dumps(effects),
        overdue=overdue,
        raise_epoch=raise_epoch,
        call_ended_at=call_ended_at,
        error=error,
    )


_POSTPONE = """
UPDATE saga_state SET wake_at = clock_timestamp() + %(after)s
WHERE saga_id = %(saga_id)s AND version = %(at_version)s AND wake_at <= clock_timestamp()"""


@writes
def postpone(connection: Connection, row: Row, *, after: timedelta) -> bool:
    """Look at the saga later; nothing happened, so no event is written."""
    params = {"saga_id": str(row.saga_id), "at_version": row.version, "after": after}
    return connection.exec_driver_sql(_POSTPONE, params).rowcount == 1


_PUT_OFF = """
UPDATE saga_state SET wake_at = clock_timestamp() + %(after)s
WHERE saga_id = %(saga_id)s AND wake_at <= clock_timestamp()"""


@writes
def put_off(connection: Connection, saga_id: UUID, *, after: timedelta) -> bool:
    """Look later at a saga that cannot even be read, so that it does not stand before others."""
    params = {"saga_id": str(saga_id), "after": after}
    return connection.exec_driver_sql(_PUT_OFF, params).rowcount == 1


_MISS_DEFINITION = transition(
    "unknown_since = coalesce(unknown_since, clock_timestamp()), "
    "wake_at = clock_timestamp() + %(again)s"
)


@writes
def miss_definition(
    connection: Connection, row: Row, record: Record, *, again: timedelta
) -> Row | None:
    """Nobody here knows the saga's type, version or step: leave it, and look again."""
    return move(connection, _MISS_DEFINITION, row, record, again=again)


_NEXT_LOOK = "GREATEST(completed_at + %(next_look)s, clock_timestamp())"

# A doubled message of this look must not pass for the next one, long before its time.
_LOOK_AGAIN = transition(
    f"{UNCLAIM}, attempt = 0, looks = looks + 1, dispatches = 0, "
    f"not_before = {_NEXT_LOOK}, wake_at = {_NEXT_LOOK}"
)


@writes
def look_again(
    connection: Connection, row: Row, record: Record, *, next_look: timedelta | None
) -> Row | None:
    """A second look found nothing. ``next_look`` counts from when the saga came to rest."""
    sql = _LOOK_AGAIN if next_look is not None else _LOOKED_ENOUGH
    return move(connection, sql, row, record, next_look=next_look)


_LOOKED_ENOUGH = transition(
    f"{UNCLAIM}, attempt = 0, looks = looks + 1, not_before = NULL, waiting_for = NULL, "
    "wake_at = NULL"
)


_NOTE = transition("effects = effects || %(effects)s::jsonb")


@writes
def note(connection: Connection, row: Row, record: Record, *, effects: Effects) -> Row | None:
    """Write down what came to light, and move nothing else."""
    return move(connection, _NOTE, row, record, effects=json.dumps(effects))


_PULSE = """
INSERT INTO saga_pulse (name, at, detail) VALUES (%(name)s, clock_timestamp(), %(detail)s::jsonb)
ON CONFLICT (name) DO UPDATE SET at = excluded.at, detail = excluded.detail"""


@writes
def beat(connection: Connection, name: str, detail: Mapping[str, Any]) -> None:
    """Show that ``name`` is alive."""
    connection.exec_driver_sql(_PULSE, {"name": name, "detail": json.dumps(detail)})
