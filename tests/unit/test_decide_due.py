"""What recovery does with a saga whose time to be looked at has come."""

from typing import Any

import pytest

from saga import Saga
from saga.decide import decide
from saga.moves import Compensate, Dispatch
from saga.position import Due, StopReason
from saga.task import Effect
from tests.unit.positions import (
    at,
    book,
    cleanup,
    device,
    going_back,
    letter,
    letter_call,
    make,
    refund,
    refund_call,
    report,
    sweep,
    take,
    tell,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("saga", "step"),
    [
        (refund, take),
        (refund, refund_call),
        (refund, book),
        (refund, tell),
        (device, make),
        (letter, letter_call),
        (cleanup, sweep),
    ],
)
@pytest.mark.parametrize("attempt", [0, 1, 4])
def test_a_saga_in_time_is_published_where_it_stands(
    saga: Saga[Any], step: Any, attempt: int
) -> None:
    assert decide(saga, at(saga, step).in_attempt(attempt), Due()) == Dispatch()


def test_an_unknown_outcome_in_time_is_tried_again() -> None:
    assert decide(refund, at(refund, refund_call).unknown(), Due()) == Dispatch()


def test_an_accepted_order_that_is_due_is_asked_for() -> None:
    assert decide(refund, at(refund, refund_call).accepted(), Due()) == Dispatch()


def test_an_order_to_stop_is_obeyed_once_no_call_is_in_flight() -> None:
    told = at(device, make).but(stop_reason=StopReason.REFUSED).unknown()

    assert decide(device, told, Due()) == Compensate(
        step=make.name, reason=StopReason.REFUSED, effects={make.name: Effect.UNKNOWN}
    )


@pytest.mark.parametrize("step", [refund_call, tell])
def test_a_lease_that_is_lost_is_taken_over(step: Any) -> None:
    assert decide(refund, at(refund, step).claimed_by_a_worker(), Due()) == Dispatch(
        taken_over=True
    )


def test_a_lease_that_is_lost_on_the_way_back_is_taken_over() -> None:
    lost = going_back(device, make).claimed_by_a_worker()

    assert decide(device, lost, Due()) == Dispatch(taken_over=True)


@pytest.mark.parametrize("step", [sweep, report])
def test_a_late_saga_without_a_way_back_goes_on_with_an_alarm(step: Any) -> None:
    assert decide(cleanup, at(cleanup, step).over_time(), Due()) == Dispatch(overdue=True)
