"""A saga that waits at no cost: for a time, for a signal, and what a signal brings."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.moves import Effects
from saga.position import StopReason, WaitingFor
from saga.row import Row
from saga.store.transition import UNCLAIM, WAKE, Record, move, transition, writes

# The end of the saga's time wakes it too: then it stops, or its alarm is raised.
_WAIT = transition(
    f"{UNCLAIM}, attempt = 0, retry_count = 0, dispatches = 0, waiting_for = %(what)s, "
    "signal = %(signal)s, polls = polls + %(polls)s, stop_reason = %(reason)s, "
    "error_message = NULL, "
    "effects = effects || %(effects)s::jsonb, call_ended_at = CASE WHEN %(called)s "
    "THEN GREATEST(call_ended_at, clock_timestamp()) ELSE call_ended_at END, "
    "not_before = clock_timestamp() + %(after)s, wake_at = LEAST(clock_timestamp() + %(after)s, "
    "CASE WHEN timeout_at > clock_timestamp() THEN timeout_at END)"
)


@writes
def wait(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    what: WaitingFor,
    signal: str | None,
    reason: StopReason | None,
    effects: Effects,
    after: timedelta,
    called: bool,
) -> Row | None:
    """Park for ``after`` at most, and give all attempts back.

    ``called``: it was a call to another system, which ended just now. ``reason`` is why to stop
    once what is waited for lets it; None clears it.
    """
    return move(
        connection,
        _WAIT,
        row,
        record,
        what=what,
        signal=signal,
        reason=reason,
        polls=int(what is WaitingFor.POLL),
        effects=json.dumps(effects),
        after=after,
        called=called,
    )


_WAIT_ON = transition("overdue = true, wake_at = coalesce(not_before, wake_at)")


@writes
def wait_on(connection: Connection, row: Row, record: Record) -> Row | None:
    """The saga's time is over, which does not end its wait."""
    return move(connection, _WAIT_ON, row, record)


# A worker may still have to record what its transaction said before the signal came: that the
# step waits. A call has a claim for that.
_TAKE_IN = transition(
    "state = %(state)s::jsonb, attempt = 0, retry_count = 0, signal = NULL, not_before = NULL, "
    "waiting_for = CASE WHEN %(accepted)s THEN 'poll' END, dispatches = 1, "
    "epoch = epoch + CASE WHEN %(accepted)s THEN 0 ELSE 1 END, "
    f"wake_at = CASE WHEN paused IS NULL THEN {WAKE} END"
)


@writes
def take_in(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    state: Mapping[str, Any],
    accepted: bool,
    patience: timedelta,
) -> Row | None:
    """A signal ended the wait: stand at the step again. The caller publishes it.

    Not ``accepted``: it is a transaction's, and what was published before acts no more.
    """
    return move(
        connection,
        _TAKE_IN,
        row,
        record,
        state=json.dumps(state),
        accepted=accepted,
        patience=patience,
    )


_KEEP_SIGNAL = """
INSERT INTO saga_signal (saga_id, name, signal_id, payload, actor, received_at)
VALUES (%(saga_id)s, %(name)s, %(signal_id)s, %(payload)s::jsonb, %(actor)s, clock_timestamp())
ON CONFLICT DO NOTHING"""


@writes
def keep_signal(
    connection: Connection,
    saga_id: UUID,
    *,
    name: str,
    signal_id: str,
    payload: Mapping[str, Any],
    actor: str | None,
) -> bool:
    """Write down a signal that came. False: one with this id came before."""
    params = {
        "saga_id": str(saga_id),
        "name": name,
        "signal_id": signal_id,
        "payload": json.dumps(payload),
        "actor": actor,
    }
    return connection.exec_driver_sql(_KEEP_SIGNAL, params).rowcount == 1


_CONSUME = """
UPDATE saga_signal SET consumed_at = clock_timestamp()
WHERE id = %(number)s AND consumed_at IS NULL"""


@writes
def consume_signal(connection: Connection, number: int) -> bool:
    """A step takes the signal in. False: another one did."""
    return connection.exec_driver_sql(_CONSUME, {"number": number}).rowcount == 1
