"""What a saga waits for, what ends the wait, and what its time does meanwhile."""

from typing import Any

import pytest

from saga import Effect
from saga.position import StopReason, WaitingFor
from saga.why import Background, why
from tests.unit.trips import ASKS, BACK, CALLED, NOON, UNSURE, after, standing, trip

pytestmark = pytest.mark.unit

SINCE_NOON = Background(waits_since=NOON)
DOUBTED: dict[str, Any] = {"effects": UNSURE, "call_ended_at": NOON}
FOR_PAID: dict[str, Any] = {"waiting_for": WaitingFor.SIGNAL, "signal": "paid"}


def test_an_accepted_pivot_waits_for_its_signal_past_the_sagas_time() -> None:
    row = standing("trip.pay", **FOR_PAID, **DOUBTED, not_before=after(3600))

    assert why(trip, row, SINCE_NOON) == (
        "trip.pay waits for the signal paid since 12:00:00 UTC; "
        "when it comes, trip.pay is called again; "
        "the saga's time ends at 12:05:00 UTC, which raises an alarm and stops nothing; "
        f"if it has not come by 13:00:00 UTC, {ASKS}; if it did not happen, {BACK}"
    )


def test_a_wait_that_is_overdue_says_who_decides() -> None:
    overdue: dict[str, Any] = {"now": after(400), "overdue": True, "not_before": after(3600)}

    told = why(trip, standing("trip.pay", **FOR_PAID, **DOUBTED, **overdue))

    assert "; overdue since 12:05:00 UTC, but only its final word decides; " in told


def test_before_the_pivot_the_sagas_time_ends_a_wait() -> None:
    row = standing("trip.reserve", **FOR_PAID, not_before=after(3600))

    assert why(trip, row) == (
        "trip.reserve waits for the signal paid; when it comes, trip.reserve is called again; "
        "if it has not come when the saga's time ends at 12:05:00 UTC, the saga is TIMEOUT"
    )


def test_a_wait_that_is_shorter_than_the_sagas_time_ends_by_itself() -> None:
    row = standing("trip.reserve", **FOR_PAID, not_before=after(60))

    assert why(trip, row).endswith("; if it has not come by 12:01:00 UTC, the saga is COMPENSATED")


def test_past_the_pivot_a_signal_that_never_comes_is_a_persons() -> None:
    told = why(trip, standing("trip.confirm", **FOR_PAID, not_before=after(60)))

    assert (
        "; if it has not come by 12:01:00 UTC, a person must decide: trip.confirm waited in vain "
        "for the signal paid, "
    ) in told


def test_a_signal_that_did_not_come_in_time_tells_what_follows() -> None:
    row = standing("trip.pay", **FOR_PAID, **DOUBTED, not_before=NOON)

    assert why(trip, row).startswith(f"the signal paid did not come in time; then {ASKS}; ")


def test_what_was_accepted_tells_when_it_is_asked_and_what_may_come_sooner() -> None:
    row = standing(
        "trip.pay",
        **DOUBTED,
        waiting_for=WaitingFor.POLL,
        signal="paid",
        polls=3,
        not_before=after(400),
    )

    assert why(trip, row).startswith(
        "the other system took trip.pay and is still at it; it is asked again at 12:06:40 UTC; "
        "it said so 3 times; if the signal paid comes sooner, trip.pay is called again; "
        "the saga's time ends at 12:05:00 UTC, which raises an alarm and stops nothing; "
        "if it succeeds, trip.confirm comes next; "
    )


def test_what_was_accepted_and_is_being_asked_is_no_attempt() -> None:
    told = why(trip, standing("trip.pay", **DOUBTED, **CALLED, waiting_for=WaitingFor.POLL))

    assert told.startswith(
        "the other system took trip.pay, and is being asked for its final word, "
        "until 12:00:35 UTC at the latest; "
    )


def test_a_question_that_fails_is_told_with_what_its_failures_lead_to() -> None:
    row = standing(
        "trip.pay",
        **DOUBTED,
        waiting_for=WaitingFor.POLL,
        attempt=2,
        not_before=after(4),
        error_message="TimeoutError: no answer",
    )

    told = why(trip, row)

    assert "; the last error was: TimeoutError: no answer; " in told
    assert f"; if all 4 attempts fail, {ASKS}; " in told


def test_a_step_that_sleeps_has_done_nothing() -> None:
    row = standing("trip.pay", waiting_for=WaitingFor.SLEEP, not_before=after(100))

    assert why(trip, row, SINCE_NOON).startswith(
        "trip.pay has done nothing yet and sleeps since 12:00:00 UTC until 12:01:40 UTC; "
        "if it succeeds, trip.confirm comes next; "
    )


def test_a_sleep_over_the_end_of_the_sagas_time_ends_with_it() -> None:
    row = standing("trip.pay", waiting_for=WaitingFor.SLEEP, not_before=after(1000))

    assert why(trip, row) == (
        "trip.pay has done nothing yet and sleeps until 12:16:40 UTC; "
        "the saga's time ends at 12:05:00 UTC, before trip.pay is done; "
        "then trip.give_back runs, then the saga is TIMEOUT"
    )


def test_a_sleep_that_is_over_is_a_turn_like_any() -> None:
    row = standing("trip.pay", waiting_for=WaitingFor.SLEEP, not_before=NOON)

    assert why(trip, row).startswith("trip.pay is with the workers; ")


def test_a_cancelled_saga_ends_its_call_first_and_one_failure_is_enough() -> None:
    row = standing("trip.pay", **CALLED, stop_reason=StopReason.CANCELLED)

    assert why(trip, row) == (
        "trip.pay is being called, attempt 1 of 4, until 12:00:35 UTC at the latest; "
        "the saga was cancelled, which counts once this call has ended; "
        "if it succeeds, trip.confirm comes next; "
        f"if it fails, {ASKS}; if it did not happen, {BACK}"
    )


def test_a_step_before_the_pivot_that_was_cancelled_is_taken_back_even_if_it_succeeds() -> None:
    row = standing("trip.reserve", **CALLED, stop_reason=StopReason.CANCELLED)

    assert f"; if it succeeds, {BACK}; if it fails, the saga is COMPENSATED" in why(trip, row)


def test_past_the_pivot_nothing_is_cancelled() -> None:
    row = standing("trip.confirm", **CALLED, stop_reason=StopReason.CANCELLED)

    assert "cancelled" not in why(trip, row)


def test_a_cancelled_saga_in_doubt_asks_its_probe_first() -> None:
    row = standing(
        "trip.pay", **DOUBTED, waiting_for=WaitingFor.PROBE, stop_reason=StopReason.CANCELLED
    )

    assert why(trip, row).startswith(
        "nobody knows whether trip.pay took effect; the saga was cancelled; "
        "trip.find_payment is asked next; if it happened, trip.confirm comes next; "
    )


def test_effects_of_a_wait_are_not_invented() -> None:
    row = standing("trip.pay", **FOR_PAID, not_before=after(60))

    assert row.effect("trip.pay") is Effect.NOT_STARTED
    assert "trip.find_payment" not in why(trip, row)
