"""A saga on its way back: compensating, at rest, or parked for a person."""

import json
from datetime import timedelta

from sqlalchemy import Connection

from saga.moves import Effects
from saga.position import Status, StopReason
from saga.row import Row
from saga.store.transition import (
    KEEP_OWN_PAUSE,
    NEXT_ATTEMPTS,
    UNCLAIM,
    UNPAUSE,
    Record,
    move,
    transition,
    writes,
)

_COMPENSATE = transition(
    f"{UNCLAIM}, {NEXT_ATTEMPTS}, {KEEP_OWN_PAUSE}, status = 'COMPENSATING', "
    "current_step = %(step)s, step_index = %(index)s, stop_reason = %(reason)s, "
    "max_retries = %(max_retries)s, "
    "effects = effects || %(effects)s::jsonb, look_at = coalesce(%(look_at)s, look_at), "
    "error_message = coalesce(%(error)s, error_message), dispatches = %(dispatches)s, "
    "epoch = epoch + CASE WHEN status = 'COMPENSATING' THEN 0 ELSE 1 END, "
    "call_ended_at = NULL, wake_at = clock_timestamp() + %(patience)s"
)


@writes
def compensate(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    step: str,
    index: int,
    reason: StopReason,
    max_retries: int,
    effects: Effects,
    look_at: str | None,
    error: str | None,
    dispatches: int,
    patience: timedelta,
) -> Row | None:
    """Go back, or on back: stand at the compensation of ``step``."""
    return move(
        connection,
        _COMPENSATE,
        row,
        record,
        step=step,
        index=index,
        reason=reason,
        max_retries=max_retries,
        effects=json.dumps(effects),
        look_at=look_at,
        error=error,
        dispatches=dispatches,
        patience=patience,
    )


_REST = transition(
    f"{UNCLAIM}, {UNPAUSE}, status = %(status)s, stop_reason = %(reason)s, epoch = epoch + 1, "
    "attempt = 0, completed_at = clock_timestamp(), holds_key = false, not_before = NULL, "
    "dispatches = 0, signal = NULL, failed_from = NULL, effects = effects || %(effects)s::jsonb, "
    "error_message = coalesce(%(error)s, error_message), "
    "look_at = coalesce(%(look_at)s, look_at), "
    "current_step = coalesce(%(look_at)s, current_step), "
    "step_index = coalesce(%(look_index)s, step_index), waiting_for = "
    "CASE WHEN %(look_at)s IS NOT NULL AND %(first_look)s IS NOT NULL THEN 'second_look' END, "
    "wake_at = CASE WHEN %(look_at)s IS NOT NULL "
    "THEN clock_timestamp() + %(first_look)s::interval END"
)


@writes
def rest(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    status: Status,
    reason: StopReason,
    effects: Effects,
    look_at: str | None,
    look_index: int | None,
    error: str | None,
    first_look: timedelta | None,
) -> Row | None:
    """Every effect is accounted for. A probe's word is looked at again after ``first_look``."""
    return move(
        connection,
        _REST,
        row,
        record,
        status=status,
        reason=reason,
        effects=json.dumps(effects),
        look_at=look_at,
        look_index=look_index,
        error=error,
        first_look=first_look,
    )


_FAIL = transition(
    f"{UNCLAIM}, {UNPAUSE}, status = 'FAILED', epoch = epoch + 1, wake_at = NULL, "
    "failed_from = CASE WHEN %(reason)s IS NOT NULL THEN 'COMPENSATING' "
    "WHEN status = 'FAILED' THEN failed_from ELSE status END, "
    "stop_reason = coalesce(%(reason)s, stop_reason), "
    "current_step = coalesce(%(step)s, current_step), "
    "step_index = coalesce(%(index)s, step_index), waiting_for = NULL, signal = NULL, "
    "not_before = NULL, completed_at = NULL, error_message = %(error)s, "
    "call_ended_at = CASE WHEN %(called)s "
    "THEN GREATEST(call_ended_at, clock_timestamp()) ELSE call_ended_at END, "
    "effects = effects || %(effects)s::jsonb, holds_key = holds_key OR NOT EXISTS ("
    "SELECT FROM saga_state AS other WHERE other.business_key = saga_state.business_key "
    "AND other.holds_key)"
)


@writes
def fail(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    effects: Effects,
    error: str,
    step: str | None = None,
    index: int | None = None,
    reason: StopReason | None = None,
    called: bool = False,
) -> Row | None:
    """Park the saga for a person. It keeps its business key, or takes it back if it is free.

    With a ``reason`` it failed going back, at the compensation of ``step``. ``called``: it was a
    step's call to another system, which ended just now. Raises IntegrityError
    when another saga takes the key in this very moment: try again.
    """
    return move(
        connection,
        _FAIL,
        row,
        record,
        effects=json.dumps(effects),
        error=error,
        step=step,
        index=index,
        reason=reason,
        called=called,
    )
