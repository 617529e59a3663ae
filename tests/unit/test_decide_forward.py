"""Going forward, step by step, and trying again."""

from datetime import timedelta
from typing import Any

import pytest

from saga import Saga
from saga.decide import decide
from saga.moves import Advance, Compensate, Complete, Dispatch, Retry, WaitFor
from saga.position import (
    Accepted,
    AttemptFailed,
    StopReason,
    Succeeded,
    WaitingFor,
    WorkerLost,
)
from saga.task import Effect
from tests.unit.positions import (
    announce,
    at,
    book,
    cleanup,
    device,
    letter,
    letter_call,
    make,
    own,
    refund,
    refund_call,
    report,
    reserve,
    sweep,
    take,
    tell,
    visit,
)

pytestmark = pytest.mark.unit


def poll(after: timedelta) -> WaitFor:
    return WaitFor(what=WaitingFor.POLL, after=after, effect=Effect.UNKNOWN)


FAILED = AttemptFailed(Effect.NOT_STARTED)
CUT_OFF = AttemptFailed(Effect.UNKNOWN)


@pytest.mark.parametrize(
    ("saga", "step", "following"),
    [
        (refund, take, refund_call),
        (refund, refund_call, book),
        (refund, book, tell),
        (device, make, None),
        (cleanup, sweep, report),
    ],
)
def test_a_step_that_is_done_is_followed_by_the_next(
    saga: Saga[Any], step: Any, following: Any
) -> None:
    following = following or saga.steps[saga.index(step.name) + 1]

    assert decide(saga, at(saga, step), Succeeded()) == Advance(to=following.name)


@pytest.mark.parametrize(
    ("saga", "step"),
    [(refund, tell), (device, own), (letter, letter_call), (cleanup, report), (visit, announce)],
)
def test_a_saga_whose_last_step_is_done_is_complete(saga: Saga[Any], step: Any) -> None:
    assert decide(saga, at(saga, step), Succeeded()) == Complete()


@pytest.mark.parametrize("step", [refund_call, book])
def test_a_pivot_that_is_done_goes_forward_however_late_it_is(step: Any) -> None:
    assert isinstance(decide(refund, at(refund, step).over_time(), Succeeded()), Advance)


def test_a_last_step_after_the_pivot_completes_however_late_it_is() -> None:
    assert decide(refund, at(refund, tell).over_time(), Succeeded()) == Complete()


@pytest.mark.parametrize("step", [sweep, report])
def test_a_saga_without_a_way_back_goes_forward_however_late_it_is(step: Any) -> None:
    late = at(cleanup, step).over_time()

    assert decide(cleanup, late, Succeeded()) in (Advance(to=report.name), Complete())


def test_a_step_before_the_pivot_that_ends_too_late_is_compensated() -> None:
    late = at(refund, take).over_time()

    assert decide(refund, late, Succeeded()) == Compensate(
        step=take.name, reason=StopReason.TIMEOUT, effects={take.name: Effect.DONE}
    )


def test_a_step_before_the_pivot_obeys_an_order_to_stop_when_it_is_done() -> None:
    told = at(visit, reserve).but(stop_reason=StopReason.GAVE_UP)

    assert decide(visit, told, Succeeded()) == Compensate(
        step=reserve.name, reason=StopReason.GAVE_UP, effects={reserve.name: Effect.DONE}
    )


def test_an_order_to_stop_comes_too_late_for_a_pivot_that_is_done() -> None:
    told = at(refund, refund_call).but(stop_reason=StopReason.GAVE_UP)

    assert decide(refund, told, Succeeded()) == Advance(to=book.name)


@pytest.mark.parametrize("attempt", [1, 2, 3])
@pytest.mark.parametrize("step", [take, refund_call, book])
def test_a_failed_attempt_is_tried_again_while_retries_are_left(step: Any, attempt: int) -> None:
    move = decide(refund, at(refund, step).in_attempt(attempt), FAILED)

    assert move == Retry(after=timedelta(seconds=2**attempt), effect=Effect.NOT_STARTED)


def test_a_call_that_was_cut_off_is_tried_again_with_an_unknown_outcome() -> None:
    move = decide(refund, at(refund, refund_call), CUT_OFF)

    assert move == Retry(after=timedelta(seconds=2), effect=Effect.UNKNOWN)


def test_an_unknown_outcome_outlives_a_later_attempt_that_certainly_did_nothing() -> None:
    move = decide(refund, at(refund, refund_call).in_attempt(2).unknown(), FAILED)

    assert move == Retry(after=timedelta(seconds=4), effect=Effect.UNKNOWN)


def test_a_step_may_say_itself_when_to_try_again() -> None:
    later = AttemptFailed(Effect.NOT_STARTED, after=timedelta(minutes=7))

    assert decide(refund, at(refund, refund_call), later) == Retry(
        after=timedelta(minutes=7), effect=Effect.NOT_STARTED
    )


def test_jitter_takes_up_to_half_of_the_wait() -> None:
    position = at(refund, take).in_attempt(3)

    waits = [decide(refund, position, FAILED, jitter=jitter) for jitter in (0.0, 0.5, 1.0)]

    assert [move.after for move in waits if isinstance(move, Retry)] == [
        timedelta(seconds=8),
        timedelta(seconds=6),
        timedelta(seconds=4),
    ]


@pytest.mark.parametrize("step", [refund_call, tell])
def test_a_lost_worker_is_taken_over_at_once(step: Any) -> None:
    lost = at(refund, step).in_attempt(3).claimed_by_a_worker()

    assert decide(refund, lost, WorkerLost()) == Dispatch(taken_over=True)


@pytest.mark.parametrize("step", [refund_call, tell])
def test_an_order_that_was_accepted_is_asked_for_later_at_no_cost(step: Any) -> None:
    accepted = Accepted(after=timedelta(minutes=1))

    # Not even after the last attempt: it costs none.
    position = at(refund, step).in_attempt(4).claimed_by_a_worker()
    assert decide(refund, position, accepted) == poll(timedelta(minutes=1))


def test_a_call_before_the_pivot_may_be_accepted_too() -> None:
    accepted = Accepted(after=timedelta(minutes=1))

    assert decide(device, at(device, make), accepted) == poll(timedelta(minutes=1))


def test_a_call_that_is_accepted_after_the_sagas_time_is_not_waited_for() -> None:
    late = at(device, make).over_time().claimed_by_a_worker()

    assert decide(device, late, Accepted(after=timedelta(hours=1))) == Compensate(
        step=make.name, reason=StopReason.TIMEOUT, effects={make.name: Effect.UNKNOWN}
    )


def test_a_pivot_that_is_accepted_after_the_sagas_time_is_waited_for() -> None:
    late = at(refund, refund_call).over_time().claimed_by_a_worker()

    assert decide(refund, late, Accepted(after=timedelta(hours=1))) == poll(timedelta(hours=1))


def test_a_step_that_the_definition_does_not_have_is_nobodys_to_decide() -> None:
    with pytest.raises(KeyError):
        decide(refund, at(device, make), Succeeded())
