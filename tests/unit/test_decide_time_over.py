"""What the end of a saga's time comes to."""

from datetime import timedelta
from typing import Any

import pytest

from saga import Saga, Status
from saga.decide import decide
from saga.moves import AskProbe, Compensate, Dispatch, Fail, Rest, Retry
from saga.position import AttemptFailed, Due, RefusedFinally, StopReason, WaitingFor, WorkerLost
from saga.task import Effect
from tests.unit.positions import (
    NOON,
    at,
    attach,
    book,
    device,
    letter,
    letter_call,
    make,
    own,
    refund,
    refund_call,
    take,
    tell,
)

pytestmark = pytest.mark.unit

FAILED = AttemptFailed(Effect.NOT_STARTED)
CUT_OFF = AttemptFailed(Effect.UNKNOWN)
TIMEOUT = StopReason.TIMEOUT


@pytest.mark.parametrize("event", [Due(), FAILED])
def test_a_first_step_that_is_late_rests_as_timed_out(event: Any) -> None:
    assert decide(refund, at(refund, take).over_time(), event) == Rest(
        status=Status.TIMEOUT, reason=TIMEOUT, effects={take.name: Effect.NOT_STARTED}
    )


@pytest.mark.parametrize("event", [Due(), FAILED])
def test_a_pivot_that_was_not_called_is_given_up_when_time_is_over(event: Any) -> None:
    late = at(refund, refund_call).but(attempt=0).over_time()

    assert decide(refund, late, event) == Compensate(
        step=take.name, reason=TIMEOUT, effects={refund_call.name: Effect.NOT_STARTED}
    )


def test_time_is_over_at_the_very_moment() -> None:
    on_the_dot = at(refund, take).but(timeout_at=NOON)
    just_before = at(refund, take).but(timeout_at=NOON + timedelta(microseconds=1))

    assert isinstance(decide(refund, on_the_dot, FAILED), Rest)
    assert isinstance(decide(refund, just_before, FAILED), Retry)


@pytest.mark.parametrize("event", [CUT_OFF, WorkerLost(), FAILED])
def test_a_late_call_of_unknown_outcome_is_compensated_itself(event: Any) -> None:
    late = at(device, make).unknown().over_time()

    assert decide(device, late, event) == Compensate(
        step=make.name, reason=TIMEOUT, effects={make.name: Effect.UNKNOWN}
    )


@pytest.mark.parametrize(("saga", "step"), [(refund, refund_call), (device, attach)])
@pytest.mark.parametrize("event", [CUT_OFF, WorkerLost(), FAILED, Due()])
def test_a_late_call_of_unknown_outcome_is_asked_about(
    saga: Saga[Any], step: Any, event: Any
) -> None:
    late = at(saga, step).unknown().over_time()

    move = decide(saga, late, event)

    assert isinstance(move, AskProbe)
    assert move.reason is TIMEOUT


def test_a_late_pivot_that_nobody_can_ask_about_needs_a_person() -> None:
    late = at(letter, letter_call).unknown().over_time()

    assert isinstance(decide(letter, late, Due()), Fail)


def test_a_refusal_is_a_refusal_however_late_it_comes() -> None:
    late = at(refund, refund_call).over_time()

    assert decide(refund, late, RefusedFinally()) == Compensate(
        step=take.name, reason=StopReason.REFUSED, effects={refund_call.name: Effect.NOT_DONE}
    )


def test_what_was_said_first_is_why_the_saga_stops() -> None:
    told = at(refund, refund_call).over_time().but(stop_reason=StopReason.GAVE_UP)

    assert decide(refund, told, Due()) == Compensate(
        step=take.name,
        reason=StopReason.GAVE_UP,
        effects={refund_call.name: Effect.NOT_STARTED},
    )


def test_a_live_call_is_not_disturbed_when_time_is_over() -> None:
    """Recovery sees a claimed row only when its lease is lost; then nobody knows the outcome."""
    lost = at(refund, refund_call).over_time().claimed_by_a_worker()

    assert decide(refund, lost, Due()) == AskProbe(probe="refund.find", reason=TIMEOUT)


def test_an_accepted_call_before_the_pivot_does_not_outlast_the_sagas_time() -> None:
    late = at(device, make).accepted().over_time()

    assert decide(device, late, Due()) == Compensate(
        step=make.name, reason=TIMEOUT, effects={make.name: Effect.UNKNOWN}
    )


def test_an_accepted_pivot_goes_on_waiting_with_an_alarm() -> None:
    late = at(refund, refund_call).accepted().over_time()

    assert decide(refund, late, Due()) == Dispatch(overdue=True)


@pytest.mark.parametrize("event", [FAILED, CUT_OFF])
def test_an_accepted_pivot_is_tried_again_although_time_is_over(event: Any) -> None:
    late = at(refund, refund_call).accepted().over_time()

    assert decide(refund, late, event) == Retry(after=timedelta(seconds=2), effect=Effect.UNKNOWN)


def test_an_accepted_pivot_whose_worker_is_lost_is_taken_over_although_time_is_over() -> None:
    late = at(refund, refund_call).accepted().over_time().claimed_by_a_worker()

    assert decide(refund, late, Due()) == Dispatch(taken_over=True)


@pytest.mark.parametrize("step", [book, tell])
def test_past_the_pivot_the_saga_goes_on_with_an_alarm(step: Any) -> None:
    late = at(refund, step).over_time()

    assert decide(refund, late, Due()) == Dispatch(overdue=True)
    assert isinstance(decide(refund, late, FAILED), Retry)


def test_the_alarm_of_an_overdue_saga_is_raised_once() -> None:
    assert decide(refund, at(refund, book).over_time().but(overdue=True), Due()) == Dispatch()


def test_a_pivot_in_sql_that_was_not_done_in_time_is_given_up() -> None:
    move = decide(device, at(device, own).over_time(), Due())

    assert isinstance(move, Compensate)
    assert (move.step, move.reason) == (attach.name, TIMEOUT)


def test_while_the_probe_is_asked_time_ends_nothing() -> None:
    asking = at(refund, refund_call).probing(StopReason.GAVE_UP).over_time()

    assert asking.waiting_for is WaitingFor.PROBE
    assert decide(refund, asking, Due()) == Dispatch()
