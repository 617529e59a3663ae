"""The end of a saga's time, and when a probe's "nothing" is believed."""

from datetime import timedelta

import pytest

from saga import CannotTell, PollAgain, TryAgain
from saga.followup import Drop
from tests.integration.by_hand import Killed
from tests.integration.shop import SETTLE_AFTER, Shop

pytestmark = pytest.mark.integration

CUT = ConnectionError("cut")
HOUR = timedelta(hours=1)


def test_a_saga_waiting_for_a_long_retry_notices_the_end_of_its_time(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("ship", TryAgain("come back tomorrow", after=timedelta(days=1)))
    shop.work_off()

    shop.let_pass(timedelta(minutes=5))
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "TIMEOUT"


def test_a_call_before_the_pivot_that_is_accepted_notices_the_end_of_its_time(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("ship", PollAgain(after=timedelta(days=1)))
    shop.work_off()

    shop.let_pass(timedelta(minutes=5))
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "TIMEOUT"
    assert shop.script.order() == ["reserve", "ship", "recall", "release"]


def test_a_retry_past_the_pivot_is_not_hurried_by_the_end_of_its_time(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("book", TryAgain("busy", after=HOUR))
    shop.work_off()

    shop.let_pass(timedelta(minutes=6))
    shop.recover()

    assert not shop.broker.queue
    assert len(shop.script.called("book")) == 1
    shop.let_pass(HOUR)
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert "overdue" in shop.kinds(saga_id)


def test_an_accepted_pivot_is_not_hurried_by_the_end_of_its_time(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", PollAgain(after=HOUR), PollAgain(after=HOUR))
    shop.work_off()

    shop.let_pass(timedelta(minutes=6))
    shop.recover()
    assert not shop.broker.queue
    for _ in range(2):
        shop.let_pass(HOUR)
        shop.recover()
        shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.kinds(saga_id).count("overdue") == 1


def test_a_compensations_wait_is_not_hurried_by_the_end_of_time(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("ship", *[TryAgain("busy")] * 4)
    shop.script.say("release", TryAgain("busy", after=HOUR))
    shop.work_off()
    assert shop.status(saga_id) == "COMPENSATING"

    shop.let_pass(timedelta(minutes=6))
    shop.recover()

    assert not shop.broker.queue
    shop.let_pass(HOUR)
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPENSATED"


def test_a_call_that_hangs_over_the_sagas_time_is_asked_about_and_times_out(shop: Shop) -> None:
    saga_id = shop.start()

    def hang(_: object) -> None:
        shop.let_pass(timedelta(minutes=5))
        raise CUT

    shop.script.say("pay", hang)
    shop.work_off()
    assert shop.row(saga_id)["waiting_for"] == "probe"

    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=10)) == "TIMEOUT"
    assert shop.script.order()[-2:] == ["recall", "release"]
    assert len(shop.script.called("pay")) == 1


def test_nothing_found_is_believed_only_after_the_call_had_time_to_settle(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.work_off()

    # The probe was asked at once, and its word was not believed.
    assert len(shop.script.called("find_pay")) == 1
    shop.let_pass(SETTLE_AFTER - timedelta(seconds=2))
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "RUNNING"
    shop.let_pass(timedelta(seconds=2))
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert len(shop.script.called("find_pay")) == 2
    assert shop.row(saga_id)["effects"]["shop.pay"] == "not_done"


def test_a_call_that_was_lost_may_last_until_its_hard_limit_whatever_later_ones_did(
    shop: Shop,
) -> None:
    """A frozen worker calls until 6 s after its claim; the attempts after it end sooner."""
    saga_id = shop.start()
    shop.work_off(until="pay")
    shop.script.say("pay", Killed(), *[CUT] * 3)
    shop.kill()
    deadline = shop.row(saga_id)["claim_deadline"]

    shop.let_pass(timedelta(seconds=1))
    shop.recover()
    row = shop.row(saga_id)
    assert row["call_ended_at"] == deadline - timedelta(seconds=1)
    shop.deliver()

    assert shop.row(saga_id)["call_ended_at"] == row["call_ended_at"]


def test_a_poll_after_a_lost_call_does_not_forget_it_either(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="pay")
    shop.script.say("pay", Killed(), PollAgain(after=HOUR))
    shop.kill()
    shop.let_pass(timedelta(seconds=1))
    shop.recover()
    ended = shop.row(saga_id)["call_ended_at"]

    shop.deliver()

    assert shop.row(saga_id)["call_ended_at"] == ended


def test_a_probe_after_a_lost_call_waits_for_its_hard_limit(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="pay")
    shop.script.say("pay", *[CUT] * 3, Killed())
    for _ in range(3):
        shop.deliver()
        wait, message = shop.broker.held.pop()
        shop.let_pass(wait)
        shop.broker.queue.append(message)
    shop.kill()
    deadline = shop.row(saga_id)["claim_deadline"]
    shop.let_pass(timedelta(seconds=1))
    shop.recover()

    row = shop.row(saga_id)
    assert row["waiting_for"] == "probe"
    assert row["call_ended_at"] == deadline - timedelta(seconds=1)
    assert row["epoch"] == 2


def test_a_pivot_that_nobody_can_tell_about_is_failed_after_an_hour(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.script.say("find_pay", *[CannotTell("no idea")] * 8, *[ConnectionError("away")] * 50)
    shop.work_off()

    assert shop.recover_until_rest(saga_id, step=timedelta(minutes=5)) == "FAILED"

    row = shop.row(saga_id)
    assert row["effects"]["shop.pay"] == "unknown"
    assert shop.script.called("recall") == []


def test_a_probe_that_finds_the_effect_goes_forward_with_its_state(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.work_off(until="find_pay")
    shop.script.outside.add("pay")

    shop.work_off()

    row = shop.row(saga_id)
    assert row["status"] == "COMPLETED"
    assert row["state"]["notes"] == ["reserve", "ship", "pay", "book", "tell"]


def test_a_probe_that_kills_its_worker_is_taken_over_until_a_person_must_decide(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.work_off(until="find_pay")
    shop.script.say("find_pay", *[Killed()] * 100)

    deaths = 0
    for _ in range(30):
        if not shop.broker.queue:
            break
        shop.kill()
        deaths += 1
        shop.let_pass(timedelta(minutes=5))
        shop.recover()

    assert shop.status(saga_id) == "FAILED"
    assert 10 <= deaths <= 14


def test_a_saga_of_a_running_call_is_not_timed_out_under_it(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")

    def meanwhile(_: object) -> None:
        with shop.database.begin() as connection:
            connection.exec_driver_sql("UPDATE saga_state SET timeout_at = clock_timestamp()")
        assert shop.recover().due == 0
        assert shop.status(saga_id) == "RUNNING"

    shop.script.say("ship", meanwhile)
    shop.work_off()

    assert shop.status(saga_id) == "TIMEOUT"
    assert shop.script.order() == ["reserve", "ship", "recall", "release"]
    assert shop.script.outside == set()


def test_errors_between_two_answers_of_a_provider_that_is_still_at_it_do_not_add_up(
    shop: Shop,
) -> None:
    saga_id = shop.start()
    still = PollAgain(after=HOUR)
    shop.script.say("pay", still, CUT, CUT, still, CUT, CUT, still, CUT, CUT)
    shop.work_off()

    for _ in range(3):
        shop.let_pass(HOUR)
        shop.recover()
        shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert "probe_planned" not in shop.kinds(saga_id)


def test_a_doubled_message_of_the_first_second_look_does_not_use_up_the_next_one(
    shop: Shop,
) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.work_off()
    while shop.status(saga_id) != "COMPENSATED":
        shop.let_pass(timedelta(minutes=1))
        shop.recover()
        shop.work_off()
    shop.let_pass(timedelta(minutes=10))
    shop.recover()
    first = shop.broker.queue[0]

    shop.deliver()
    assert isinstance(shop.deliver(first), Drop)
    assert shop.row(saga_id)["looks"] == 1

    shop.script.outside.add("pay")
    shop.let_pass(timedelta(hours=24))
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
