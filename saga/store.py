"""Every statement that writes, one function each.

Each takes the row as its caller locked it, writes the transition and its event in one statement,
and names the epoch, the claim and the version that it expects. A False or None means that somebody
moved the saga first: then nothing was written, and the caller must do nothing either.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.moves import Effects
from saga.position import Status, StopReason, WaitingFor
from saga.row import COLUMNS, Row

# Waking no later than the saga's time ends makes recovery see the end of it. Once it has passed,
# only patience counts.
_WAKE = (
    "LEAST(clock_timestamp() + %(patience)s, "
    "CASE WHEN timeout_at > clock_timestamp() THEN timeout_at END)"
)
_UNCLAIM = "claimed_by = NULL, claim_deadline = NULL"
_NEXT_ATTEMPTS = "attempt = 0, retry_count = 0, not_before = NULL, waiting_for = NULL"

_EVENT = """
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


def _transition(sets: str) -> str:
    return f"""
WITH moved AS (
    UPDATE saga_state
    SET version = version + 1, updated_at = clock_timestamp(), {sets}
    WHERE saga_id = %(saga_id)s AND version = %(at_version)s AND epoch = %(at_epoch)s
      AND claimed_by IS NOT DISTINCT FROM %(at_claim)s::uuid
    RETURNING {COLUMNS}, updated_at
), noted AS ({_EVENT}
)
SELECT {COLUMNS}, clock_timestamp() AS now FROM moved"""  # noqa: S608 - only our own constants


def _move(
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
    ON CONFLICT DO NOTHING
    RETURNING {COLUMNS}, updated_at
), noted AS ({_EVENT}
)
SELECT {COLUMNS}, clock_timestamp() AS now FROM moved"""  # noqa: S608 - only our own constants


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


_CLAIM = _transition(
    "claimed_by = %(token)s::uuid, attempt = attempt + 1, not_before = NULL, "
    "claim_deadline = clock_timestamp() + %(limit)s, wake_at = clock_timestamp() + %(lease)s"
)


def claim(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    token: UUID,
    lease: timedelta,
    limit: timedelta,
) -> Row | None:
    """Claim the saga's next call for ``token``; no heartbeat renews the claim past ``limit``."""
    return _move(
        connection,
        _CLAIM,
        row,
        record,
        token=str(token),
        lease=lease,
        limit=limit,
        event_attempt=row.attempt + 1,
    )


_RENEW = """
UPDATE saga_state
SET wake_at = LEAST(clock_timestamp() + %(lease)s, claim_deadline)
WHERE saga_id = %(saga_id)s AND claimed_by = %(token)s::uuid
  AND claim_deadline > clock_timestamp()"""


def renew_lease(connection: Connection, saga_id: UUID, *, token: UUID, lease: timedelta) -> bool:
    """Keep the claim alive for another ``lease``. False: it is lost, or its hard limit came."""
    params = {"saga_id": str(saga_id), "token": str(token), "lease": lease}
    return connection.exec_driver_sql(_RENEW, params).rowcount == 1


_COUNT = _transition(f"attempt = attempt + 1, wake_at = {_WAKE}")


def count_attempt(
    connection: Connection, row: Row, record: Record, *, patience: timedelta
) -> Row | None:
    """Count an attempt before it begins, so that a step that kills its worker is counted."""
    return _move(connection, _COUNT, row, record, patience=patience, event_attempt=row.attempt + 1)


_ADVANCE = _transition(
    f"{_UNCLAIM}, {_NEXT_ATTEMPTS}, current_step = %(step)s, step_index = %(index)s, "
    "state = %(state)s::jsonb, effects = effects || %(effects)s::jsonb, "
    "max_retries = %(max_retries)s, stop_reason = NULL, error_message = NULL, "
    f"call_ended_at = NULL, overdue = false, dispatches = 1, wake_at = {_WAKE}"
)


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
    patience: timedelta,
) -> Row | None:
    """The current step is done: stand at ``step``. The chain, or the caller, publishes it."""
    return _move(
        connection,
        _ADVANCE,
        row,
        record,
        state=json.dumps(state),
        effects=json.dumps(effects),
        step=step,
        index=index,
        max_retries=max_retries,
        patience=patience,
    )


_COMPLETE = _transition(
    f"{_UNCLAIM}, status = 'COMPLETED', completed_at = clock_timestamp(), wake_at = NULL, "
    "holds_key = false, state = %(state)s::jsonb, effects = effects || %(effects)s::jsonb, "
    "waiting_for = NULL, not_before = NULL, stop_reason = NULL, error_message = NULL"
)


