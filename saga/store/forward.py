"""A saga on its way: started, advanced, completed, tried again, waiting."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.moves import Effects
from saga.position import StopReason
from saga.row import COLUMNS, Row
from saga.store.transition import (
    CALL_ENDED,
    EVENT,
    NEXT_ATTEMPTS,
    UNCLAIM,
    UNPAUSE,
    WAKE,
    WAKE_AFTER,
    Record,
    move,
    transition,
    writes,
)

# A key is looked for first: the conflict alone would wait for whoever moves its saga just now.
_INSERT = f"""
WITH moved AS (
    INSERT INTO saga_state (
        saga_id, saga_type, definition_version, current_step, step_index, state, status,
        max_retries, dispatches, wake_at, business_key, idempotency_key, input_hash,
        timeout_at, started_at, created_at, updated_at, metadata)
    SELECT %(saga_id)s, %(saga_type)s, %(definition_version)s, %(step)s, 0, %(state)s::jsonb,
           'RUNNING', %(max_retries)s, 1, t.now + LEAST(%(patience)s, %(timeout)s),
           %(business_key)s, %(idempotency_key)s, %(input_hash)s,
           t.now + %(timeout)s, t.now, t.now, t.now, %(metadata)s::jsonb
    FROM (SELECT clock_timestamp() AS now) AS t
    WHERE NOT EXISTS (SELECT FROM saga_state
                      WHERE business_key = %(business_key)s AND holds_key)
      AND NOT EXISTS (SELECT FROM saga_state
                      WHERE saga_type = %(saga_type)s AND idempotency_key = %(idempotency_key)s)
    ON CONFLICT DO NOTHING
    RETURNING {COLUMNS}
), noted AS ({EVENT}
)
SELECT {COLUMNS}, clock_timestamp() AS now FROM moved"""  # noqa: S608 - only our own constants


@writes
def insert(
    connection: Connection,
    record: Record,
    *,
    saga_id: UUID,
    state: Mapping[str, Any],
    metadata: Mapping[str, Any],
    **params: Any,
) -> Row | None:
    """Write a new saga. None: its idempotency key or its business key is taken."""
    values = {
        **record.params(),
        **params,
        "saga_id": str(saga_id),
        "state": json.dumps(state),
        "metadata": json.dumps(metadata),
        "event_step": None,
        "event_attempt": None,
    }
    moved = connection.exec_driver_sql(_INSERT, values).mappings().one_or_none()
    return None if moved is None else Row.read(moved)


_ADVANCE = transition(
    f"{UNCLAIM}, {NEXT_ATTEMPTS}, current_step = %(step)s, step_index = %(index)s, "
    "state = %(state)s::jsonb, effects = effects || %(effects)s::jsonb, "
    "max_retries = %(max_retries)s, stop_reason = NULL, error_message = NULL, "
    "epoch = epoch + %(raise_epoch)s, "
    f"call_ended_at = NULL, overdue = false, dispatches = 1, wake_at = {WAKE}"
)


@writes
def advance(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    state: Mapping[str, Any],
    effects: Effects,
    step: str,
    index: int,
    max_retries: int,
    raise_epoch: int,
    patience: timedelta,
) -> Row | None:
    """The current step is behind: stand at ``step``. The chain, or the caller, publishes it.

    ``raise_epoch`` is 1 where a lost worker's step was given up, else 0.
    """
    return move(
        connection,
        _ADVANCE,
        row,
        record,
        state=json.dumps(state),
        effects=json.dumps(effects),
        step=step,
        index=index,
        max_retries=max_retries,
        raise_epoch=raise_epoch,
        patience=patience,
    )


_COMPLETE = transition(
    f"{UNCLAIM}, {UNPAUSE}, status = 'COMPLETED', completed_at = clock_timestamp(), "
    "wake_at = NULL, holds_key = false, state = %(state)s::jsonb, "
    "effects = effects || %(effects)s::jsonb, "
    "waiting_for = NULL, signal = NULL, not_before = NULL, stop_reason = NULL, "
    "epoch = epoch + %(raise_epoch)s, error_message = NULL, failed_from = NULL"
)


@writes
def complete(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    state: Mapping[str, Any],
    effects: Effects,
    raise_epoch: int,
) -> Row | None:
    """The last step is behind. ``raise_epoch`` as for ``advance``."""
    return move(
        connection,
        _COMPLETE,
        row,
        record,
        state=json.dumps(state),
        effects=json.dumps(effects),
        raise_epoch=raise_epoch,
    )


_RETRY = transition(
    f"{UNCLAIM}, attempt = %(attempt)s, retry_count = %(attempt)s, error_message = %(error)s, "
    "waiting_for = CASE WHEN waiting_for <> 'sleep' THEN waiting_for END, "
    f"effects = effects || %(effects)s::jsonb, {CALL_ENDED}, "
    "dispatches = %(dispatches)s, not_before = clock_timestamp() + %(not_before)s, "
    f"wake_at = {WAKE_AFTER}"
)


@writes
def retry(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    attempt: int,
    error: str,
    effects: Effects,
    not_before: timedelta,
    wake: timedelta,
    time_ends: bool,
    dispatches: int,
) -> Row | None:
    """An attempt failed; the next one may begin after ``not_before``.

    ``time_ends``: wake no later than the saga's time does, for then it stops.
    """
    return move(
        connection,
        _RETRY,
        row,
        record,
        attempt=attempt,
        event_attempt=attempt,
        error=error,
        effects=json.dumps(effects),
        not_before=not_before,
        wake=wake,
        time_ends=time_ends,
        dispatches=dispatches,
    )


_ASK_PROBE = transition(
    f"{UNCLAIM}, waiting_for = 'probe', signal = NULL, stop_reason = %(reason)s, "
    "attempt = %(attempt)s, error_message = coalesce(%(error)s, error_message), "
    "effects = effects || %(effects)s::jsonb, epoch = epoch + %(raise_epoch)s, "
    "call_ended_at = coalesce(GREATEST(%(call_ended_at)s, call_ended_at), clock_timestamp()), "
    "dispatches = %(dispatches)s, not_before = clock_timestamp() + %(after)s, "
    "wake_at = clock_timestamp() + %(wake)s"
)


@writes
def ask_probe(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    reason: StopReason,
    effects: Effects,
    attempt: int,
    error: str | None,
    call_ended_at: datetime | None,
    raise_epoch: int,
    dispatches: int,
    after: timedelta,
    wake: timedelta,
) -> Row | None:
    """Nobody knows what became of the step: stand at its probe."""
    return move(
        connection,
        _ASK_PROBE,
        row,
        record,
        reason=reason,
        effects=json.dumps(effects),
        attempt=attempt,
        error=error,
        call_ended_at=call_ended_at,
        raise_epoch=raise_epoch,
        dispatches=dispatches,
        after=after,
        wake=wake,
    )
