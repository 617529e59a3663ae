"""Attempts are counted from events alone; each test tells a timeline, oldest first."""

from typing import Any

import pytest

from saga.attempts import attempts

pytestmark = pytest.mark.unit


def event(kind: str, step: str | None, attempt: int | None, **detail: Any) -> dict[str, Any]:
    return {"kind": kind, "step": step, "attempt": attempt, "detail": detail}


def called(step: str, attempt: int, task: str | None = None) -> dict[str, Any]:
    return event("attempt_started", step, attempt, task=task or step)


def test_a_transaction_that_failed_twice_was_tried_three_times() -> None:
    timeline = [
        event("started", None, None),
        event("attempt_failed", "trip.reserve", 1),
        event("attempt_failed", "trip.reserve", 2),
        event("step_done", "trip.reserve", 3),
    ]

    assert attempts(timeline) == {"trip.reserve": 3}


def test_waiting_costs_no_attempt() -> None:
    timeline = [
        event("waiting", "trip.reserve", 1),
        event("step_done", "trip.reserve", 1),
        called("trip.pay", 1),
        event("waiting", "trip.pay", 1),
        event("signalled", "trip.pay", 0),
        called("trip.pay", 1),
        event("sleeping", "trip.pay", 1),
        called("trip.pay", 1),
        event("completed", "trip.pay", 1),
    ]

    assert attempts(timeline) == {"trip.reserve": 1, "trip.pay": 1}


def test_what_an_operator_ends_was_not_tried_once_more() -> None:
    timeline = [
        event("attempt_failed", "trip.reserve", 1),
        event("attempt_failed", "trip.reserve", 2),
        event("compensated", "trip.reserve", 1, asked="cancel", because="they called"),
    ]

    assert attempts(timeline) == {"trip.reserve": 2}


def test_an_attempt_that_was_counted_before_it_began_is_one() -> None:
    timeline = [
        event("attempt_counted", "trip.reserve", 1),
        event("attempt_counted", "trip.reserve", 2),
        event("step_done", "trip.reserve", 2),
    ]

    assert attempts(timeline) == {"trip.reserve": 2}


def test_every_call_is_an_attempt_also_one_whose_worker_was_lost() -> None:
    timeline = [
        called("trip.pay", 1),
        event("taken_over", "trip.pay", 1),
        called("trip.pay", 2),
        event("step_done", "trip.pay", 2),
    ]

    assert attempts(timeline) == {"trip.pay": 2}


def test_asking_for_the_final_word_of_an_accepted_order_is_no_attempt() -> None:
    timeline = [
        called("trip.pay", 1),
        event("accepted", "trip.pay", 1),
        called("trip.pay", 1),
        event("accepted", "trip.pay", 1),
        called("trip.pay", 1),
        event("step_done", "trip.pay", 1),
    ]

    assert attempts(timeline) == {"trip.pay": 1}


def test_probes_and_compensations_are_no_attempts_of_their_step() -> None:
    timeline = [
        event("step_done", "trip.reserve", 1),
        called("trip.pay", 1),
        event("probe_planned", "trip.pay", 1),
        called("trip.pay", 1, task="trip.find_payment"),
        event("compensating", "trip.pay", 1),
        event("attempt_failed", "trip.reserve", 1),
        called("trip.reserve", 2, task="trip.give_back"),
        event("attempt_failed", "trip.reserve", 2),
        event("compensated", "trip.reserve", 3),
    ]

    assert attempts(timeline) == {"trip.reserve": 1, "trip.pay": 1}


def test_a_step_whose_saga_ended_before_it_began_was_not_tried() -> None:
    assert attempts([event("started", None, None), event("timed_out", "trip.reserve", 0)]) == {}
