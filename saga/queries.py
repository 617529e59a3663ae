"""Every statement that reads rows for the engine, with the lock that its caller needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.position import Status
from saga.registry import Kind, Place
from saga.row import COLUMNS, PAUSE, Row

_SELECT = f"SELECT {COLUMNS}, clock_timestamp() AS now FROM saga_state"  # noqa: S608
_WITH_PAUSE = f"SELECT {COLUMNS}, clock_timestamp() AS now, {PAUSE} FROM saga_state"  # noqa: S608

_OURS = {
    Kind.ACTION: "status = 'RUNNING' AND (waiting_for IS NULL OR waiting_for IN ('poll', 'sleep'))",
    Kind.COMPENSATION: "status = 'COMPENSATING'",
    Kind.PROBE: "waiting_for IN ('probe', 'second_look')",
}

# A step's SQL may take its limit, and no longer: a frozen worker must not keep its row locked.
_LOCK_FOR = {
    kind: f"""
SELECT {COLUMNS}, clock_timestamp() AS now,
       set_config('idle_in_transaction_session_timeout', %(idle_limit)s, true), {PAUSE}
FROM saga_state
WHERE saga_id = %(saga_id)s AND epoch = %(epoch)s AND current_step = %(step)s AND {ours}
  AND claimed_by IS NULL AND (not_before IS NULL OR not_before <= clock_timestamp())
