"""Sagas as all faces tell them: the JSON shapes of the HTTP API, the command line, the console.

Reads only. Names are camelCase; instants are ISO 8601 in UTC with a Z. What is told ``masked`` has
no value of a sensitive field; of a definition that this process does not know it has no free text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from saga import queries
from saga.attempts import TRIED, WAITS, attempts
from saga.decide import allowed
from saga.definition import Saga
from saga.errors import SagaNotFound
from saga.masks import mask_of, masked_events, masked_page, masked_preview, masked_saga, masks
from saga.preview import preview
from saga.registry import Registry
from saga.row import COLUMNS, PAUSE, Row
from saga.tables import saga_event, saga_state
from saga.task import Effect
from saga.why import background, is_paused, why

_LONGEST_ID = 64

# So many events of a saga are told, the newest: one that polls for weeks has thousands.
MOST_EVENTS = 300

# What a saga is called on the wire, and in the table.
SAGA = {
    "sagaId": "saga_id",
    "sagaType": "saga_type",
    "status": "status",
    "currentStep": "current_step",
    "stepIndex": "step_index",
    "retryCount": "retry_count",
    "maxRetries": "max_retries",
    "businessKey": "business_key",
    "version": "version",
    "errorMessage": "error_message",
    "startedAt": "started_at",
    "timeoutAt": "timeout_at",
    "completedAt": "completed_at",
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


def show(
    connection: Connection, registry: Registry, saga_id: UUID | str, *, masked: bool = False
) -> dict[str, Any]:
    """One saga with its steps, its timeline, what is allowed, and where it stands in plain words.

    ``steps`` are those of its definition; of a definition that this process does not know, those
    that came to something so far, with a null role. Raises SagaNotFound, also for what is no id.
    """
    key = identified(saga_id)
    columns = [saga_state.c[column].label(name) for name, column in SAGA.items()]
    # One statement, so that what is told of the saga is true of one moment.
    found = connection.execute(
        select(
            *columns,
            *(saga_state.c[name] for name in COLUMNS.split(", ")),
            func.clock_timestamp().label("now"),
            text(PAUSE),
        ).where(saga_state.c.saga_id == key)
    ).mappings()
    record = found.one_or_none()
    if record is None:
        raise SagaNotFound(saga_id)
    row = Row.read(record)
    events = _events(connection, row)
    saga = registry.having(row.saga_type, row.definition_version, step=row.step)
    pauses = queries.active_pauses(connection) if is_paused(row) else ()
    steps = _steps(saga, row, _tries(connection, row, events))
    told = plain({name: record[name] for name in SAGA})
    if masked:
        mask = mask_of(connection, registry, row)
        told, events = masked_saga(told, mask), masked_events(events, mask)
        row = replace(row, error_message=told["errorMessage"])
        pauses = [replace(pause, reason=mask.text(pause.reason)) for pause in pauses]
    return {
        "saga": told,
        "steps": steps,
        "events": events,
        "allowedActions": [] if saga is None else [what.value for what in allowed(saga, row)],
        "why": why(saga, row, background(row, events, pauses)),
    }


def one(
    connection: Connection,
    saga_id: UUID | str,
    *,
    registry: Registry | None = None,
    masked: bool = False,
) -> dict[str, Any]:
    """One saga as lists tell it. Raises SagaNotFound, also for what is no id.

    ``registry`` says what is sensitive; without one, all that might be is masked.
    """
    columns = [saga_state.c[column].label(name) for name, column in SAGA.items()]
    found = connection.execute(
        select(*columns).where(saga_state.c.saga_id == identified(saga_id))
    ).mappings()
    record = found.one_or_none()
    if record is None:
        raise SagaNotFound(saga_id)
    told = plain(dict(record))
    return masked_page(connection, registry, [told])[0] if masked else told


def version_of(connection: Connection, saga_id: UUID | str) -> int:
    """The saga's version; it rises with every transition. Raises SagaNotFound."""
    version = connection.execute(
        select(saga_state.c.version).where(saga_state.c.saga_id == identified(saga_id))
    ).scalar_one_or_none()
    if version is None:
        raise SagaNotFound(saga_id)
    return int(version)


