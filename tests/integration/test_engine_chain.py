"""A saga worked off by hand: forward, refused, retried, back."""

from datetime import timedelta

import pytest

from saga import PollAgain, Refused, TryAgain
from saga.followup import Drop, Lane, Park, Raise, RetryIn
from saga.task import Effect, Forward, IdempotencyKey
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


def test_a_saga_goes_forward_in_one_chain(shop: Shop) -> None:
    saga_id = shop.start()

    shop.work_off()

    row = shop.row(saga_id)
    assert row["status"] == "COMPLETED"
    assert row["state"]["notes"] == ["reserve", "ship", "pay", "book", "tell"]
    assert set(row["effects"].values()) == {"done"}
    assert (row["wake_at"], row["claimed_by"], row["epoch"]) == (None, None, 1)
    assert len(shop.broker.published) == 1
    assert shop.did() == {"reserve", "book"}
    assert shop.kinds(saga_id) == [
        *("started", "step_done", "attempt_started", "step_done", "attempt_started"),
        *("step_done", "step_done", "attempt_started", "completed"),
    ]


def test_the_timeline_has_no_gap(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", ConnectionError("cut"))

    shop.work_off()

    events = shop.events(saga_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["seq"] == shop.row(saga_id)["version"]
    assert sorted(event["at"] for event in events) == [event["at"] for event in events]


def test_every_call_of_a_step_carries_the_same_key(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", ConnectionError("cut"), TryAgain("busy"), PollAgain(after=MINUTE))

    shop.work_off()
    assert shop.row(saga_id)["waiting_for"] == "poll"
    shop.let_pass(MINUTE)
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.script.called("pay") == [IdempotencyKey.of(saga_id, "shop.pay")] * 4
    stored = [event["detail"].get("key") for event in shop.events(saga_id)]
    assert stored.count(IdempotencyKey.of(saga_id, "shop.pay")) == 4


def test_a_key_is_stored_before_the_first_call(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    shop.script.say("ship", lambda key: seen.append((key, shop.events(saga_id)[-1])))
    seen: list[tuple[str, dict[str, object]]] = []

    shop.deliver()

    ((key, event),) = seen
    assert event["kind"] == "attempt_started"
    assert event["detail"] | {"claim": ""} == {"key": key, "task": "shop.ship", "claim": ""}


def test_a_first_step_that_is_refused_leaves_nothing(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", Refused("sold out", code="SOLD_OUT"))

    assert isinstance(shop.deliver(), Raise)

    row = shop.row(saga_id)
    assert row["status"] == "COMPENSATED"
    assert row["error_message"] == "Refused: sold out"
    assert row["stop_reason"] == "refused"
    assert row["completed_at"] is not None
    assert shop.did() == set()
    assert not shop.broker.queue


def test_a_refused_pivot_compensates_in_reverse_order_in_one_chain(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))

    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.script.order() == ["reserve", "ship", "pay", "recall", "release"]
    assert shop.did() == set()
    assert shop.script.outside == set()
    back = shop.broker.published[-1]
    assert (back.lane, back.tasks) == (Lane.COMPENSATION, ("shop.recall", "shop.release"))
    assert back.epoch == 2
    assert len(shop.broker.published) == 2


def test_a_compensation_gets_the_forward_steps_key_and_what_is_known(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("ship", *[ConnectionError("cut")] * 4)

    shop.work_off()

    key = IdempotencyKey.of(saga_id, "shop.ship")
    assert shop.script.called("recall") == [Forward(key, Effect.UNKNOWN)]
    assert [known.effect for known in shop.script.called("release")] == [Effect.DONE]
    assert shop.status(saga_id) == "COMPENSATED"


def test_three_retries_are_four_calls(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("ship", *[TryAgain("busy")] * 4)
    shop.work_off(until="ship")

    followups = []
    for attempt in range(1, 5):
        followups.append(shop.deliver())
        row = shop.row(saga_id)
        if attempt < 4:
            assert (row["attempt"], row["retry_count"], row["status"]) == (
                *(attempt, attempt),
                "RUNNING",
            )
            wait, message = shop.broker.held.pop()
            shop.let_pass(wait)
            shop.broker.queue.append(message)

    assert [type(followup) for followup in followups] == [RetryIn, RetryIn, RetryIn, Raise]
    assert len(shop.script.called("ship")) == 4
    assert shop.row(saga_id)["effects"] == {"shop.reserve": "done", "shop.ship": "not_started"}


def test_a_message_that_comes_before_its_time_is_dropped(shop: Shop) -> None:
    shop.start()
    shop.script.say("reserve", TryAgain("busy", after=timedelta(seconds=30)))

    followup = shop.deliver()
    assert isinstance(followup, RetryIn)
    assert followup.wait == timedelta(seconds=30)
    _, message = shop.broker.held.pop()

    assert shop.deliver(message) == Drop("too early")


def test_a_wait_of_more_than_a_minute_lives_in_the_row_alone(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", TryAgain("busy", after=timedelta(minutes=2)))

    assert isinstance(shop.deliver(), Park)
    assert shop.recover().published == 0
    shop.let_pass(timedelta(minutes=2))
    assert shop.recover().published == 1
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_a_poll_costs_no_attempt(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[PollAgain(after=MINUTE)] * 3)
    shop.work_off()

    for _ in range(3):
        row = shop.row(saga_id)
        assert (row["attempt"], row["waiting_for"], row["claimed_by"]) == (0, "poll", None)
        shop.let_pass(MINUTE)
        shop.recover()
        shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_past_the_pivot_a_saga_that_cannot_go_on_is_parked_with_an_alarm(shop: Shop) -> None:
    saga_id = shop.start(business_key="order:1")
    shop.script.say("book", *[ValueError("broken")] * 4)

    shop.work_off()

    row = shop.row(saga_id)
    assert row["status"] == "FAILED"
    assert (row["wake_at"], row["completed_at"], row["holds_key"]) == (None, None, True)
    assert row["epoch"] == 2
    assert "last error: ValueError: broken" in row["error_message"]
    assert shop.events(saga_id)[-1]["detail"]["alarm"]
    assert shop.script.order().count("recall") == 0
    assert shop.did() == {"reserve"}
    shop.let_pass(timedelta(days=1))
    assert shop.recover().due == 0


def test_a_compensation_that_cannot_finish_ends_in_failed(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))
    shop.script.say("recall", *[ConnectionError("cut")] * 3)

    shop.work_off()

    row = shop.row(saga_id)
    assert row["status"] == "FAILED"
    assert row["effects"]["shop.ship"] == "compensation_failed"
    assert row["effects"]["shop.reserve"] == "done"
    assert len(shop.script.called("recall")) == 3
    assert shop.script.called("release") == []
    assert shop.did() == {"reserve"}


def test_a_compensation_that_fails_twice_still_finishes(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))
    shop.script.say("recall", *[ConnectionError("cut")] * 2)
    shop.script.say("release", *[ValueError("broken")] * 2)

    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.did() == set()
    assert shop.row(saga_id)["epoch"] == 3


def test_when_nobody_can_say_it_twice_link_error_sends_compensations_once(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))
    shop.work_off(until="recall")

    # link_error comes again, as Celery's hard time limit makes it.
    assert isinstance(shop.engine.send_compensations(saga_id), Drop)
    assert len(shop.broker.queue) == 1


def test_link_error_that_comes_too_early_or_late_moves_nothing(shop: Shop) -> None:
    saga_id = shop.start()
    before = shop.row(saga_id)

    assert isinstance(shop.engine.send_compensations(saga_id), Drop)
    assert shop.row(saga_id) == before
    shop.work_off()
    done = shop.row(saga_id)
    assert isinstance(shop.engine.send_compensations(saga_id), Drop)
    assert shop.row(saga_id) == done


def test_link_error_of_a_saga_that_rests_moves_nothing(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", Refused("sold out"))
    shop.deliver(has_link_error=False)
    rests = shop.row(saga_id)

    assert isinstance(shop.engine.send_compensations(saga_id), Drop)
    assert shop.row(saga_id) == rests


def test_a_late_link_error_does_not_shorten_a_compensations_wait(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))
    shop.script.say("recall", TryAgain("busy", after=timedelta(minutes=5)))
    shop.work_off()
    waiting = shop.row(saga_id)

    assert isinstance(shop.engine.send_compensations(saga_id), Drop)
    assert shop.row(saga_id) == waiting


def test_when_link_error_never_comes_recovery_sends_the_compensations(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no money"))
    shop.work_off(until="pay")
    shop.deliver(has_link_error=False)
    assert not shop.broker.queue

    shop.let_pass(timedelta(seconds=10))
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"


def test_a_saga_stands_at_the_step_it_is_looked_at_again(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[ConnectionError("cut")] * 4)
    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) == "COMPENSATED"

    row = shop.row(saga_id)
    assert (row["current_step"], row["step_index"]) == ("shop.pay", 2)


def test_a_retried_message_that_was_published_again_runs_once(shop: Shop) -> None:
    saga_id = shop.start()
    first = shop.broker.queue[0]
    shop.let_pass(timedelta(seconds=10))
    shop.recover()
    assert len(shop.broker.queue) == 2

    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.script.order() == ["reserve", "ship", "pay", "book", "tell"]
    assert isinstance(shop.deliver(first), Drop)
