"""A probe finds that the order was accepted, and is not final yet: its saga waits for it again."""

from datetime import timedelta

import pytest

from saga import Effect, Role, Status
from saga.decide import decide
from saga.moves import AskProbe, Compensate, Dispatch, LookAgain, Retry, WaitFor
from saga.position import (
    Accepted,
    AttemptFailed,
    Due,
    FoundNothing,
    RefusedFinally,
    StopReason,
    WaitingFor,
)
from tests.unit.positions import At, at, attach, device, make, refund, refund_call, resting

pytestmark = pytest.mark.unit

CANCELLED, GAVE_UP, REFUSED, TIMEOUT = (
    StopReason.CANCELLED,
    StopReason.GAVE_UP,
    StopReason.REFUSED,
    StopReason.TIMEOUT,
)
MINUTE = timedelta(minutes=1)
SAID = Accepted(after=MINUTE, signal="told")
FIND, FIND_ATTACHED = "refund.find", "device.find_attached"


def waits(*, reason: StopReason | None = None) -> WaitFor:
    return WaitFor(
        what=WaitingFor.POLL, after=MINUTE, signal="told", effect=Effect.UNKNOWN, reason=reason
    )


@pytest.mark.parametrize("reason", [GAVE_UP, REFUSED, TIMEOUT])
@pytest.mark.parametrize("ended", [timedelta(0), timedelta(days=-1)], ids=["just now", "long ago"])
def test_a_pivot_is_waited_for_whatever_it_was_given_up_for(
    reason: StopReason, ended: timedelta
) -> None:
    asked = at(refund, refund_call).probing(reason, ended=ended)

    assert decide(refund, asked, SAID) == waits()
    assert decide(refund, asked.over_time(), SAID) == waits()


def test_it_is_asked_for_again_by_the_steps_own_policy_unless_the_probe_says_when() -> None:
    asked = at(refund, refund_call).probing(GAVE_UP)
    last = len(refund.step(refund_call.name).poll.waits)

    first, later = (decide(refund, asked.but(polls=polls), Accepted()) for polls in (0, last))

    assert isinstance(first, WaitFor)
    assert isinstance(later, WaitFor)
    assert first.after < later.after


def test_a_cancellation_outlives_the_wait_and_is_obeyed_by_the_final_word() -> None:
    asked = at(refund, refund_call).probing(CANCELLED)
    assert decide(refund, asked, SAID) == waits(reason=CANCELLED)

    polled = at(refund, refund_call).accepted().but(stop_reason=CANCELLED)
    assert decide(refund, polled, SAID) == waits(reason=CANCELLED)
    weighed = AskProbe(probe=FIND, reason=CANCELLED)
    assert decide(refund, polled, RefusedFinally()) == weighed
    given_up = polled.in_attempt(4).claimed_by_a_worker()
    assert decide(refund, given_up, AttemptFailed(Effect.UNKNOWN)) == weighed
    missed = polled.but(waiting_for=WaitingFor.SIGNAL, signal="told")
    assert decide(refund, missed, Due()) == weighed
    found = decide(refund, at(refund, refund_call).probing(CANCELLED), FoundNothing())
    assert isinstance(found, Compensate)
    assert found.reason == CANCELLED


def test_past_its_time_an_accepted_pivot_raises_the_alarm_and_is_asked_again() -> None:
    polled = at(refund, refund_call).accepted().over_time()

    assert decide(refund, polled, Due()) == Dispatch(overdue=True)


@pytest.mark.parametrize("reason", [GAVE_UP, REFUSED])
def test_before_the_pivot_it_is_waited_for_in_time(reason: StopReason) -> None:
    assert decide(device, at(device, attach).probing(reason), SAID) == waits()


@pytest.mark.parametrize(
    "asked",
    [at(device, attach).probing(CANCELLED), at(device, attach).probing(GAVE_UP).over_time()],
    ids=["cancelled", "over time"],
)
def test_before_the_pivot_what_is_to_stop_does_not_wait(asked: At) -> None:
    """It is asked as long as for any other answer that leaves it open, then compensated."""
    just_now = asked.but(call_ended_at=asked.now)

    asks_again, goes_back = (decide(device, each, SAID) for each in (just_now, asked))

    assert isinstance(asks_again, AskProbe)
    assert asks_again.probe == FIND_ATTACHED
    assert isinstance(goes_back, Compensate)
    assert (goes_back.step, goes_back.effects) == (attach.name, {attach.name: Effect.UNKNOWN})


def test_a_late_success_is_not_forgotten_for_an_older_answer() -> None:
    asked = at(refund, refund_call).probing(GAVE_UP, ended=timedelta(0))

    move = decide(refund, asked.knowing({refund_call: Effect.DONE}), SAID)

    assert isinstance(move, AskProbe)


def test_at_a_second_look_it_is_no_answer_yet() -> None:
    rested = resting(refund, refund_call, Status.COMPENSATED, GAVE_UP)
    rested = rested.but(waiting_for=WaitingFor.SECOND_LOOK)

    assert isinstance(decide(refund, rested, SAID), Retry)
    assert decide(refund, rested.in_attempt(11), SAID) == LookAgain()


def test_a_step_that_says_so_itself_is_not_taken_for_its_probe() -> None:
    called = at(device, make).but(stop_reason=CANCELLED)

    assert device.step(make.name).role is Role.COMPENSATABLE
    assert decide(device, called, SAID) == Compensate(
        step=make.name, reason=CANCELLED, effects={make.name: Effect.UNKNOWN}
    )
