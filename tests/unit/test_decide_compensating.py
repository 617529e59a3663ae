"""Going back: in reverse order, each compensation until it is done."""

from datetime import timedelta
from typing import Any

import pytest

from saga import Status
from saga.decide import decide
from saga.moves import Compensate, Dispatch, Fail, Rest, Retry
from saga.position import (
    Accepted,
    AttemptFailed,
    Due,
    RefusedFinally,
    StopReason,
    Succeeded,
    WorkerLost,
)
from saga.task import Effect
from tests.unit.positions import (
    attach,
    check,
    device,
    going_back,
    invite,
    make,
    refund,
    refund_call,
    reserve,
    take,
    visit,
)

pytestmark = pytest.mark.unit

DONE = Succeeded(Effect.DONE)
FAILED = AttemptFailed(Effect.UNKNOWN)
GAVE_UP, REFUSED, TIMEOUT = StopReason.GAVE_UP, StopReason.REFUSED, StopReason.TIMEOUT


@pytest.mark.parametrize("reason", [GAVE_UP, REFUSED])
def test_the_step_before_is_compensated_next(reason: StopReason) -> None:
    assert decide(device, going_back(device, attach, reason), DONE) == Compensate(
        step=make.name, reason=reason, effects={attach.name: Effect.COMPENSATED}
    )


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (GAVE_UP, Status.COMPENSATED),
        (REFUSED, Status.COMPENSATED),
        (TIMEOUT, Status.TIMEOUT),
    ],
)
def test_when_all_is_compensated_the_saga_rests_as_its_reason_says(
    reason: StopReason, status: Status
) -> None:
    assert decide(refund, going_back(refund, take, reason), DONE) == Rest(
        status=status, reason=reason, effects={take.name: Effect.COMPENSATED}
    )


def test_a_step_with_nothing_to_compensate_is_passed_by() -> None:
    assert decide(device, going_back(device, make), DONE) == Rest(
        status=Status.COMPENSATED,
        reason=GAVE_UP,
        effects={make.name: Effect.COMPENSATED, check.name: Effect.COMPENSATED},
    )


@pytest.mark.parametrize("effect", [Effect.NOT_STARTED, Effect.NOT_DONE, Effect.COMPENSATED])
def test_a_step_that_left_nothing_behind_is_not_compensated(effect: Effect) -> None:
    position = going_back(device, attach).knowing({make: effect, check: effect})

    move = decide(device, position, DONE)

    assert move == Rest(
        status=Status.COMPENSATED, reason=GAVE_UP, effects={attach.name: Effect.COMPENSATED}
    )


def test_a_step_that_only_a_person_can_compensate_ends_the_way_back() -> None:
    move = decide(visit, going_back(visit, reserve), DONE)

    assert isinstance(move, Fail)
    assert move.effects == {reserve.name: Effect.COMPENSATED}
    assert f"{invite.name} must be compensated by hand: call the guest" in move.advice


def test_a_compensation_has_a_patience_of_its_own() -> None:
    """Ten retries, at most ten minutes apart, and no end of time."""
    late = going_back(device, attach, TIMEOUT).over_time()

    waits = [decide(device, late.in_attempt(attempt), FAILED) for attempt in range(1, 11)]

    assert [move.after.total_seconds() for move in waits if isinstance(move, Retry)] == [
        *(2, 4, 8, 16, 32, 64, 128, 256, 512, 600)
    ]
    assert {move.effect for move in waits if isinstance(move, Retry)} == {Effect.DONE}


@pytest.mark.parametrize("event", [FAILED, WorkerLost(), AttemptFailed(Effect.NOT_STARTED)])
def test_a_compensation_whose_retries_are_used_up_fails_for_a_person(event: Any) -> None:
    move = decide(device, going_back(device, attach).in_attempt(11), event)

    assert isinstance(move, Fail)
    assert move.effects == {attach.name: Effect.COMPENSATION_FAILED}
    assert attach.name in move.advice


@pytest.mark.parametrize("event", [RefusedFinally(), Accepted(after=timedelta(seconds=1))])
def test_a_compensation_that_is_refused_is_never_swallowed(event: Any) -> None:
    move = decide(device, going_back(device, attach), event)

    assert isinstance(move, Fail)
    assert move.effects == {attach.name: Effect.COMPENSATION_FAILED}


def test_a_compensation_may_say_itself_when_to_try_again() -> None:
    later = AttemptFailed(Effect.NOT_STARTED, after=timedelta(minutes=7))

    assert decide(device, going_back(device, attach), later) == Retry(
        after=timedelta(minutes=7), effect=Effect.DONE
    )


def test_what_is_not_known_stays_so_while_its_compensation_is_retried() -> None:
    move = decide(device, going_back(device, attach).unknown(), FAILED)

    assert move == Retry(after=timedelta(seconds=2), effect=Effect.UNKNOWN)


@pytest.mark.parametrize("event", [Due(), WorkerLost()])
def test_a_compensation_whose_worker_is_lost_is_taken_over(event: Any) -> None:
    lost = going_back(device, attach, TIMEOUT).over_time().claimed_by_a_worker()

    assert decide(device, lost, event) == Dispatch(taken_over=True)


def test_a_compensation_that_is_due_is_published_however_late_it_is() -> None:
    assert decide(device, going_back(device, attach, TIMEOUT).over_time(), Due()) == Dispatch()


def test_a_compensation_that_believed_too_little_runs_again() -> None:
    """It was told "maybe"; while it ran, a lost worker reported that the step had happened."""
    position = going_back(device, attach).knowing({attach: Effect.DONE})

    move = decide(device, position, Succeeded(Effect.UNKNOWN))

    assert isinstance(move, Retry)
    assert move.effect is Effect.DONE


@pytest.mark.parametrize("known", [Effect.UNKNOWN, Effect.DONE])
def test_a_compensation_that_believed_what_is_known_is_done(known: Effect) -> None:
    position = going_back(refund, take).knowing({take: known})

    assert isinstance(decide(refund, position, Succeeded(known)), Rest)


def test_a_pivot_that_came_to_light_behind_us_stops_the_way_back() -> None:
    position = going_back(refund, take).knowing({refund_call: Effect.DONE})

    move = decide(refund, position, DONE)

    assert isinstance(move, Fail)
    assert move.effects == {take.name: Effect.COMPENSATED}
    assert f"{refund_call.name} took effect after all" in move.advice