FOR UPDATE SKIP LOCKED"""  # noqa: S608
    for kind, ours in _OURS.items()
}


def lock_for(
    connection: Connection, place: Place, saga_id: UUID, *, epoch: int, idle_limit: timedelta
) -> Row | None:
    """The row, locked, if a message for this place and epoch may act on it now; else None.

    Only pauses are not looked at yet: ``paused`` and ``pause`` tell of them.
    """
    params = {
        "saga_id": str(saga_id),
        "epoch": epoch,
        "step": place.step,
        "idle_limit": f"{int(idle_limit.total_seconds() * 1000)}ms",
    }
    found = connection.exec_driver_sql(_LOCK_FOR[place.kind], params).mappings().one_or_none()
    return None if found is None else Row.read(found)


def lock_claim(connection: Connection, saga_id: UUID, *, epoch: int, token: UUID) -> Row | None:
    """The row, locked, if ``token`` still has its claim in this epoch; else None."""
    sql = (
        f"{_SELECT} WHERE saga_id = %(saga_id)s AND epoch = %(epoch)s "
        "AND claimed_by = %(token)s::uuid FOR UPDATE"
    )
    params = {"saga_id": str(saga_id), "epoch": epoch, "token": str(token)}
    found = connection.exec_driver_sql(sql, params).mappings().one_or_none()
    return None if found is None else Row.read(found)


def has_claim(connection: Connection, saga_id: UUID, *, token: UUID) -> bool:
    """Whether ``token`` still has its claim, and may keep it."""
    sql = (
        "SELECT EXISTS (SELECT FROM saga_state WHERE saga_id = %(saga_id)s "
        "AND claimed_by = %(token)s::uuid AND claim_deadline > clock_timestamp())"
    )
    found = connection.exec_driver_sql(sql, {"saga_id": str(saga_id), "token": str(token)})
    return bool(found.scalar_one())


def lock(connection: Connection, saga_id: UUID) -> Row | None:
    """The row, locked, wherever it stands; None when there is no such saga."""
    sql = f"{_WITH_PAUSE} WHERE saga_id = %(saga_id)s FOR UPDATE"
    found = connection.exec_driver_sql(sql, {"saga_id": str(saga_id)}).mappings().one_or_none()
    return None if found is None else Row.read(found)


def look(connection: Connection, saga_id: UUID) -> Row | None:
    """The row as it is now, not locked; None when there is no such saga."""
    sql = f"{_WITH_PAUSE} WHERE saga_id = %(saga_id)s"
    found = connection.exec_driver_sql(sql, {"saga_id": str(saga_id)}).mappings().one_or_none()
    return None if found is None else Row.read(found)


# The statement's own time, not clock_timestamp(): an index has no use for a time that moves on.
_DUE = (
    "wake_at <= statement_timestamp() AND (claimed_by IS NULL "
    # After the database was away, live workers get one lease to be heard of again.
    "OR clock_timestamp() > pg_postmaster_start_time() + %(lease)s)"
)


def due(connection: Connection, *, lease: timedelta, most: int) -> list[UUID]:
    """Up to ``most`` sagas whose time has come and that nobody has locked, longest due first."""
    sql = (
        f"SELECT saga_id FROM saga_state WHERE {_DUE} "  # noqa: S608
        "ORDER BY wake_at LIMIT %(most)s FOR UPDATE SKIP LOCKED"
    )
    return list(connection.exec_driver_sql(sql, {"lease": lease, "most": most}).scalars())


def lock_due(connection: Connection, saga_id: UUID, *, lease: timedelta) -> Row | None:
    """The row, locked, if it is still due and nobody else has it."""
    sql = f"{_WITH_PAUSE} WHERE saga_id = %(saga_id)s AND {_DUE} FOR UPDATE SKIP LOCKED"
    params = {"saga_id": str(saga_id), "lease": lease}
    found = connection.exec_driver_sql(sql, params).mappings().one_or_none()
    return None if found is None else Row.read(found)


def due_since(connection: Connection, *, since: timedelta, most: int) -> list[UUID]:
    """Sagas due for longer than ``since``: recovery could not lock them, or is far behind."""
    sql = (
        "SELECT saga_id FROM saga_state WHERE wake_at <= statement_timestamp() - %(since)s "
        "ORDER BY wake_at LIMIT %(most)s"
    )
    return list(connection.exec_driver_sql(sql, {"since": since, "most": most}).scalars())


def has_settled(connection: Connection, saga_id: UUID, *, token: UUID) -> str | None:
    """The kind of the event by which ``token`` settled its claim, if it did."""
    sql = (
        "SELECT kind FROM saga_event WHERE saga_id = %(saga_id)s "
        "AND detail->>'claim' = %(token)s AND kind <> 'attempt_started' ORDER BY seq LIMIT 1"
    )
    params = {"saga_id": str(saga_id), "token": str(token)}
    found = connection.exec_driver_sql(sql, params).scalar_one_or_none()
    return None if found is None else str(found)


def has_told(connection: Connection, saga_id: UUID, *, key: str) -> bool:
    """Whether it is written down that the step of this key took effect after all.

    What was said before an operator's retry is open again: the retry may have ended in doubt.
    """
    sql = (
        "SELECT coalesce((SELECT kind <> 'retried' FROM saga_event WHERE saga_id = %(saga_id)s "
        "AND (kind = 'retried' OR kind IN ('late_success', 'failed') AND detail->>'key' = %(key)s) "
        "ORDER BY seq DESC LIMIT 1), false)"
    )
    params = {"saga_id": str(saga_id), "key": key}
    return bool(connection.exec_driver_sql(sql, params).scalar_one())


_BEFORE = """
SELECT true AS is_own, saga_id, status, input_hash FROM saga_state
WHERE saga_type = %(saga_type)s AND idempotency_key = %(idempotency_key)s
UNION ALL
SELECT false, saga_id, status, input_hash FROM saga_state
WHERE business_key = %(business_key)s AND holds_key"""


@dataclass(frozen=True, kw_only=True)
class Before:
    """A saga that was started before. ``input_hash`` is of what it was started with."""

    saga_id: UUID
    status: Status
    input_hash: str


def before(
    connection: Connection,
    saga_type: str,
    *,
    idempotency_key: str | None,
    business_key: str | None,
) -> tuple[Before | None, Before | None]:
    """The saga that the idempotency key started, and the one that holds the business key.

    Both in one look: a start of the same two keys that commits meanwhile is seen by both or by
    neither, and never taken for another's.
    """
    params = {
        "saga_type": saga_type,
        "idempotency_key": idempotency_key,
        "business_key": business_key,
    }
    found = {
        is_own: Before(saga_id=saga_id, status=Status(status), input_hash=input_hash)
        for is_own, saga_id, status, input_hash in connection.exec_driver_sql(_BEFORE, params)
    }
    return found.get(True), found.get(False)


def holder_of(connection: Connection, business_key: str) -> tuple[UUID, Status] | None:
    """The saga that holds the business key, and its status: RUNNING, COMPENSATING or FAILED."""
    sql = "SELECT saga_id, status FROM saga_state WHERE business_key = %(key)s AND holds_key"
    found = connection.exec_driver_sql(sql, {"key": business_key}).one_or_none()
    return None if found is None else (found[0], Status(found[1]))


@dataclass(frozen=True, kw_only=True)
class StoredSignal:
    """A signal as it came. ``payload`` is the JSON of its model; ``number`` is the engine's own."""

    number: int
    name: str
    signal_id: str
    payload: Mapping[str, Any]
    received_at: datetime
    consumed_at: datetime | None


