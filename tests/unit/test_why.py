"""Every sentence is computed from the row and the definition; nothing is asked but ``decide``."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from saga import Effect, Saga, Status, compensatable, manual, pivot
from saga.position import StopReason, WaitingFor
from saga.why import why
from tests.unit.trips import (
    ASKS,
    BACK,
    CALLED,
    NOON,
    RESERVED,
    UNSURE,
    Trip,
    after,
    pay,
    reserve,
    standing,
    trip,
)

pytestmark = pytest.mark.unit


def test_a_new_saga_is_with_the_workers() -> None:
    assert why(trip, standing("trip.reserve")) == (
        "trip.reserve is with the workers; if it succeeds, trip.pay comes next; "
        "if all 4 attempts fail, the saga is COMPENSATED"
    )


def test_what_nobody_sent_yet_is_about_to_be_sent() -> None:
    told = why(trip, standing("trip.reserve", dispatches=0))

    assert told.startswith("trip.reserve is about to be sent to the workers; ")


def test_a_call_tells_how_long_it_may_take_and_what_its_end_brings() -> None:
    assert why(trip, standing("trip.pay", **CALLED)) == (
        "trip.pay is being called, attempt 1 of 4, until 12:00:35 UTC at the latest; "
        "if it succeeds, trip.confirm comes next; "
        f"if all 4 attempts fail, {ASKS}; if it did not happen, {BACK}"
    )


def test_the_last_retry_tells_what_went_wrong_and_what_its_failure_would_bring() -> None:
    row = standing(
        "trip.pay",
        attempt=3,
        not_before=after(185),
        effects=UNSURE,
        error_message="ProviderBusy: the provider answered 500",
    )

    assert why(trip, row) == (
        "waiting for retry 3 of 3 of trip.pay at 12:03:05 UTC; "
        "the last error was: ProviderBusy: the provider answered 500; "
        f"if it fails, {ASKS}; if it did not happen, {BACK}"
    )


def test_a_retry_that_would_come_too_late_is_not_promised() -> None:
    row = standing("trip.pay", attempt=2, not_before=after(400), effects=UNSURE)

    assert why(trip, row) == (
        "the saga's time ends at 12:05:00 UTC, before trip.pay is done; "
        f"then {ASKS}; if it did not happen, trip.give_back runs, then the saga is TIMEOUT"
    )


def test_a_call_of_a_saga_whose_time_is_over_is_its_last() -> None:
    told = why(trip, standing("trip.pay", **CALLED, now=after(301)))

    assert "; the saga's time is over, so that it stops after this call; " in told
    assert told.endswith("trip.give_back runs, then the saga is TIMEOUT")


def test_past_the_pivot_a_saga_that_is_overdue_says_so_and_goes_on() -> None:
    row = standing("trip.confirm", now=after(301), overdue=True)

    assert why(trip, row) == (
        "trip.confirm is with the workers; "
        "overdue since 12:05:00 UTC, but past the point of going back; "
        "if it succeeds, the saga is COMPLETED; if all 4 attempts fail, a person must decide: "
        "trip.confirm did not succeed in 4 attempts, and past the pivot nothing goes back: "
        "find out what stands in its way"
    )


def test_an_accepted_order_waits_for_its_final_word() -> None:
    row = standing(
        "trip.pay",
        waiting_for=WaitingFor.POLL,
        not_before=after(60),
        effects=UNSURE,
    )

    assert why(trip, row) == (
        "the other system took trip.pay and is still at it; it is asked again at 12:01:00 UTC; "
        f"if it succeeds, trip.confirm comes next; if it is refused, {ASKS}; "
        f"if it did not happen, {BACK}"
    )


def test_while_nobody_knows_the_probe_decides() -> None:
    row = standing(
        "trip.pay",
        waiting_for=WaitingFor.PROBE,
        stop_reason=StopReason.GAVE_UP,
        call_ended_at=NOON,
        not_before=after(60),
        effects=UNSURE,
        error_message="TimeoutError: no answer",
    )

    assert why(trip, row) == (
        "nobody knows whether trip.pay took effect; the last error was: TimeoutError: no answer; "
        "trip.find_payment is asked at 12:01:00 UTC; if it happened, trip.confirm comes next; "
        f"if it did not, {BACK}; if nobody can tell until 13:00:00 UTC, a person must decide: "
        "trip.find_payment could not tell whether trip.pay took effect: find out at the "
        "other system"
    )


@pytest.mark.parametrize(
    ("differences", "asking"),
    [
        (CALLED, "trip.find_payment is being asked"),
        ({}, "trip.find_payment is asked next"),
    ],
)
def test_a_probe_tells_when_it_asks(differences: dict[str, Any], asking: str) -> None:
    row = standing("trip.pay", waiting_for=WaitingFor.PROBE, effects=UNSURE)

    assert f"; {asking}; " in why(trip, replace(row, **differences))


def test_a_saga_that_goes_back_tells_why_and_what_ends_it() -> None:
    row = standing(
        "trip.reserve",
        status=Status.COMPENSATING,
        stop_reason=StopReason.REFUSED,
        effects=RESERVED | {"trip.pay": Effect.NOT_DONE},
        error_message="Refused: the card has expired",
    )

    assert why(trip, row) == (
        "going back because trip.pay was refused; trip.give_back is with the workers; "
        "the last error was: the card has expired; once it is done, the saga is COMPENSATED; "
        "if all 11 attempts fail, a person must decide: the compensation of trip.reserve did not "
        "succeed in 11 attempts, so that its effect may still stand: "
        "find out what stands in its way"
    )


def test_a_compensation_that_failed_tells_its_next_retry() -> None:
    row = standing(
        "trip.reserve",
        status=Status.COMPENSATING,
        stop_reason=StopReason.TIMEOUT,
        attempt=2,
        not_before=after(4),
        effects=RESERVED,
    )

    told = why(trip, row)

    assert "; waiting for retry 2 of 10 of trip.give_back at 12:00:04 UTC; " in told
    assert "; once it is done, the saga is TIMEOUT; " in told


def test_a_compensation_at_work_tells_how_long_it_may_take() -> None:
    row = standing(
        "trip.reserve",
        status=Status.COMPENSATING,
        stop_reason=StopReason.GAVE_UP,
        effects=RESERVED,
        **CALLED,
    )

    assert "; trip.give_back is at work, until 12:00:35 UTC at the latest; " in why(trip, row)


def test_a_compensated_saga_tells_what_was_taken_back_and_that_it_looks_again() -> None:
    row = standing(
        "trip.pay",
        status=Status.COMPENSATED,
        stop_reason=StopReason.GAVE_UP,
        waiting_for=WaitingFor.SECOND_LOOK,
        wake_at=after(600),
        completed_at=NOON,
        effects={"trip.reserve": Effect.COMPENSATED, "trip.pay": Effect.NOT_DONE},
    )

    assert why(trip, row) == (
        "went back because trip.pay did not succeed, ended COMPENSATED at 12:00:00 UTC; "
        "compensated: trip.reserve; not done: trip.pay; "
        "to be sure, trip.find_payment is asked again at 12:10:00 UTC; "
        "if trip.pay took effect after all, a person must decide: trip.pay took effect after all, "
        "although the saga went back because it had not: find out what the compensations took "
        "back that must stand"
    )


def test_a_saga_that_ran_out_of_time_before_it_did_anything_says_so() -> None:
    row = standing(
        "trip.reserve",
        status=Status.TIMEOUT,
        stop_reason=StopReason.TIMEOUT,
        completed_at=after(-86400),
        effects={"trip.reserve": Effect.NOT_STARTED},
    )

    assert why(trip, row) == (
        "went back because trip.reserve was not done in time, "
        "ended TIMEOUT at 2026-06-30 12:00:00 UTC; there was nothing to compensate"
    )


def test_a_completed_saga_needs_nothing() -> None:
    row = standing("trip.confirm", status=Status.COMPLETED, completed_at=NOON)

    assert why(trip, row) == "completed at 12:00:00 UTC: every step is done"


def test_a_saga_that_this_process_does_not_know_is_somebody_elses() -> None:
    assert why(None, standing("trip.fly")) == (
        "RUNNING, but this process does not know trip version 1, step trip.fly; "
        "a worker that knows it goes on with it"
    )


def test_a_saga_that_nobody_knew_for_a_while_asks_for_its_definition() -> None:
    assert why(trip, standing("trip.fly", unknown_since=after(-60))) == (
        "RUNNING, but this process does not know trip version 1, step trip.fly; "
        "no worker knew it since 11:59:00 UTC: deploy its definition, or it will be FAILED"
    )


def test_an_unknown_saga_that_rests_is_told_without_its_definition() -> None:
    row = standing("trip.fly", status=Status.COMPENSATED, completed_at=NOON)

    assert why(None, row).startswith("COMPENSATED since 12:00:00 UTC; ")


def test_what_only_a_person_can_compensate_is_foretold() -> None:
    by_hand = Saga(
        name="trip",
        version=2,
        state=Trip,
        timeout=timedelta(minutes=5),
        steps=[compensatable(reserve, compensation=manual("call the hotel")), pivot(pay)],
    )

    told = why(by_hand, standing("trip.pay", waiting_for=WaitingFor.POLL, effects=UNSURE))

    assert told.endswith(
        "if it is refused, a person must decide: "
        "trip.reserve must be compensated by hand: call the hotel, then resolve it as not done"
    )
