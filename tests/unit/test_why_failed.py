"""A FAILED saga tells what went wrong, what is known, and what each decision would lead to."""

from dataclasses import replace
from typing import Any

import pytest

from saga import Effect, Status
from saga.decide import allowed, decide
from saga.moves import Reopen
from saga.position import Intervened, Intervention, StopReason
from saga.row import Row
from saga.why import why
from tests.unit.trips import BACK, RESERVED, UNSURE, standing, trip

pytestmark = pytest.mark.unit


def failed(step: str, failed_from: Status = Status.RUNNING, **differences: Any) -> Row:
    differences = {"error_message": "find out what happened"} | differences
    return standing(step, status=Status.FAILED, failed_from=failed_from, **differences)


BY_HAND = (
    "a person must decide: trip.pay has no compensation: take its effect back by hand, "
    "then resolve it as not done"
)
ALL = (
    "resolve the whole saga as done: the saga is COMPLETED; "
    "resolve the whole saga as not done: the saga is COMPENSATED"
)


def test_past_the_pivot_a_person_may_retry_go_back_or_say_what_happened() -> None:
    row = failed("trip.confirm", error_message="it did not succeed (last error: OSError: full)")

    assert why(trip, row) == (
        "a person must decide: it did not succeed (last error: OSError: full); "
        "known of its steps: trip.reserve done, trip.pay done, trip.confirm not started; "
        "retry: trip.confirm is tried again, with 4 attempts and fresh time; "
        f"compensate: {BY_HAND}; "
        "resolve trip.confirm as done: the saga is COMPLETED; "
        "resolve trip.confirm as not done: it is written down, and the saga stays FAILED; "
        f"{ALL}"
    )


def test_a_pivot_in_doubt_goes_either_way_by_what_a_person_finds() -> None:
    told = why(trip, failed("trip.pay", stop_reason=StopReason.GAVE_UP, effects=UNSURE))

    assert "; known of its steps: trip.reserve done, trip.pay unknown, trip.confirm" in told
    assert "; resolve trip.pay as done: trip.confirm comes next; " in told
    assert f"; resolve trip.pay as not done: {BACK}; " in told


def test_what_surely_did_not_happen_is_retried_under_a_new_key() -> None:
    row = failed("trip.pay", effects=RESERVED | {"trip.pay": Effect.NOT_DONE})

    told = why(trip, row)

    assert "; retry: trip.pay is tried again under a new key, with 4 attempts and fresh " in told
    assert f"; compensate: {BACK}; " in told


def test_a_saga_that_failed_going_back_says_why_it_went_back() -> None:
    row = failed(
        "trip.reserve",
        Status.COMPENSATING,
        stop_reason=StopReason.REFUSED,
        effects={"trip.reserve": Effect.COMPENSATION_FAILED, "trip.pay": Effect.NOT_DONE},
    )

    assert why(trip, row) == (
        "a person must decide: find out what happened; "
        "it was going back because trip.pay was refused; "
        "known of its steps: trip.reserve compensation failed, trip.pay not done, "
        "trip.confirm not started; "
        "retry: trip.give_back is tried again, with 11 attempts; "
        f"compensate: {BACK}; "
        "resolve trip.reserve as done: it is written down, and the saga stays FAILED; "
        "resolve trip.reserve as not done: the saga is COMPENSATED; "
        f"{ALL}"
    )


def test_a_late_success_says_where_the_saga_was_and_why_it_cannot_be_retried() -> None:
    row = failed(
        "trip.pay",
        Status.COMPENSATED,
        stop_reason=StopReason.GAVE_UP,
        effects={"trip.reserve": Effect.COMPENSATED, "trip.pay": Effect.DONE},
    )

    told = why(trip, row)

    assert "; it had gone back because trip.pay did not succeed, and was COMPENSATED; " in told
    assert "; no retry: it went back, and nothing is left to try: compensate or resolve it" in told


def test_a_doubt_elsewhere_may_be_resolved_too() -> None:
    row = failed("trip.confirm", effects=UNSURE)

    told = why(trip, row)

    assert "; no retry: trip.pay is not done, and trip.confirm builds on it: " in told
    assert "; resolve trip.pay as done or not done: it is written down, and the saga " in told


def test_what_cannot_be_resolved_yet_is_not_offered() -> None:
    row = failed("trip.reserve", effects={"trip.confirm": Effect.NOT_STARTED})

    assert "resolve trip.confirm" not in why(trip, row)


def test_a_failed_saga_of_an_unknown_definition_tells_what_is_known() -> None:
    told = why(None, failed("trip.fly", effects=UNSURE))

    assert told == (
        "a person must decide: find out what happened; "
        "known of its steps: trip.pay unknown, trip.reserve done; "
        "this process does not know trip version 1, step trip.fly, nor what could be done"
    )


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(
    "failed_from", [Status.RUNNING, Status.COMPENSATING, Status.COMPENSATED, Status.TIMEOUT]
)
def test_what_is_told_is_allowed_and_what_is_not_says_why(
    failed_from: Status, effect: Effect
) -> None:
    for step in trip.steps:
        row = failed(step.name, failed_from, stop_reason=StopReason.GAVE_UP)
        row = replace(row, effects={**row.effects, step.name: effect})
        may = allowed(trip, row)

        told = why(trip, row)

        for what in (Intervention.RETRY, Intervention.COMPENSATE):
            assert (f"; {what}: " in told) == (what in may)
            assert (f"; no {what}: " in told) == (what not in may)
        assert Intervention.RESOLVE in may
        if Intervention.RETRY in may:
            again = decide(trip, row, Intervened(what=Intervention.RETRY))
            assert isinstance(again, Reopen)
            assert ("under a new key" in told) == again.new_key


def test_what_came_to_light_since_it_failed_is_told_first() -> None:
    row = failed("trip.pay", effects={**UNSURE, "trip.pay": Effect.DONE})

    assert why(trip, row).startswith(
        "trip.pay took effect after all, which came to light since; "
        "a person must decide: find out what happened"
    )
