"""Waiting costs nothing: no message, no worker, no attempt; a signal or its time ends it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import PollAgain, Refused, Wait, sleep_until
from saga.followup import Park, Publish
from saga.waiting import SleepUntil
from tests.integration.shop import SETTLE_AFTER, Paid, Shop

pytestmark = pytest.mark.integration

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
PAID = Wait(signal="paid", timeout=HOUR)


def now(database: Database) -> datetime:
    with database.begin() as connection:
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found.astimezone(UTC)


def test_a_waiting_saga_holds_no_message_no_claim_and_no_attempt(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.deliver()

    assert isinstance(shop.deliver(), Park)

    row = shop.row(saga_id)
    assert (row["waiting_for"], row["signal"], row["attempt"]) == ("signal", "paid", 0)
    assert row["claimed_by"] is None
    assert not shop.broker.queue
    assert not shop.broker.held
    assert shop.recover().due == 0


def test_a_signal_lets_it_go_on_with_what_it_tells(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()

    assert shop.signal(saga_id).is_new
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.row(saga_id)["state"]["notes"][:3] == ["reserve", "paid by Ann", "ship"]
    assert "signalled" in shop.kinds(saga_id)
    assert len(set(shop.script.called("ship"))) == 1, "asked again under the same key"


def test_a_signal_that_comes_early_is_there_when_the_step_begins_to_wait(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()

    shop.signal(saga_id)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    kinds = shop.kinds(saga_id)
    assert kinds.index("signal_received") < kinds.index("waiting") < kinds.index("signalled")


def test_a_signal_that_comes_while_the_call_runs_is_not_missed(shop: Shop) -> None:
    def signalled_meanwhile(_: object) -> Wait:
        shop.signal(saga_id)
        return PAID

    shop.script.say("ship", signalled_meanwhile)
    saga_id = shop.start()

    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_a_signal_is_taken_once_however_often_it_comes(shop: Shop) -> None:
    shop.script.say("ship", PAID, PAID)
    saga_id = shop.start()
    shop.work_off()

    assert shop.signal(saga_id, signal_id="s1").is_new
    assert not shop.signal(saga_id, signal_id="s1").is_new
    shop.work_off()
    assert shop.row(saga_id)["waiting_for"] == "signal", "the step waits for another one"
    assert not shop.signal(saga_id, signal_id="s1").is_new
    shop.signal(saga_id, by="Bob", signal_id="s2")
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    notes = shop.row(saga_id)["state"]["notes"]
    assert [note for note in notes if note.startswith("paid")] == ["paid by Ann", "paid by Bob"]


def test_a_signal_that_is_rolled_back_was_never_there(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()

    with Session(shop.database) as session:
        shop.engine.signal(session, saga_id, "paid", Paid(by="Ann"))
        session.rollback()

    assert not shop.broker.queue
    assert shop.row(saga_id)["waiting_for"] == "signal"


def test_when_the_broker_is_away_recovery_tells_the_signal(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()
    shop.broker.is_away = True
    shop.signal(saga_id)
    shop.broker.is_away = False

    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=11)) == "COMPLETED"


def test_an_external_step_whose_signal_never_comes_is_compensated(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()

    # The saga's own time, five minutes, ends sooner than its wait.
    assert shop.recover_until_rest(saga_id, step=MINUTE) == "TIMEOUT"
    assert shop.script.order().count("recall") == 1, "it was accepted, and may have happened"
    assert shop.did() == set()


def test_a_wait_that_ends_before_the_sagas_time_gives_up(shop: Shop) -> None:
    shop.script.say("ship", Wait(signal="paid", timeout=MINUTE))
    saga_id = shop.start()
    shop.work_off()

    assert shop.recover_until_rest(saga_id, step=20 * SECOND) == "COMPENSATED"
    assert "SignalMissed" in shop.row(saga_id)["error_message"]


def test_an_accepted_pivot_waits_on_past_the_sagas_time_with_an_alarm(shop: Shop) -> None:
    shop.script.say("pay", PAID)
    saga_id = shop.start()
    shop.work_off()

    shop.let_pass(6 * MINUTE)
    shop.recover()

    row = shop.row(saga_id)
    assert (row["status"], row["waiting_for"], row["overdue"]) == ("RUNNING", "signal", True)
    assert shop.kinds(saga_id).count("overdue") == 1
    shop.recover()
    assert shop.kinds(saga_id).count("overdue") == 1, "raised once"
    shop.signal(saga_id)
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_when_an_accepted_pivots_signal_never_comes_its_probe_is_asked(shop: Shop) -> None:
    shop.script.say("pay", PAID)
    saga_id = shop.start()
    shop.work_off()

    shop.let_pass(HOUR + SETTLE_AFTER)
    shop.recover()
    shop.work_off()

    assert shop.script.called("find_pay")
    assert shop.status(saga_id) == "COMPENSATED"


def test_a_transactional_step_that_waits_leaves_nothing_behind(shop: Shop) -> None:
    shop.script.say("reserve", PAID)
    saga_id = shop.start()
    shop.work_off()

    assert shop.did() == set(), "its SQL was rolled back"
    assert shop.row(saga_id)["effects"].get("shop.reserve") in {None, "not_started"}
    shop.signal(saga_id)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.did() == {"reserve", "book"}


def test_a_transactional_step_whose_signal_never_comes_needs_no_compensation(shop: Shop) -> None:
    shop.script.say("reserve", Wait(signal="paid", timeout=MINUTE))
    saga_id = shop.start()
    shop.work_off()

    assert shop.recover_until_rest(saga_id, step=30 * SECOND) == "COMPENSATED"
    assert "release" not in shop.script.order()


def test_past_the_pivot_a_signal_that_never_comes_fails(shop: Shop) -> None:
    shop.script.say("tell", PAID)
    saga_id = shop.start()
    shop.work_off()

    assert shop.recover_until_rest(saga_id, step=11 * MINUTE) == "FAILED"
    assert "waited in vain for the signal paid" in shop.row(saga_id)["error_message"]


def test_a_poll_follows_its_policy_and_costs_no_attempt(shop: Shop) -> None:
    shop.script.say("pay", *[PollAgain()] * 12)
    saga_id = shop.start()
    shop.work_off()

    waits = []
    for _ in range(12):
        row = shop.row(saga_id)
        waits.append(round((row["not_before"] - now(shop.database)).total_seconds() / 60))
        assert row["attempt"] == 0
        shop.let_pass(waits[-1] * MINUTE + SECOND)
        shop.recover()
        shop.work_off()

    assert waits == [1, 1, 1, 1, 1, 5, 10, 20, 30, 30, 30, 30]
    assert shop.status(saga_id) == "COMPLETED"


def test_a_signal_ends_a_poll_early(shop: Shop) -> None:
    shop.script.say("pay", PollAgain(after=HOUR, signal="paid"))
    saga_id = shop.start()
    shop.work_off()

    shop.signal(saga_id)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_after_a_signal_an_accepted_pivot_is_still_not_stopped_by_time(shop: Shop) -> None:
    shop.script.say("pay", PAID, PollAgain(after=MINUTE))
    saga_id = shop.start()
    shop.work_off()
    shop.let_pass(6 * MINUTE)

    shop.signal(saga_id)
    shop.work_off()
    shop.let_pass(MINUTE)
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_a_refusal_after_the_signal_is_weighed_by_the_probe(shop: Shop) -> None:
    shop.script.say("pay", PAID, Refused("closed"))
    saga_id = shop.start()
    shop.work_off()
    shop.signal(saga_id)
    shop.work_off()

    assert shop.row(saga_id)["waiting_for"] == "probe"


@pytest.mark.parametrize("step", ["reserve", "ship", "pay", "tell"])
def test_a_step_sleeps_until_its_time(shop: Shop, step: str) -> None:
    def sleeps(_: object) -> SleepUntil:
        return sleep_until(now(shop.database) + 2 * MINUTE)

    shop.script.say(step, sleeps)
    saga_id = shop.start()
    shop.work_off()

    assert shop.row(saga_id)["waiting_for"] == "sleep"
    assert shop.row(saga_id)["effects"].get(f"shop.{step}", "not_started") == "not_started"
    shop.let_pass(MINUTE)
    assert shop.recover().published == 0
    shop.let_pass(MINUTE)
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_an_instant_that_has_passed_means_at_once(shop: Shop) -> None:
    shop.script.say("ship", sleep_until(datetime(2020, 1, 1, tzinfo=UTC)))
    saga_id = shop.start()
    shop.work_off()
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_a_sleep_over_the_end_of_the_sagas_time_ends_with_it(shop: Shop) -> None:
    shop.script.say("ship", sleep_until(now(shop.database) + HOUR))
    saga_id = shop.start()
    shop.work_off()

    shop.let_pass(5 * MINUTE + SECOND)
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "TIMEOUT"
    assert "recall" not in shop.script.order(), "nothing had been done"


def test_a_wait_for_a_signal_that_nobody_can_send_is_an_error(shop: Shop) -> None:
    shop.script.say("ship", *[Wait(signal="godot", timeout=HOUR)] * 4)
    saga_id = shop.start()
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert "no signal 'godot'" in str(shop.events(saga_id))


def test_waiting_sagas_are_not_looked_at_and_survive_the_loss_of_their_messages(shop: Shop) -> None:
    shop.script.say("reserve", *[PAID] * 50)
    waiting = [shop.start() for _ in range(50)]
    shop.work_off(most=200)

    assert shop.recover().due == 0
    for saga_id in waiting:
        assert isinstance(shop.signal(saga_id).is_new, bool)
    shop.broker.lose_all()
    shop.let_pass(11 * SECOND)
    shop.recover()
    shop.work_off(most=500)
    assert {shop.status(saga_id) for saga_id in waiting} == {"COMPLETED"}


def test_the_state_a_signal_meets_may_no_longer_fit(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()
    shop.execute("UPDATE saga_state SET state = '{\"item\": 3}'")

    shop.signal(saga_id)

    assert shop.status(saga_id) == "FAILED"
    assert "no longer fits" in shop.row(saga_id)["error_message"]


def test_a_signal_whose_function_raises_fails_the_saga_with_advice(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()

    shop.signal(saga_id, by="nobody")

    assert shop.status(saga_id) == "FAILED"
    assert "somebody must pay" in shop.row(saga_id)["error_message"]
    assert shop.row(saga_id)["failed_from"] == "RUNNING"


def test_an_early_signal_whose_function_raises_fails_the_saga_in_its_worker(shop: Shop) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.signal(saga_id, by="nobody")

    shop.work_off()

    assert shop.status(saga_id) == "FAILED"


def test_publish_follows_a_signal(shop: Shop) -> None:
    """In a worker's own settle the chain ends, and another one is published."""
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.signal(saga_id)
    shop.deliver()

    assert isinstance(shop.deliver(), Publish)
