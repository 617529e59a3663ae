"""Second looks at what a provider was not found to have done, and what they may find."""

from datetime import timedelta
from uuid import UUID

import pytest

from tests.integration.by_hand import Killed
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

CUT = ConnectionError("cut")
SECOND = timedelta(seconds=1)


def second_look(shop: Shop) -> UUID:
    """A saga that rested because its probe found nothing."""
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.work_off()
    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) == "COMPENSATED"
    return saga_id


def test_second_looks_are_taken_after_ten_minutes_and_a_day(shop: Shop) -> None:
    saga_id = second_look(shop)
    asked = len(shop.script.called("find_pay"))

    for wait, looks in ((timedelta(minutes=10), 1), (timedelta(hours=23, minutes=50), 2)):
        shop.let_pass(wait - timedelta(seconds=5))
        assert shop.recover().due == 0
        shop.let_pass(timedelta(seconds=5))
        shop.recover()
        shop.work_off()
        assert shop.row(saga_id)["looks"] == looks

    row = shop.row(saga_id)
    assert (row["status"], row["waiting_for"], row["wake_at"]) == ("COMPENSATED", None, None)
    assert len(shop.script.called("find_pay")) == asked + 2


def test_a_second_look_that_finds_the_effect_fails_the_saga_with_an_alarm(shop: Shop) -> None:
    saga_id = second_look(shop)
    shop.script.outside.add("pay")
    shop.let_pass(timedelta(minutes=10))
    shop.recover()
    shop.work_off()

    row = shop.row(saga_id)
    assert (row["status"], row["effects"]["shop.pay"]) == ("FAILED", "done")
    assert "took effect after all" in row["error_message"]


def test_a_second_look_without_an_answer_is_taken_again(shop: Shop) -> None:
    saga_id = second_look(shop)
    error = shop.row(saga_id)["error_message"]
    shop.script.say("find_pay", CUT, CUT)
    shop.let_pass(timedelta(minutes=10))
    shop.recover()
    shop.work_off()
    for _ in range(2):
        assert (shop.row(saga_id)["looks"], shop.status(saga_id)) == (0, "COMPENSATED")
        shop.let_pass(timedelta(seconds=20))
        shop.recover()
        shop.work_off()

    row = shop.row(saga_id)
    assert (row["looks"], row["status"], row["error_message"]) == (1, "COMPENSATED", error)


def test_a_second_look_whose_worker_is_lost_is_taken_over(shop: Shop) -> None:
    saga_id = second_look(shop)
    epoch = shop.row(saga_id)["epoch"]
    shop.let_pass(timedelta(minutes=10))
    shop.recover()
    shop.script.say("find_pay", Killed())
    shop.kill()
    shop.let_pass(SECOND)
    shop.recover()
    shop.work_off()

    row = shop.row(saga_id)
    assert (row["epoch"], row["looks"], row["status"]) == (epoch + 1, 1, "COMPENSATED")
