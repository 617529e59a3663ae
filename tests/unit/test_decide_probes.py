"""When nobody knows what became of a call: the probe's word, and what it is worth."""

from datetime import timedelta
from typing import Any

import pytest

from saga import Saga
from saga.decide import decide, settle_after
from saga.moves import Advance, AskProbe, Compensate, Dispatch, Fail
from saga.position import Due, FoundDone, FoundNoAnswer, FoundNothing, StopReason
from saga.task import Effect
from tests.unit.positions import (
    NOON,
    at,
    attach,
    book,
    device,
    own,
    refund,
    refund_call,
    take,
)

pytestmark = pytest.mark.unit

GAVE_UP, REFUSED, TIMEOUT = StopReason.GAVE_UP, StopReason.REFUSED, StopReason.TIMEOUT
REASONS = [GAVE_UP, REFUSED, TIMEOUT]
BELIEVED = -timedelta(seconds=60)  # call timeout 30 s + 30 s ago
ASKED_FOR_AN_HOUR = -timedelta(hours=1)


def test_a_provider_is_given_the_calls_timeout_and_half_a_minute_unless_the_step_says_more() -> (
    None
):
    step = refund.steps[refund.index(refund_call.name)]

    assert settle_after(step) == timedelta(seconds=60)


@pytest.mark.parametrize("reason", REASONS)
def test_a_pivot_that_happened_goes_forward(reason: StopReason) -> None:
    asked = at(refund, refund_call).probing(reason)

    assert decide(refund, asked, FoundDone()) == Advance(to=book.name)


@pytest.mark.parametrize("reason", REASONS)
def test_a_pivot_that_happened_goes_forward_although_time_is_over(reason: StopReason) -> None:
    asked = at(refund, refund_call).probing(reason).over_time()

    assert decide(refund, asked, FoundDone()) == Advance(to=book.name)


@pytest.mark.parametrize("reason", [GAVE_UP, REFUSED])
def test_a_step_before_the_pivot_that_happened_goes_forward_in_time(reason: StopReason) -> None:
    asked = at(device, attach).probing(reason)

    assert decide(device, asked, FoundDone()) == Advance(to=own.name)


@pytest.mark.parametrize("reason", REASONS)
def test_a_step_before_the_pivot_that_happened_too_late_is_compensated(reason: StopReason) -> None:
    asked = at(device, attach).probing(reason).over_time()

    assert decide(device, asked, FoundDone()) == Compensate(
        step=attach.name, reason=TIMEOUT, effects={attach.name: Effect.DONE}
    )


@pytest.mark.parametrize("reason", REASONS)
def test_a_pivot_that_did_not_happen_goes_back_and_is_looked_at_again(reason: StopReason) -> None:
    asked = at(refund, refund_call).probing(reason, ended=BELIEVED)

    assert decide(refund, asked, FoundNothing()) == Compensate(
        step=take.name,
        reason=reason,
        look_at=refund_call.name,
        effects={refund_call.name: Effect.NOT_DONE},
    )


@pytest.mark.parametrize("reason", REASONS)
def test_a_step_that_a_probe_did_not_find_is_compensated_all_the_same(reason: StopReason) -> None:
    asked = at(device, attach).probing(reason, ended=BELIEVED)

    assert decide(device, asked, FoundNothing()) == Compensate(
        step=attach.name, reason=reason, effects={attach.name: Effect.UNKNOWN}
    )


@pytest.mark.parametrize(
    ("saga", "step", "probe"),
    [(refund, refund_call, "refund.find"), (device, attach, "device.find_attached")],
)
@pytest.mark.parametrize("reason", REASONS)
def test_nothing_found_too_early_is_not_believed(
    saga: Saga[Any], step: Any, probe: str, reason: StopReason
) -> None:
    ended = BELIEVED + timedelta(seconds=1)
    asked = at(saga, step).probing(reason, ended=ended)

    assert decide(saga, asked, FoundNothing()) == AskProbe(
        probe=probe, after=timedelta(seconds=1), reason=reason
    )


def test_nothing_found_is_as_old_as_the_question() -> None:
    """The provider did it between the probe's look and its slow answer."""
    asked = at(refund, refund_call).probing(GAVE_UP, ended=BELIEVED)
    too_early = FoundNothing(asked_at=NOON - timedelta(seconds=1))

    assert decide(refund, asked, too_early) == AskProbe(probe="refund.find", reason=GAVE_UP)
    assert isinstance(decide(refund, asked, FoundNothing(asked_at=NOON)), Compensate)


