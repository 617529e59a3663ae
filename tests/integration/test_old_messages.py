"""What was published before an operator stepped in, or a signal came, moves nothing any more."""

from datetime import timedelta
from typing import Any

import pytest

from saga import Wait
from saga.followup import Drop
from saga.operator import Operator
from saga.transaction import Transaction
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def test_the_retry_that_an_operator_did_not_wait_for_comes_too_late(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("ship", RuntimeError("no"))
    saga_id = shop.start()
    shop.deliver()
    shop.deliver()
    [(wait, held)] = shop.broker.held
    shop.broker.held.clear()

    ann.retry(saga_id, reason="it is up again")
    shop.let_pass(wait + timedelta(seconds=1))

    assert shop.deliver(held) == Drop("old epoch")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert len(shop.script.called("ship")) == 2


def test_a_failed_saga_that_goes_on_is_another_ones_than_that_which_failed(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("tell", *[RuntimeError("no")] * 4)
    saga_id = shop.start()
    shop.work_off(until="tell")
    old = shop.broker.queue[0]
    shop.work_off()
    failed = shop.row(saga_id)
    assert failed["status"] == "FAILED"

    ann.retry(saga_id, reason="it is up again")

    assert shop.row(saga_id)["epoch"] == failed["epoch"] + 1
    for epoch in (old.epoch, failed["epoch"]):
        assert shop.deliver(old, epoch=epoch) == Drop("old epoch")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_wait_that_is_written_down_too_late_does_not_park_what_was_signalled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = Wait(signal="paid", timeout=timedelta(hours=1))
    shop.script.say("reserve", wait, wait)
    saga_id = shop.start()
    doubled, record = shop.broker.queue[0], Transaction._settle_apart

    def frozen_before(worker: Transaction, *said: Any) -> Any:
        monkeypatch.undo()
        shop.deliver(doubled)
        shop.signal(saga_id)
        return record(worker, *said)

    monkeypatch.setattr(Transaction, "_settle_apart", frozen_before)
    assert shop.deliver() == Drop("old epoch")

    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
