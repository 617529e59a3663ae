"""Sagas as all faces tell them: the JSON shapes of the HTTP API, the command line, the console.

Reads only. Names are camelCase; instants are ISO 8601 in UTC with a Z.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_
from sqlalchemy import Text as SqlText

from saga.attempts import attempts
from saga.definition import Saga
from saga.errors import SagaNotFound
from saga.filter import Filter, cursor_after
from saga.position import Status
from saga.registry import Registry
from saga.row import COLUMNS, Row
from saga.tables import saga_event, saga_state
from saga.task import Effect
from saga.why import why

_LONGEST_ID = 64

_SAGA = {
    "sagaId": saga_state.c.saga_id,
    "sagaType": saga_state.c.saga_type,
    "status": saga_state.c.status,
    "currentStep": saga_state.c.current_step,
    "stepIndex": saga_state.c.step_index,
    "retryCount": saga_state.c.retry_count,
    "maxRetries": saga_state.c.max_retries,
    "businessKey": saga_state.c.business_key,
    "version": saga_state.c.version,
    "errorMessage": saga_state.c.error_message,
    "startedAt": saga_state.c.started_at,
    "timeoutAt": saga_state.c.timeout_at,
    "completedAt": saga_state.c.completed_at,
}

_EVENT = {
    "seq": saga_event.c.seq,
    "at": saga_event.c.at,
    "kind": saga_event.c.kind,
    "step": saga_event.c.step,
    "attempt": saga_event.c.attempt,
    "worker": saga_event.c.worker,
    "taskId": saga_event.c.task_id,
    "actor": saga_event.c.actor,
    "duration": saga_event.c.duration,
    "detail": saga_event.c.detail,
}


def list_sagas(connection: Connection, wanted: Filter | None = None) -> dict[str, Any]:
    """``{"items": [Saga], "nextCursor"}``, newest first; nextCursor is null on the last page.

    Sagas that are started meanwhile do not shift the pages.
    """
    wanted = wanted or Filter()
    c = saga_state.c
    columns = [column.label(name) for name, column in _SAGA.items()]
    found = connection.execute(
        select(*columns, c.created_at, c.id)
        .where(*_conditions(wanted))
        .order_by(c.created_at.desc(), c.id.desc())
        .limit(wanted.limit + 1)
    ).mappings()
    rows = list(found)
    page = rows[: wanted.limit]
    more = len(rows) > len(page)
    return {
        "items": [_plain({name: row[name] for name in _SAGA}) for row in page],
        "nextCursor": cursor_after(page[-1]["created_at"], page[-1]["id"]) if more else None,
    }


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    c = saga_state.c
    exactly = {
        c.saga_type: wanted.type,
        c.status: wanted.status,
        c.current_step: wanted.step,
        c.business_key: wanted.key,
    }
    for column, value in exactly.items():
        if value is not None:
            yield column == value
    if wanted.q is not None:
        yield or_(
            c.saga_id.cast(SqlText).icontains(wanted.q, autoescape=True),
            c.business_key.icontains(wanted.q, autoescape=True),
            and_(
                c.status != Status.COMPLETED.value,
                c.error_message.icontains(wanted.q, autoescape=True),
            ),
        )
    if wanted.since is not None:
        yield c.created_at >= wanted.since
    if wanted.until is not None:
        yield c.created_at < wanted.until
    if wanted.position is not None:
        yield tuple_(c.created_at, c.id) < wanted.position


def show(connection: Connection, registry: Registry, saga_id: UUID | str) -> dict[str, Any]:
    """One saga with its steps, its timeline, and where it stands in plain words.

    ``steps`` are those of its definition; of a definition that this process does not know, those
    that came to something so far, with a null role. Raises SagaNotFound, also for what is no id.
    """
    key = _uuid(saga_id)
    columns = [column.label(name) for name, column in _SAGA.items()]
    # One statement, so that what is told of the saga is true of one moment.
    found = connection.execute(
        select(
            *columns,
            *(saga_state.c[name] for name in COLUMNS.split(", ")),
            func.clock_timestamp().label("now"),
        ).where(saga_state.c.saga_id == key)
    ).mappings()
    record = found.one_or_none()
    if record is None:
        raise SagaNotFound(saga_id)
    row = Row.read(record)
    events = _events(connection, row)
    saga = _definition(registry, row)
    return {
        "saga": _plain({name: record[name] for name in _SAGA}),
        "steps": _steps(saga, row, events),
        "events": events,
        "allowedActions": [],
        "why": why(saga, row),
    }


def _uuid(saga_id: UUID | str) -> UUID:
    if isinstance(saga_id, UUID):
        return saga_id
    try:
        return UUID(saga_id)
    except ValueError:
        shown = saga_id if len(saga_id) <= _LONGEST_ID else saga_id[:_LONGEST_ID] + "…"
        raise SagaNotFound(shown) from None


def _events(connection: Connection, row: Row) -> list[dict[str, Any]]:
    """What had happened when the row was read; an event's number is the version it made."""
    columns = [column.label(name) for name, column in _EVENT.items()]
    found = connection.execute(
        select(*columns)
        .where(saga_event.c.saga_id == row.saga_id, saga_event.c.seq <= row.version)
        .order_by(saga_event.c.seq)
    )
    return [_plain(dict(event)) for event in found.mappings()]


def _definition(registry: Registry, row: Row) -> Saga[Any] | None:
    saga = registry.find(row.saga_type, row.definition_version)
    known = saga is not None and any(step.name == row.step for step in saga.steps)
    return saga if known else None


def _steps(
    saga: Saga[Any] | None, row: Row, events: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    tried = attempts(events)
    roles: dict[str, str | None]
    if saga is not None:
        roles = {step.name: step.role.value for step in saga.steps}
    else:
        met = [event["step"] for event in events if event["step"] is not None]
        roles = dict.fromkeys((*met, *row.effects, row.step))
    return [
        {
            "name": name,
            "role": role,
            "effect": row.effects.get(name, Effect.NOT_STARTED).value,
            "attempts": tried.get(name, 0),
        }
        for name, role in roles.items()
    ]


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in record.items()}


def _value(value: Any) -> Any:
    match value:
        case datetime():
            return iso(value)
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
    return value


def iso(instant: datetime) -> str:
    """An aware instant as ``2026-07-01T12:00:00.000000Z``."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