def test_a_call_that_may_still_be_under_way_makes_the_probe_wait_longer() -> None:
    """A lost worker may call until its hard limit, which lies ahead."""
    asked = at(refund, refund_call).probing(GAVE_UP, ended=timedelta(seconds=20))

    assert decide(refund, asked, FoundNothing()) == AskProbe(
        probe="refund.find", after=timedelta(seconds=80), reason=GAVE_UP
    )


def test_nothing_found_is_not_believed_when_nobody_knows_when_the_call_ended() -> None:
    asked = at(refund, refund_call).probing(GAVE_UP).but(call_ended_at=None)

    assert decide(refund, asked, FoundNothing()) == AskProbe(
        probe="refund.find", after=timedelta(seconds=60), reason=GAVE_UP
    )


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (3, 20), (8, 600), (99, 600)])
@pytest.mark.parametrize(("saga", "step"), [(refund, refund_call), (device, attach)])
def test_a_probe_that_cannot_tell_is_asked_again_ever_more_slowly(
    saga: Saga[Any], step: Any, attempt: int, seconds: int
) -> None:
    asked = at(saga, step).probing(TIMEOUT, ended=-timedelta(minutes=59)).in_attempt(attempt)

    move = decide(saga, asked, FoundNoAnswer())

    assert isinstance(move, AskProbe)
    assert (move.after, move.reason) == (timedelta(seconds=seconds), TIMEOUT)


def test_a_pivot_that_nobody_can_tell_about_for_an_hour_needs_a_person() -> None:
    asked = at(refund, refund_call).probing(TIMEOUT, ended=ASKED_FOR_AN_HOUR)

    move = decide(refund, asked, FoundNoAnswer())

    assert isinstance(move, Fail)
    assert move.effects == {refund_call.name: Effect.UNKNOWN}
    assert "refund.find could not tell" in move.advice


def test_a_step_before_the_pivot_that_nobody_can_tell_about_for_an_hour_is_compensated() -> None:
    asked = at(device, attach).probing(TIMEOUT, ended=ASKED_FOR_AN_HOUR)

    assert decide(device, asked, FoundNoAnswer()) == Compensate(
        step=attach.name, reason=TIMEOUT, effects={attach.name: Effect.UNKNOWN}
    )


def test_a_probe_that_is_due_is_published() -> None:
    assert decide(refund, at(refund, refund_call).probing(GAVE_UP), Due()) == Dispatch()


def test_a_probe_whose_worker_is_lost_is_taken_over() -> None:
    lost = at(refund, refund_call).probing(GAVE_UP, ended=-timedelta(minutes=59))

    assert decide(refund, lost.claimed_by_a_worker(), Due()) == Dispatch(taken_over=True)


def test_a_probe_that_kills_its_worker_every_time_ends_after_an_hour_too() -> None:
    lost = at(refund, refund_call).probing(GAVE_UP, ended=ASKED_FOR_AN_HOUR)

    move = decide(refund, lost.claimed_by_a_worker(), Due())

    assert isinstance(move, Fail)
    assert move.effects == {refund_call.name: Effect.UNKNOWN}


def test_nothing_found_is_not_believed_once_a_late_worker_said_that_it_happened() -> None:
    """A zombie reported its success while the probe was on its way to an older answer."""
    asked = at(refund, refund_call).probing(GAVE_UP, ended=-timedelta(minutes=5))
    contradicted = asked.knowing({refund_call: Effect.DONE})

    move = decide(refund, contradicted, FoundNothing())

    assert isinstance(move, AskProbe)
    assert move.after > timedelta(0)


def test_a_provider_that_contradicts_a_late_success_for_an_hour_needs_a_person() -> None:
    asked = at(refund, refund_call).probing(GAVE_UP, ended=ASKED_FOR_AN_HOUR)
    contradicted = asked.knowing({refund_call: Effect.DONE})

    move = decide(refund, contradicted, FoundNothing())

    assert isinstance(move, Fail)
    assert move.effects == {refund_call.name: Effect.DONE}


def test_a_step_that_was_stopped_for_time_stays_stopped_when_it_is_found_done() -> None:
    asked = at(device, attach).probing(TIMEOUT)

    assert decide(device, asked, FoundDone()) == Compensate(
        step=attach.name, reason=TIMEOUT, effects={attach.name: Effect.DONE}
    )
