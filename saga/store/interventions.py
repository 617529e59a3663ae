"""What operators do to a saga: told to stop, reopened, paused, resumed."""

import json
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Connection

from saga.moves import Effects
from saga.position import Paused, Status, StopReason
from saga.row import CAME_THERE, Row
from saga.store.transition import (
    NEXT_ATTEMPTS,
    UNCLAIM,
    UNPAUSE,
    Record,
    move,
    transition,
    writes,
)

_STOP = transition("stop_reason = %(reason)s")


@writes
def stop(connection: Connection, row: Row, record: Record, *, reason: StopReason) -> Row | None:
    """Write down why to stop; whoever has the claim obeys it when it settles."""
    return move(connection, _STOP, row, record, reason=reason)


_REOPEN = transition(
    f"{UNCLAIM}, {NEXT_ATTEMPTS}, status = %(status)s, failed_from = NULL, "
    "stop_reason = %(reason)s, effects = effects || %(effects)s::jsonb, "
    "generations = generations || %(generations)s::jsonb, max_retries = %(max_retries)s, "
    "holds_key = true, epoch = epoch + 1, dispatches = 1, overdue = false, "
    "timeout_at = clock_timestamp() + %(timeout)s, wake_at = clock_timestamp() + %(patience)s"
)


@writes
def reopen(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    status: Status,
    reason: StopReason | None,
    effects: Effects,
    generations: Mapping[str, int],
    max_retries: int,
    timeout: timedelta,
    patience: timedelta,
) -> Row | None:
    """A FAILED saga goes on where it stood, with fresh attempts and ``timeout`` from now.

    Raises IntegrityError when another saga holds its business key by now.
    """
    return move(
        connection,
        _REOPEN,
        row,
        record,
        status=status,
        reason=reason,
        effects=json.dumps(effects),
        generations=json.dumps(generations),
        max_retries=max_retries,
        timeout=timeout,
        patience=patience,
    )


# The clock of what is paused with its type stood still since then, or since it came here.
_PAUSED_AT = (
    "coalesce(paused_at, ("  # noqa: S608 - only our own constants
    f"SELECT CASE WHEN count(*) > 0 THEN GREATEST(min(p.at), {CAME_THERE}) END "
    "FROM saga_pause AS p WHERE p.saga_type = saga_state.saga_type AND p.resumed_at IS NULL "
    "AND (p.step IS NULL OR p.step = saga_state.current_step)), clock_timestamp())"
)
_PAUSE = transition(
    f"paused = %(what)s, paused_at = {_PAUSED_AT}, "
    "wake_at = CASE WHEN claimed_by IS NOT NULL THEN wake_at END"
)


@writes
def pause(connection: Connection, row: Row, record: Record, *, what: Paused) -> Row | None:
    """Stop the saga's clock; a claim that is alive stays, and settles."""
    return move(connection, _PAUSE, row, record, what=what)


_SIT = """
UPDATE saga_state SET wake_at = NULL
WHERE saga_id = %(saga_id)s AND version = %(at_version)s AND paused IS NOT NULL
  AND claimed_by IS NULL"""


@writes
def sit(connection: Connection, row: Row) -> bool:
    """A paused saga whose call has settled: nothing wakes it any more but its resumption."""
    params = {"saga_id": str(row.saga_id), "at_version": row.version}
    return connection.exec_driver_sql(_SIT, params).rowcount == 1


_STOOD = "(clock_timestamp() - coalesce(paused_at, clock_timestamp() - %(stood)s))"
_RESUME = transition(
    f"{UNPAUSE}, timeout_at = timeout_at + {_STOOD}, "
    f"not_before = not_before + CASE WHEN waiting_for = 'signal' THEN {_STOOD} ELSE '0' END, "
    "dispatches = %(dispatches)s, wake_at = CASE WHEN claimed_by IS NOT NULL THEN wake_at "
    "WHEN %(waits)s THEN LEAST("
    f"not_before + CASE WHEN waiting_for = 'signal' THEN {_STOOD} ELSE '0' END, "
    f"CASE WHEN timeout_at + {_STOOD} > clock_timestamp() THEN timeout_at + {_STOOD} END) "
    "ELSE clock_timestamp() + %(patience)s END"
)


@writes
def resume(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    stood: timedelta,
    waits: bool,
    dispatches: int,
    patience: timedelta,
) -> Row | None:
    """Let the clock go on. ``stood``: how long it stood, where the row does not know.

    ``waits``: a wait of its own is not over yet; else the caller publishes it.
    """
    return move(
        connection,
        _RESUME,
        row,
        record,
        stood=stood,
        waits=waits,
        dispatches=dispatches,
        patience=patience,
    )
