"""All calls are cut off, and the probe finds the order accepted: its final word is waited for."""

from datetime import timedelta
from uuid import UUID

import pytest

from saga import CannotTell, Operator, PollAgain, Refused
from saga.followup import Drop
from saga.timeline import outcome
from tests.integration.shop import SETTLE_AFTER, Shop

pytestmark = pytest.mark.integration

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ACCEPTED = PollAgain(after=HOUR, signal="paid", reason="it takes its time")


def cut_off(shop: Shop, *found: object) -> UUID:
    """A saga whose pivot's calls were all cut off, and what its probe found."""
    shop.script.say("pay", *[TimeoutError()] * 4)
    shop.script.say("find_pay", *found)
    saga_id = shop.start()
    shop.work_off()
    return saga_id


def test_it_waits_as_if_the_step_had_said_so_until_its_signal_comes(shop: Shop) -> None:
    saga_id = cut_off(shop, ACCEPTED)

    row = shop.row(saga_id)
    assert (row["status"], row["waiting_for"], row["signal"]) == ("RUNNING", "poll", "paid")
    assert (row["attempt"], row["polls"], row["dispatches"]) == (0, 1, 0)
    assert (row["stop_reason"], row["claimed_by"], row["epoch"]) == (None, None, 1)
    assert row["effects"]["shop.pay"] == "unknown"
    assert not shop.broker.queue
    [accepted] = [event for event in shop.events(saga_id) if event["kind"] == "accepted"]
    told = outcome(accepted, "shop")
    assert told.startswith("accepted, not final (the probe: it takes its time); asks again in 1 h")

    shop.signal(saga_id)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert len(set(shop.script.called("pay"))) == 1, "called again under the same key"
    assert len(shop.script.called("pay")) == 5


def test_a_signal_that_came_early_is_taken_in_at_once(shop: Shop) -> None:
    shop.script.say("pay", *[TimeoutError()] * 4)
    shop.script.say("find_pay", ACCEPTED)
    saga_id = shop.start()
    shop.signal(saga_id)

    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_when_no_signal_comes_it_is_called_again_when_the_wait_is_over(shop: Shop) -> None:
    """Past its time, and past an hour of asking the probe: nothing is wrong, an alarm tells."""
    saga_id = cut_off(shop, CannotTell("not yet"), ACCEPTED)
    shop.let_pass(MINUTE)
    shop.recover()
    shop.work_off()
    assert shop.row(saga_id)["waiting_for"] == "poll"

    shop.let_pass(6 * MINUTE)
    shop.recover()
    row = shop.row(saga_id)
    assert (row["status"], row["waiting_for"], row["overdue"]) == ("RUNNING", "poll", True)

    shop.let_pass(HOUR)
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_final_no_takes_the_saga_back(shop: Shop) -> None:
    saga_id = cut_off(shop, ACCEPTED)
    shop.script.say("pay", Refused("closed"))
    shop.signal(saga_id)
    shop.work_off()
    assert shop.row(saga_id)["waiting_for"] == "probe", "the refusal is weighed by the probe"

    assert shop.recover_until_rest(saga_id, step=SETTLE_AFTER) == "COMPENSATED"
    assert shop.did() == set()
    assert shop.row(saga_id)["stop_reason"] == "refused"


def test_a_cancelled_saga_waits_for_the_final_word_and_obeys(shop: Shop) -> None:
    shop.script.say("pay", *[TimeoutError()] * 4)
    saga_id = shop.start()
    shop.work_off(until="find_pay")
    Operator(shop.engine, actor="Ann").cancel(saga_id, reason="not wanted any more")
    shop.script.say("find_pay", ACCEPTED)
    shop.work_off()
    row = shop.row(saga_id)
    assert (row["waiting_for"], row["stop_reason"]) == ("poll", "cancelled")

    shop.script.say("pay", Refused("closed"))
    shop.signal(saga_id)
    shop.work_off()

    assert shop.recover_until_rest(saga_id, step=SETTLE_AFTER) == "COMPENSATED"
    assert shop.row(saga_id)["stop_reason"] == "cancelled"


def test_a_late_prober_moves_nothing(shop: Shop) -> None:
    def frozen_meanwhile(_: object) -> CannotTell:
        shop.let_pass(MINUTE)
        shop.recover()
        shop.work_off()
        assert shop.row(saga_id)["waiting_for"] == "poll"
        return CannotTell("an answer of long ago")

    shop.script.say("pay", *[TimeoutError()] * 4)
    shop.script.say("find_pay", frozen_meanwhile, ACCEPTED)
    saga_id = shop.start()
    shop.work_off(until="find_pay")

    assert isinstance(shop.deliver(), Drop)

    assert shop.row(saga_id)["waiting_for"] == "poll"
    assert shop.kinds(saga_id)[-1] == "accepted"


def test_a_probe_that_waits_for_a_signal_nobody_can_send_has_not_answered(shop: Shop) -> None:
    saga_id = cut_off(shop, PollAgain(signal="pidgeon"))

    row = shop.row(saga_id)
    assert row["waiting_for"] == "probe"
    assert "no signal 'pidgeon'" in row["error_message"]