def events_after(
    connection: Connection,
    saga_id: UUID | str,
    seq: int,
    *,
    most: int = MOST_EVENTS,
    registry: Registry | None = None,
    masked: bool = False,
) -> list[dict[str, Any]]:
    """What happened to a saga after the event ``seq``, oldest first; the first ``most`` of it.

    ``registry`` as for ``one``.
    """
    c = saga_event.c
    found = connection.execute(
        select(*(column.label(name) for name, column in _EVENT.items()))
        .where(c.saga_id == identified(saga_id), c.seq > seq)
        .order_by(c.seq)
        .limit(most)
    )
    events = [plain(dict(event)) for event in found.mappings()]
    if not masked or not events:
        return events
    key = identified(saga_id)
    return masked_events(events, masks(connection, registry, [key])[key])


def show_preview(
    connection: Connection, registry: Registry, saga_id: UUID | str, *, masked: bool = False
) -> dict[str, Any]:
    """What it would come to to have the saga go back now. Raises SagaNotFound."""
    row = queries.look(connection, identified(saga_id))
    if row is None:
        raise SagaNotFound(saga_id)
    saga = registry.having(row.saga_type, row.definition_version, step=row.step)
    told = preview(saga, row) if saga is not None else None
    if masked and told is not None:
        told = masked_preview(told, mask_of(connection, registry, row))
    runs = () if told is None else told.runs
    unknown = f"{row.saga_type} version {row.definition_version} is not known here"
    return {
        "sagaId": str(row.saga_id),
        "status": row.status.value,
        "version": row.version,
        "action": None if told is None else told.action.value,
        "allowed": told is not None and told.why_not is None,
        "whyNot": unknown if told is None else told.why_not,
        "runs": [asdict(run) for run in runs],
        "effects": [
            {"step": step["name"], "role": step["role"], "effect": step["effect"]}
            for step in _steps(saga, row, ())
        ],
        "ends": told.ends.value if told is not None and told.ends else None,
        "then": None if told is None else told.then,
    }


def list_pauses(connection: Connection) -> dict[str, Any]:
    """``{"items": [{"sagaType", "step", "at", "actor", "reason"}]}`` of all that is paused now."""
    found = queries.active_pauses(connection)
    return {
        "items": [
            {
                "sagaType": pause.saga_type,
                "step": pause.step,
                "at": iso(pause.at),
                "actor": pause.actor,
                "reason": pause.reason,
            }
            for pause in found
        ]
    }


def identified(saga_id: UUID | str) -> UUID:
    """The id that was meant. Raises SagaNotFound for what is none."""
    if isinstance(saga_id, UUID):
        return saga_id
    try:
        return UUID(saga_id)
    except ValueError:
        shown = saga_id if len(saga_id) <= _LONGEST_ID else saga_id[:_LONGEST_ID] + "…"
        raise SagaNotFound(shown) from None


def _events(connection: Connection, row: Row) -> list[dict[str, Any]]:
    """What had happened when the row was read; an event's number is the version it made.

    The newest MOST_EVENTS, oldest first: where the first one's ``seq`` is above 1, there are more.
    """
    columns = [column.label(name) for name, column in _EVENT.items()]
    found = connection.execute(
        select(*columns)
        .where(saga_event.c.saga_id == row.saga_id, saga_event.c.seq <= row.version)
        .order_by(saga_event.c.seq.desc())
        .limit(MOST_EVENTS)
    )
    told = [dict(zip(_EVENT, map(_value, event), strict=True)) for event in found]
    return told[::-1]


def _tries(
    connection: Connection, row: Row, events: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """What attempts are counted from, also where not all events are told."""
    if events and events[0]["seq"] == 1:
        return events
    c = saga_event.c
    its = (c.saga_id == row.saga_id, c.seq <= row.version)
    told = (c.step, c.attempt, c.kind, func.jsonb_build_object("asked", c.detail["asked"]))
    tried = select(*told).where(*its, c.kind.in_(TRIED)).order_by(c.seq)
    called = (c.kind == "attempt_started") & (c.detail["task"].astext == c.step)
    net = func.count().filter(called) - func.count().filter(c.kind.in_(WAITS))
    calls = select(c.step, net).where(*its, c.step.is_not(None)).group_by(c.step).having(net > 0)
    names = ("step", "attempt", "kind", "detail")
    return [
        *(dict(zip(names, event, strict=True)) for event in connection.execute(tried)),
        *(
            {"step": step, "attempt": None, "kind": "attempt_started", "detail": {"task": step}}
            for step, count in connection.execute(calls)
            for _ in range(count)
        ),
    ]


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


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values as JSON has them."""
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