_SIGNAL = (
    "SELECT id AS number, name, signal_id, payload, received_at, consumed_at FROM saga_signal "
)


def first_signal(connection: Connection, saga_id: UUID, *, name: str) -> StoredSignal | None:
    """The oldest signal of this name that no step has taken in."""
    sql = (
        f"{_SIGNAL} WHERE saga_id = %(saga_id)s AND name = %(name)s AND consumed_at IS NULL "
        "ORDER BY id LIMIT 1"
    )
    params = {"saga_id": str(saga_id), "name": name}
    found = connection.exec_driver_sql(sql, params).mappings().one_or_none()
    return None if found is None else StoredSignal(**found)


def signal_of(connection: Connection, saga_id: UUID, *, signal_id: str) -> StoredSignal | None:
    """The signal that came under its sender's id."""
    sql = f"{_SIGNAL} WHERE saga_id = %(saga_id)s AND signal_id = %(signal_id)s"
    params = {"saga_id": str(saga_id), "signal_id": signal_id}
    found = connection.exec_driver_sql(sql, params).mappings().one_or_none()
    return None if found is None else StoredSignal(**found)


@dataclass(frozen=True, kw_only=True)
class ActivePause:
    """A saga type, or one step of it, of which nothing is begun now."""

    saga_type: str
    step: str | None
    at: datetime
    actor: str
    reason: str


def active_pauses(connection: Connection) -> list[ActivePause]:
    """All of them, one a type or step at most; the longest ones first."""
    sql = (
        "SELECT saga_type, step, at, actor, reason FROM saga_pause "
        "WHERE resumed_at IS NULL ORDER BY at, id"
    )
    return [ActivePause(**pause) for pause in connection.exec_driver_sql(sql).mappings()]


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """Who ended a pause, when and why."""

    at: datetime
    actor: str
    reason: str


def last_resumption(
    connection: Connection, *, saga_type: str, step: str | None
) -> Resumption | None:
    """Who resumed the type, or the step, last; None when nobody ever did."""
    sql = (
        "SELECT resumed_at AS at, resumed_by AS actor, resume_reason AS reason FROM saga_pause "
        "WHERE saga_type = %(saga_type)s AND step IS NOT DISTINCT FROM %(step)s "
        "AND resumed_at IS NOT NULL ORDER BY resumed_at DESC, id DESC LIMIT 1"
    )
    params = {"saga_type": saga_type, "step": step}
    found = connection.exec_driver_sql(sql, params).mappings().one_or_none()
    return None if found is None else Resumption(**found)


def exists(connection: Connection, saga_id: UUID) -> bool:
    """Whether any saga has this id."""
    sql = "SELECT EXISTS (SELECT FROM saga_state WHERE saga_id = %(saga_id)s)"
    return bool(connection.exec_driver_sql(sql, {"saga_id": str(saga_id)}).scalar_one())


def why_not(connection: Connection, place: Place, saga_id: UUID, *, epoch: int) -> str:
    """Why a message may not act: one of a few words, for counting."""
    row = look(connection, saga_id)
    if row is None:
        return "unknown saga"
    if row.epoch != epoch:
        return "old epoch"
    if row.claimed:
        return "claimed elsewhere"
    if row.step != place.step:
        return "done"
    if row.not_before is not None and row.not_before > row.now:
        return "too early"
    return "not its turn"
