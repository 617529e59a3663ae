"""Messages that are not, or no more, ours to act on: dropped, and nothing is written."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from saga import Refused
from saga.followup import Drop
from tests.integration.by_hand import Killed, Message
from tests.integration.shop import Shop
from tests.integration.shop import shop as shop_saga

pytestmark = pytest.mark.integration

TASKS = [
    *("shop.reserve", "shop.ship", "shop.pay", "shop.book", "shop.tell"),
    *("shop.release", "shop.recall", "shop.find_pay"),
]


def everything(shop: Shop) -> tuple[Any, ...]:
    with shop.database.begin() as connection:
        return tuple(
            connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).fetchall()
            for table in ("saga_state", "saga_event")
        )


@pytest.mark.parametrize("task", TASKS)
def test_a_saga_that_does_not_exist(shop: Shop, task: str) -> None:
    message = Message(uuid4(), 1, (task,), has_link_error=True)

    for redelivered in (False, True):
        assert shop.deliver(message, redelivered=redelivered) == Drop("unknown saga")
    assert isinstance(shop.engine.send_compensations(message.saga_id), Drop)
    assert shop.script.calls == []


@pytest.mark.parametrize("epoch", [0, 2, 10**6])
def test_another_epoch(shop: Shop, epoch: int) -> None:
    saga_id = shop.start()
    before = everything(shop)

    for task in TASKS:
        message = Message(saga_id, epoch, (task,), has_link_error=True)
        assert shop.deliver(message) == Drop("old epoch")
        assert shop.deliver(message, redelivered=True) == Drop("old epoch")
    assert everything(shop) == before
    assert shop.script.calls == []


@pytest.mark.parametrize("step", ["reserve", "ship", "pay", "book", "tell"])
def test_a_saga_that_stands_elsewhere(shop: Shop, step: str) -> None:
    saga_id = shop.start()
    shop.work_off(until=step)
    before, calls = everything(shop), len(shop.script.calls)

    for task in TASKS:
        if task != f"shop.{step}":
            followup = shop.deliver(Message(saga_id, 1, (task,), has_link_error=True))
            assert isinstance(followup, Drop)
    assert everything(shop) == before
    assert len(shop.script.calls) == calls


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_saga_that_is_done(shop: Shop, redelivered: bool) -> None:  # noqa: FBT001
    saga_id = shop.start()
    shop.work_off()
    before = everything(shop)

    for task in TASKS:
        message = Message(saga_id, 1, (task,), has_link_error=True)
        assert isinstance(shop.deliver(message, redelivered=redelivered), Drop)
    assert everything(shop) == before


def test_every_message_twice(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))

    while shop.broker.queue:
        message = shop.broker.queue[0]
        shop.deliver()
        assert isinstance(shop.deliver(message), Drop)
        assert isinstance(shop.deliver(message, redelivered=True), Drop)

    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.script.order() == ["reserve", "ship", "pay", "recall", "release"]


@pytest.mark.parametrize("step", ["reserve", "ship", "pay", "book", "tell"])
def test_a_duplicate_while_the_step_runs(shop: Shop, step: str) -> None:
    saga_id = shop.start()
    shop.work_off(until=step)
    message = shop.broker.queue[0]
    duplicates: list[Any] = []

    def meanwhile(_: Any) -> None:
        duplicates.append(shop.deliver(message))
        duplicates.append(shop.deliver(message, redelivered=True))

    shop.script.say(step, meanwhile)
    shop.work_off()

    assert duplicates
    assert all(isinstance(followup, Drop) for followup in duplicates)
    assert shop.status(saga_id) == "COMPLETED"
    assert len(shop.script.called(step)) == 1


def test_a_duplicate_while_the_probe_is_asked(shop: Shop) -> None:
    shop.start()
    shop.work_off(until="pay")
    message = shop.broker.queue[0]
    shop.script.say("pay", *[ConnectionError("cut")] * 4)
    shop.work_off(until="find_pay")

    assert shop.deliver(message) == Drop("not its turn")
    assert len(shop.script.called("pay")) == 4


def test_a_claimed_saga_tells_duplicates_that_it_is_claimed(shop: Shop) -> None:
    shop.start()
    shop.work_off(until="ship")
    message = shop.broker.queue[0]
    shop.script.say("ship", Killed())
    shop.kill()

    assert shop.deliver(message) == Drop("claimed elsewhere")


def test_a_definition_that_this_worker_does_not_know(shop: Shop) -> None:
    saga_id = shop.start()
    before = everything(shop)
    shop.engine = shop.engine_for(shop_saga(shop.script, version=2))

    assert shop.deliver() == Drop("unknown definition")
    assert everything(shop) == before
    assert isinstance(shop.engine.send_compensations(saga_id), Drop)


def test_a_message_after_the_sagas_time_leaves_the_word_to_recovery(shop: Shop) -> None:
    saga_id = shop.start()
    shop.let_pass(timedelta(minutes=5))
    before = everything(shop)

    assert shop.deliver() == Drop("its time is over")
    assert everything(shop) == before
    shop.recover()
    assert shop.status(saga_id) == "TIMEOUT"


def test_a_probe_that_nobody_waits_for(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="pay")
    probe = replace(shop.broker.queue[0], tasks=("shop.find_pay",))

    assert shop.deliver(probe) == Drop("not its turn")
    assert shop.status(saga_id) == "RUNNING"