def complete(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    state: Mapping[str, Any],
    effects: Effects,
) -> Row | None:
    """The last step is done."""
    return _move(
        connection,
        _COMPLETE,
        row,
        record,
        state=json.dumps(state),
        effects=json.dumps(effects),
    )


_RETRY = _transition(
    f"{_UNCLAIM}, attempt = %(attempt)s, retry_count = %(attempt)s, error_message = %(error)s, "
    "effects = effects || %(effects)s::jsonb, call_ended_at = clock_timestamp(), "
    "dispatches = %(dispatches)s, not_before = clock_timestamp() + %(not_before)s, "
    "wake_at = clock_timestamp() + %(wake)s"
)


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
    dispatches: int,
) -> Row | None:
    """An attempt failed; the next one may begin after ``not_before``."""
    return _move(
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
        dispatches=dispatches,
    )


_POLL = _transition(
    f"{_UNCLAIM}, attempt = attempt - 1, waiting_for = 'poll', dispatches = 0, "
    "effects = effects || %(effects)s::jsonb, error_message = NULL, "
    "call_ended_at = clock_timestamp(), not_before = clock_timestamp() + %(after)s, "
    "wake_at = clock_timestamp() + %(after)s"
)


def poll(
    connection: Connection, row: Row, record: Record, *, effects: Effects, after: timedelta
) -> Row | None:
    """The provider took the order: park, give the attempt back, and ask ``after`` this long."""
    return _move(connection, _POLL, row, record, effects=json.dumps(effects), after=after)


_ASK_PROBE = _transition(
    f"{_UNCLAIM}, waiting_for = 'probe', stop_reason = %(reason)s, "
    "attempt = %(attempt)s, error_message = coalesce(%(error)s, error_message), "
    "effects = effects || %(effects)s::jsonb, epoch = epoch + %(raise_epoch)s, "
    "call_ended_at = coalesce(%(call_ended_at)s, call_ended_at, clock_timestamp()), "
    "dispatches = %(dispatches)s, not_before = clock_timestamp() + %(after)s, "
    "wake_at = clock_timestamp() + %(wake)s"
)


