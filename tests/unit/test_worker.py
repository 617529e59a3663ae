"""What an engine's followups become in Celery: whether a task's chain goes on, ends or fails."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery
from celery.exceptions import Retry

from saga import Engine, Saga, connect
from saga.followup import (
    BrokerAway,
    Drop,
    Followup,
    Lane,
    Next,
    Park,
    Publication,
    Publish,
    Raise,
    RetryIn,
)
from saga.runtime import Delivery
from saga.worker import COMPENSATE, DROPPED, CeleryPublisher, register
from tests.unit.positions import State, book, refund, refund_call, take

pytestmark = pytest.mark.unit

SAGA_ID = uuid4()
CHAIN = Publication(saga_id=SAGA_ID, epoch=1, tasks=(take.name,), lane=Lane.NEW)


class NoBroker:
    """Notes what it is to publish; away, if a test says so."""

    def __init__(self) -> None:
        self.published: list[Publication] = []
        self.is_away = False

    def publish(self, publication: Publication) -> None:
        if self.is_away:
            raise BrokerAway("nobody listens")
        self.published.append(publication)

    def waiting(self, lane: Lane) -> int:
        raise BrokerAway(f"nobody listens to {lane}")


class Says(Engine):
    """An engine whose every run comes to what the test says."""

    def __init__(self, followup: Followup | Exception, saga: Saga[Any] = refund) -> None:
        self.broker = NoBroker()
        database = connect("postgresql://nobody@127.0.0.1:1/nothing")
        super().__init__(database=database, sagas=[saga], publisher=self.broker)
        self.followup = followup

    def run(self, task: str, saga_id: UUID, *, epoch: int, delivery: Delivery) -> Followup:
        assert (task, saga_id, epoch) == (take.name, SAGA_ID, 1)
        assert not delivery.redelivered
        if isinstance(self.followup, Exception):
            raise self.followup
        return self.followup

    def send_compensations(self, saga_id: UUID) -> Followup:
        assert saga_id == SAGA_ID
        assert not isinstance(self.followup, Exception)
        return self.followup


def celery_of(engine: Engine) -> Celery:
    celery = Celery("worker", set_as_current=False, broker="memory://")
    register(celery, engine)
    return celery


def run(engine: Says, task: str = take.name, *args: Any) -> Any:
    return celery_of(engine).tasks[task].apply(args or (str(SAGA_ID), 1))


def test_a_step_that_is_done_lets_its_chain_go_on() -> None:
    assert run(Says(Next())).state == "SUCCESS"


@pytest.mark.parametrize("followup", [Drop("old epoch"), Park(), Publish(CHAIN)])
def test_what_is_not_done_here_ends_its_chain(followup: Followup) -> None:
    assert run(Says(followup)).state == "IGNORED"


@pytest.mark.parametrize("followup", [Drop("sent already"), Publish(CHAIN)])
def test_link_error_ends_with_itself(followup: Followup) -> None:
    assert run(Says(followup), COMPENSATE, str(SAGA_ID)).state == "IGNORED"


def test_a_dropped_message_is_counted() -> None:
    before = DROPPED.reasons.get("for this test", 0)

    run(Says(Drop("for this test")))

    assert DROPPED.reasons["for this test"] == before + 1


def test_an_error_is_let_go_so_that_link_error_fires() -> None:
    error = ValueError("given up")

    result = run(Says(Raise(error)))

    assert (result.state, result.result) == ("FAILURE", error)


class Named(State):
    name: str


def test_trouble_of_ours_is_let_go_without_what_it_says_of_a_saga_with_sensitive_fields() -> None:
    secret = replace(refund, state=Named, sensitive=["name"])

    told = run(Says(ValueError("in alice's row")))
    hidden = run(Says(ValueError("in alice's row"), secret))

    assert str(told.result) == "in alice's row"
    assert str(hidden.result) == "ValueError: ***", "the row cannot be read here"
    assert "alice" in told.traceback
    assert "alice" not in hidden.traceback


def test_a_retry_waits_whole_seconds_and_no_less_than_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    celery = celery_of(Says(RetryIn(timedelta(seconds=1.2))))
    task = celery.tasks[take.name]
    waits: list[dict[str, Any]] = []

    def retry(**options: Any) -> Retry:
        waits.append(options)
        return Retry()

    monkeypatch.setattr(task, "retry", retry)
    task.apply((str(SAGA_ID), 1))

    assert [options["countdown"] for options in waits] == [2]


def test_what_follows_is_published_and_left_to_recovery_when_nobody_listens() -> None:
    engine = Says(Publish(CHAIN))

    run(engine)
    engine.broker.is_away = True

    assert engine.broker.published == [CHAIN]
    assert run(engine).state == "IGNORED"


def test_two_engines_in_one_process_have_tasks_of_their_own() -> None:
    first, second = celery_of(Says(Next())), celery_of(Says(Park()))

    states = [app.tasks[take.name].apply((str(SAGA_ID), 1)).state for app in (first, second)]

    assert states == ["SUCCESS", "IGNORED"]


@pytest.mark.parametrize("name", [take.name, refund_call.name, "refund.give_back", "refund.find"])
def test_a_message_is_acknowledged_when_its_work_is_done_or_its_worker_lost(name: str) -> None:
    task = celery_of(Says(Next())).tasks[name]

    assert (task.acks_late, task.reject_on_worker_lost) == (True, True)
    assert task.max_retries is None
    assert task.time_limit == task.soft_time_limit + 5


def test_a_chain_has_one_epoch_and_calls_back_when_it_fails_and_compensations_do_not() -> None:
    celery = Celery("worker", set_as_current=False, broker="memory://")
    publisher = CeleryPublisher(celery)
    tasks = (take.name, book.name)
    sent = []
    with celery.connection_for_read() as connection:
        for lane in (Lane.NEW, Lane.COMPENSATION):
            publisher.publish(Publication(saga_id=SAGA_ID, epoch=7, tasks=tasks, lane=lane))
            sent.append(connection.SimpleQueue(lane.value).get(timeout=5))

    first, back = sent
    for message in sent:
        args, _, embedded = message.payload
        assert args == [str(SAGA_ID), 7]
        assert [(later["task"], later["args"]) for later in embedded["chain"]] == [
            (book.name, [str(SAGA_ID), 7])
        ]
    assert [error["task"] for error in first.payload[2]["errbacks"]] == [COMPENSATE]
    assert not back.payload[2]["errbacks"]
