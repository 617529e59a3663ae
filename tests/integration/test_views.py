"""What all faces tell of sagas, read from a real database. Sagas are run without a broker."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    Engine,
    Forward,
    IdempotencyKey,
    Refused,
    Saga,
    SagaNotFound,
    compensatable,
    external,
    pivot,
    retriable,
    transactional,
    transactional_compensation,
)
from saga.filter import BadFilter, Filter
from saga.followup import Lane, Publication
from saga.lists import list_sagas
from saga.registry import Registry
from saga.runtime import Delivery
from saga.views import MOST_EVENTS, show

pytestmark = pytest.mark.integration


class Trip(BaseModel):
    refuse: bool = False


@transactional("trip.reserve")
def reserve(state: Trip, session: Session) -> Trip:  # noqa: ARG001
    return state


@transactional_compensation("trip.give_back")
def give_back(state: Trip, session: Session, forward: Forward) -> None:
    pass


@external("trip.pay")
def pay(state: Trip, key: IdempotencyKey) -> Trip:  # noqa: ARG001
    if state.refuse:
        raise Refused("the card has expired", code="EXPIRED")
    return state


@transactional("trip.confirm")
def confirm(state: Trip, session: Session) -> Trip:  # noqa: ARG001
    return state


trip = Saga(
    name="trip",
    version=1,
    state=Trip,
    timeout=timedelta(minutes=5),
    steps=[compensatable(reserve, compensation=give_back), pivot(pay), retriable(confirm)],
)


class Broker:
    """Takes everything and delivers nothing."""

    def publish(self, publication: Publication) -> None:
        pass

    def waiting(self, lane: Lane) -> int:  # noqa: ARG002
        return 0


@pytest.fixture
def engine(database: Database) -> Engine:
    return Engine(database=database, sagas=[trip], publisher=Broker())


@pytest.fixture
def start(engine: Engine) -> Callable[..., UUID]:
    def start(state: Trip | None = None, **options: Any) -> UUID:
        with Session(engine.database) as session, session.begin():
            return engine.start(session, trip, state or Trip(), **options).saga_id

    return start


def work(engine: Engine, saga_id: UUID, *tasks: str) -> None:
    for task in tasks:
        epoch = "SELECT epoch FROM saga_state WHERE saga_id = :saga_id"
        with engine.database.begin() as connection:
            found = connection.execute(text(epoch), {"saga_id": saga_id}).scalar_one()
        delivery = Delivery(task_id=f"task of {task}", worker="worker1@here")
        engine.run(task, saga_id, epoch=found, delivery=delivery)


def listed(engine: Engine, **wanted: Any) -> list[str]:
    with engine.database.begin() as connection:
        return [item["sagaId"] for item in list_sagas(connection, Filter(**wanted))["items"]]


def shown(engine: Engine, saga_id: UUID | str) -> dict[str, Any]:
    with engine.database.begin() as connection:
        return show(connection, engine.registry, saga_id)


def test_a_saga_is_told_in_camel_case_with_instants_in_utc(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    saga_id = start(business_key="trip:1")

    with engine.database.begin() as connection:
        (item,) = list_sagas(connection)["items"]

    assert item["startedAt"].endswith("Z")
    assert item["startedAt"] < item["timeoutAt"]
    assert item | {"startedAt": "", "timeoutAt": ""} == {
        "sagaId": str(saga_id),
        "sagaType": "trip",
        "status": "RUNNING",
        "currentStep": "trip.reserve",
        "stepIndex": 0,
        "retryCount": 0,
        "maxRetries": 3,
        "businessKey": "trip:1",
        "version": 1,
        "errorMessage": None,
        "startedAt": "",
        "timeoutAt": "",
        "completedAt": None,
    }


def test_pages_are_newest_first_and_hold_every_saga_once_while_others_are_started(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    sagas = [str(start()) for _ in range(5)]
    pages: list[list[str]] = []
    cursor: str | None = None

    while True:
        with engine.database.begin() as connection:
            page = list_sagas(connection, Filter(limit=2, cursor=cursor))
        pages.append([item["sagaId"] for item in page["items"]])
        cursor = page["nextCursor"]
        if cursor is None:
            break
        start()

    assert pages == [[sagas[4], sagas[3]], [sagas[2], sagas[1]], [sagas[0]]]


def test_sagas_started_in_the_same_moment_are_all_on_some_page(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    sagas = [str(start()) for _ in range(4)]
    same = text("UPDATE saga_state SET created_at = clock_timestamp()::date WHERE saga_id = :it")
    with engine.database.begin() as connection:
        # Written in another order than they were started, as rows come to lie in a real table.
        for number in (2, 0, 3, 1):
            connection.execute(same, {"it": sagas[number]})
        first = list_sagas(connection, Filter(limit=2))
        second = list_sagas(connection, Filter(limit=2, cursor=first["nextCursor"]))

    pages = [item["sagaId"] for page in (first, second) for item in page["items"]]
    assert pages == sagas[::-1]
    assert second["nextCursor"] is None


def test_a_list_is_narrowed_by_all_that_is_asked(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    done, refused, fresh = start(), start(Trip(refuse=True)), start(business_key="trip:3")
    work(engine, done, "trip.reserve", "trip.pay", "trip.confirm")
    work(engine, refused, "trip.reserve", "trip.pay", "trip.give_back")

    assert listed(engine, status="COMPLETED") == [str(done)]
    assert listed(engine, status="compensated") == [str(refused)]
    assert listed(engine, step="trip.reserve", status="RUNNING") == [str(fresh)]
    assert listed(engine, key="trip:3") == [str(fresh)]
    assert listed(engine, type="trip", status="FAILED") == []
    assert listed(engine, type="boat") == []


def test_a_list_ends_before_until_and_begins_with_since(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    _, middle, _ = start(), start(), start()
    began = "SELECT created_at FROM saga_state WHERE saga_id = :saga_id"
    with engine.database.begin() as connection:
        instant = connection.execute(text(began), {"saga_id": middle}).scalar_one()

    assert listed(engine, since=instant, until=instant + timedelta(microseconds=1)) == [str(middle)]
    assert str(middle) not in listed(engine, until=instant)


def test_free_text_is_found_in_the_id_the_key_and_the_error_of_what_did_not_complete(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    refused = start(Trip(refuse=True), business_key="trip:200")
    other = start(business_key="trip:100%_sure")
    work(engine, refused, "trip.reserve", "trip.pay")

    assert listed(engine, q=str(other)[4:20]) == [str(other)]
    assert listed(engine, q="TRIP:100%_") == [str(other)]
    assert listed(engine, q="card has expired") == [str(refused)]
    assert listed(engine, q="%") == [str(other)]
    with engine.database.begin() as connection:
        connection.execute(
            text("UPDATE saga_state SET error_message = 'card has expired' WHERE saga_id = :it"),
            {"it": other},
        )
    work(engine, other, "trip.reserve", "trip.pay", "trip.confirm")
    with engine.database.begin() as connection:
        connection.execute(
            text("UPDATE saga_state SET error_message = 'card has expired' WHERE saga_id = :it"),
            {"it": other},
        )

    assert listed(engine, q="card has expired") == [str(refused)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "LOST"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "ten"),
        ("limit", "-1"),
        ("limit", "9" * 5000),
        ("cursor", "no-cursor"),
        ("cursor", "é"),
        ("cursor", "bnVsbA"),
        ("cursor", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwgMV0"),
        ("since", "yesterday"),
        ("until", "0001-01-01T00:00:00+23:59"),
        ("q", "a\0b"),
        ("type", "x" * 501),
        ("colour", "red"),
    ],
)
def test_a_filter_that_cannot_be_names_its_field(field: str, value: str) -> None:
    with pytest.raises(BadFilter) as refused:
        Filter.parse({field: value})

    assert refused.value.field == field


def test_what_is_left_empty_narrows_nothing() -> None:
    assert Filter.parse({"status": "", "limit": "", "cursor": None}) == Filter()


def test_steps_tell_their_role_their_effect_and_how_often_they_were_tried(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    saga_id = start(Trip(refuse=True))
    work(engine, saga_id, "trip.reserve", "trip.pay", "trip.give_back")

    told = shown(engine, saga_id)

    assert told["steps"] == [
        {"name": "trip.reserve", "role": "compensatable", "effect": "compensated", "attempts": 1},
        {"name": "trip.pay", "role": "pivot", "effect": "not_done", "attempts": 1},
        {"name": "trip.confirm", "role": "retriable", "effect": "not_started", "attempts": 0},
    ]
    assert told["allowedActions"] == []


def test_the_timeline_tells_who_did_what_and_for_how_long(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    saga_id = start()
    work(engine, saga_id, "trip.reserve", "trip.pay", "trip.confirm")

    events = shown(engine, str(saga_id))["events"]

    kinds = ["started", "step_done", "attempt_started", "step_done", "completed"]
    assert [event["kind"] for event in events] == kinds
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    done = events[1]
    assert done.pop("duration") >= 0
    assert done.pop("at").endswith("Z")
    assert done == {
        "seq": 2,
        "kind": "step_done",
        "step": "trip.reserve",
        "attempt": 1,
        "worker": "worker1@here",
        "taskId": "task of trip.reserve",
        "actor": None,
        "detail": {},
    }


def test_of_a_long_timeline_the_newest_events_are_told_and_all_attempts_counted(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    saga_id = start()
    work(engine, saga_id, "trip.reserve")
    asked = text(
        "INSERT INTO saga_event (saga_id, seq, at, kind, step, attempt, epoch, detail) "
        "SELECT saga_id, version + n, now(), CASE WHEN n % 2 = 1 THEN 'attempt_started' "
        "WHEN n = 2 THEN 'attempt_failed' ELSE 'accepted' END, 'trip.pay', 1, 1, "
        """'{"task": "trip.pay"}' FROM saga_state, generate_series(1, :most + 100) AS n"""
    )
    with engine.database.begin() as connection:
        connection.execute(asked, {"most": MOST_EVENTS})
        connection.execute(
            text("UPDATE saga_state SET version = version + :most + 100"), {"most": MOST_EVENTS}
        )

    told = shown(engine, saga_id)

    events, version = told["events"], told["saga"]["version"]
    assert [event["seq"] for event in events] == list(range(version - MOST_EVENTS + 1, version + 1))
    assert [step["attempts"] for step in told["steps"]] == [1, 1, 0]


def test_a_saga_of_a_definition_that_nobody_here_knows_is_shown_all_the_same(
    engine: Engine, start: Callable[..., UUID]
) -> None:
    saga_id = start()
    work(engine, saga_id, "trip.reserve")

    with engine.database.begin() as connection:
        told = show(connection, Registry([]), saga_id)

    assert told["saga"]["sagaType"] == "trip"
    assert told["steps"] == [
        {"name": "trip.reserve", "role": None, "effect": "done", "attempts": 1},
        {"name": "trip.pay", "role": None, "effect": "not_started", "attempts": 0},
    ]


@pytest.mark.parametrize(
    "saga_id", ["0b9f6a1e-5c1d-4a57-9a55-2f3c1f0a7d11", "no-id", "a\0b", "x" * 10_000, ""]
)
def test_what_is_no_sagas_id_is_not_found(engine: Engine, saga_id: str) -> None:
    with pytest.raises(SagaNotFound) as missing:
        shown(engine, saga_id)

    assert len(str(missing.value)) < 200