def ask_probe(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    reason: StopReason,
    effects: Effects,
    attempt: int,
    error: str | None,
    call_ended_at: Any,
    raise_epoch: int,
    dispatches: int,
    after: timedelta,
    wake: timedelta,
) -> Row | None:
    """Nobody knows what became of the step: stand at its probe."""
    return _move(
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


_COMPENSATE = _transition(
    f"{_UNCLAIM}, {_NEXT_ATTEMPTS}, status = 'COMPENSATING', current_step = %(step)s, "
    "step_index = %(index)s, stop_reason = %(reason)s, max_retries = %(max_retries)s, "
    "effects = effects || %(effects)s::jsonb, look_at = coalesce(%(look_at)s, look_at), "
    "error_message = coalesce(%(error)s, error_message), dispatches = %(dispatches)s, "
    "epoch = epoch + CASE WHEN status = 'COMPENSATING' THEN 0 ELSE 1 END, "
    "call_ended_at = NULL, wake_at = clock_timestamp() + %(patience)s"
)


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
    return _move(
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


_REST = _transition(
    f"{_UNCLAIM}, status = %(status)s, stop_reason = %(reason)s, epoch = epoch + 1, attempt = 0, "
    "completed_at = clock_timestamp(), holds_key = false, not_before = NULL, dispatches = 0, "
    "effects = effects || %(effects)s::jsonb, error_message = coalesce(%(error)s, error_message), "
    "look_at = coalesce(%(look_at)s, look_at), "
    "current_step = coalesce(%(look_at)s, look_at, current_step), waiting_for = "
    "CASE WHEN coalesce(%(look_at)s, look_at) IS NOT NULL AND %(first_look)s IS NOT NULL "
    "THEN 'second_look' END, wake_at = "
    "CASE WHEN coalesce(%(look_at)s, look_at) IS NOT NULL "
    "THEN clock_timestamp() + %(first_look)s::interval END"
)


def rest(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    status: Status,
    reason: StopReason,
    effects: Effects,
    look_at: str | None,
    error: str | None,
    first_look: timedelta | None,
) -> Row | None:
    """Every effect is accounted for. A probe's word is looked at again after ``first_look``."""
    return _move(
        connection,
        _REST,
        row,
        record,
        status=status,
        reason=reason,
        effects=json.dumps(effects),
        look_at=look_at,
        error=error,
        first_look=first_look,
    )


_FAIL = _transition(
    f"{_UNCLAIM}, status = 'FAILED', epoch = epoch + 1, wake_at = NULL, not_before = NULL, "
    "waiting_for = NULL, completed_at = NULL, error_message = %(error)s, "
    "effects = effects || %(effects)s::jsonb, holds_key = holds_key OR NOT EXISTS ("
    "SELECT FROM saga_state AS other WHERE other.business_key = saga_state.business_key "
    "AND other.holds_key)"
)


def fail(
    connection: Connection, row: Row, record: Record, *, effects: Effects, error: str
) -> Row | None:
    """Park the saga for a person. It keeps its business key, or takes it back if it is free.

    Raises IntegrityError when another saga takes the key in this very moment: try again.
    """
    return _move(connection, _FAIL, row, record, effects=json.dumps(effects), error=error)


_DISPATCH = _transition(
    f"{_UNCLAIM}, dispatches = dispatches + 1, epoch = epoch + %(raise_epoch)s, "
    "effects = effects || %(effects)s::jsonb, overdue = overdue OR %(overdue)s, "
    "call_ended_at = coalesce(%(call_ended_at)s, call_ended_at), not_before = NULL, "
    "error_message = coalesce(%(error)s, error_message), retry_count = attempt, "
    f"unknown_since = NULL, wake_at = {_WAKE}"
)


def dispatch(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    patience: timedelta,
    effects: Effects,
    overdue: bool,
    raise_epoch: int,
    call_ended_at: Any,
    error: str | None,
) -> Row | None:
    """Write down that the saga is about to be published, before it is."""
    return _move(
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
WHERE saga_id = %(saga_id)s AND version = %(at_version)s AND claimed_by IS NULL"""


def postpone(connection: Connection, row: Row, *, after: timedelta) -> bool:
    """Look at the saga later; nothing happened, so no event is written."""
    params = {"saga_id": str(row.saga_id), "at_version": row.version, "after": after}
    return connection.exec_driver_sql(_POSTPONE, params).rowcount == 1


_MISS_DEFINITION = _transition(
    "unknown_since = coalesce(unknown_since, clock_timestamp()), "
    "wake_at = clock_timestamp() + %(again)s"
)


def miss_definition(
    connection: Connection, row: Row, record: Record, *, again: timedelta
) -> Row | None:
    """Nobody here knows the saga's type, version or step: leave it, and look again."""
    return _move(connection, _MISS_DEFINITION, row, record, again=again)


_LOOK_AGAIN = _transition(
    f"{_UNCLAIM}, attempt = 0, looks = looks + 1, dispatches = 0, not_before = NULL, waiting_for = "
    "CASE WHEN %(next_look)s IS NOT NULL THEN 'second_look' END, "
    "wake_at = GREATEST(completed_at + %(next_look)s::interval, clock_timestamp())"
)


def look_again(
    connection: Connection, row: Row, record: Record, *, next_look: timedelta | None
) -> Row | None:
    """A second look found nothing. ``next_look`` counts from when the saga came to rest."""
    sql = _LOOK_AGAIN if next_look is not None else _LOOKED_ENOUGH
    return _move(connection, sql, row, record, next_look=next_look)


_LOOKED_ENOUGH = _transition(
    f"{_UNCLAIM}, attempt = 0, looks = looks + 1, not_before = NULL, waiting_for = NULL, "
    "wake_at = NULL"
)

_NOTE = _transition("effects = effects || %(effects)s::jsonb")


def note(connection: Connection, row: Row, record: Record, *, effects: Effects) -> Row | None:
    """Write down what came to light, and move nothing else."""
    return _move(connection, _NOTE, row, record, effects=json.dumps(effects))


_PULSE = """
INSERT INTO saga_pulse (name, at, detail) VALUES (%(name)s, clock_timestamp(), %(detail)s::jsonb)
ON CONFLICT (name) DO UPDATE SET at = excluded.at, detail = excluded.detail"""


def beat(connection: Connection, name: str, detail: Mapping[str, Any]) -> None:
    """Show that ``name`` is alive."""
    connection.exec_driver_sql(_PULSE, {"name": name, "detail": json.dumps(detail)})


def waiting_is(row: Row, *kinds: WaitingFor) -> bool:
    return row.waiting_for in kinds
