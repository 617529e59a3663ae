"""A call that was taken for lost and comes back: what it may still say, and what it may not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from saga import (
    DidNotHappen,
    Effect,
    NeedsPerson,
    PollAgain,
    Refused,
    TryAgain,
)
from saga.followup import Drop, Followup
from tests.integration.shop import SETTLE_AFTER, Shop

pytestmark = pytest.mark.integration

CUT = ConnectionError("cut")
SECOND = timedelta(seconds=1)


class Zombie:
    """A worker that froze in a call and comes back once others went on."""

    def __init__(self, shop: Shop, step: str) -> None:
        self._frozen, self._go = threading.Event(), threading.Event()
        self._shop = shop
        self.followup: Followup | None = None
        self._answer: Any = None
        shop.script.say(step, self._freeze)
        self._thread = threading.Thread(target=self._run, args=(shop.broker.queue.popleft(),))
        self._thread.start()
        assert self._frozen.wait(5)

    def _freeze(self, _: Any) -> Any:
        self._frozen.set()
        assert self._go.wait(20)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def _run(self, message: Any) -> None:
        self.followup = self._shop.deliver(message)

    def wake(self, answer: Any = None) -> Followup:
        self._answer = answer
        self._go.set()
        self._thread.join(20)
        assert self.followup is not None
        return self.followup


@contextmanager
def frozen(shop: Shop, step: str) -> Iterator[Zombie]:
    """A worker frozen in the step, its heart stopped, its lease lost, and taken over."""
    shop.work_off(until=step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saga.heartbeat.store.renew_lease", lambda *_, **__: False)
        zombie = Zombie(shop, step)
        shop.let_pass(SECOND)
        shop.recover()
        try:
            yield zombie
        finally:
            zombie._go.set()


@pytest.mark.parametrize(
    "answer", [None, CUT, Refused("no"), TryAgain("busy"), PollAgain(after=SECOND)]
)
def test_a_zombie_moves_nothing(shop: Shop, answer: Any) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        before = shop.row(saga_id)
        assert zombie.wake(answer) == Drop("claim was lost")

    after = shop.row(saga_id)
    changed = {name for name, value in after.items() if value != before[name]}
    assert changed <= {"version", "updated_at"}
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_late_success_is_recorded_all_the_same(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        zombie.wake()

    assert shop.kinds(saga_id)[-1] == "late_success"
    assert shop.events(saga_id)[-1]["task_id"] == "task"


def test_a_late_word_that_the_order_stands_is_recorded_too(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        zombie.wake(NeedsPerson("the money is parked"))

    assert shop.kinds(saga_id)[-1] == "late_success"


def test_a_late_word_that_nothing_was_done_is_not(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        zombie.wake(NeedsPerson("top up", effect=Effect.NOT_STARTED))

    assert "late_success" not in shop.kinds(saga_id)


def test_a_late_failure_is_not(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        zombie.wake(Refused("no"))

    assert "late_success" not in shop.kinds(saga_id)


def test_a_late_success_after_the_saga_was_compensated_wakes_it_up_failed(shop: Shop) -> None:
    saga_id = shop.start(business_key="order:1")
    with frozen(shop, "pay") as zombie:
        shop.script.say("pay", *[CUT] * 3)
        shop.work_off()
        assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) == "COMPENSATED"
        zombie.wake()

    row = shop.row(saga_id)
    assert row["status"] == "FAILED"
    assert row["effects"]["shop.pay"] == "done"
    assert (row["holds_key"], row["completed_at"], row["wake_at"]) == (True, None, None)
    assert "took effect after all" in shop.events(saga_id)[-1]["detail"]["alarm"]


def test_a_late_success_leaves_a_business_key_to_who_has_it_now(shop: Shop) -> None:
    saga_id = shop.start(business_key="order:1")
    with frozen(shop, "pay") as zombie:
        shop.script.say("pay", *[CUT] * 3)
        shop.work_off()
        assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) == "COMPENSATED"
        other = shop.start(business_key="order:1")
        zombie.wake()

    assert (shop.status(saga_id), shop.row(saga_id)["holds_key"]) == ("FAILED", False)
    assert shop.row(other)["holds_key"]


def test_a_late_success_of_a_compensated_call_wakes_the_saga_up_failed(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "ship") as zombie:
        shop.script.say("ship", *[CUT] * 3)
        shop.work_off()
        assert shop.status(saga_id) == "COMPENSATED"
        zombie.wake()

    assert shop.status(saga_id) == "FAILED"
    assert shop.row(saga_id)["effects"]["shop.ship"] == "done"


def test_a_late_success_during_its_own_compensation_makes_that_run_again(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "ship") as zombie:
        shop.script.say("ship", *[CUT] * 3)
        shop.script.say("recall", lambda _: zombie.wake() and None)
        shop.work_off()

    assert [known.effect for known in shop.script.called("recall")] == ["unknown", "done"]
    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.script.outside == set()


def test_a_late_pivot_during_a_compensation_stops_the_way_back(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        shop.script.say("pay", *[CUT] * 3)
        shop.script.say("recall", lambda _: zombie.wake() and None)
        with pytest.raises(AssertionError, match="no rest"):
            shop.recover_until_rest(saga_id, step=timedelta(0), most=1)
        shop.work_off()
        assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) == "FAILED"

    row = shop.row(saga_id)
    assert row["effects"] == {
        "shop.reserve": "done",
        "shop.ship": "compensated",
        "shop.pay": "done",
    }
    assert shop.script.called("release") == []


def test_a_late_success_beats_an_older_nothing_of_the_probe(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "pay") as zombie:
        shop.script.say("pay", *[CUT] * 3)
        shop.work_off(until="find_pay")
        shop.let_pass(timedelta(seconds=60))

        def late(_: Any) -> Any:
            zombie.wake()
            return DidNotHappen()

        shop.script.say("find_pay", late)
        shop.work_off()

    assert shop.row(saga_id)["status"] == "RUNNING"
    shop.let_pass(timedelta(seconds=10))
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_what_a_slow_probe_did_not_find_may_have_happened_since(shop: Shop) -> None:
    """Asked before the provider had its time to settle, answered after it."""
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.work_off(until="find_pay")

    def slowly(_: Any) -> DidNotHappen:
        seen = DidNotHappen()
        shop.script.outside.add("pay")
        shop.let_pass(SETTLE_AFTER)
        return seen

    shop.script.say("find_pay", slowly)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.script.called("recall") == []


def test_a_failed_saga_learns_of_a_late_success(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "tell") as zombie:
        shop.script.say("tell", *[CUT] * 3)
        shop.work_off()
        assert shop.status(saga_id) == "FAILED"
        zombie.wake()

    assert shop.status(saga_id) == "FAILED"
    assert shop.row(saga_id)["effects"]["shop.tell"] == "done"


def test_a_completed_saga_takes_no_harm_from_a_late_success(shop: Shop) -> None:
    saga_id = shop.start()
    with frozen(shop, "tell") as zombie:
        shop.work_off()
        zombie.wake()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.kinds(saga_id)[-1] == "late_success"
