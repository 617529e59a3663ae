"""What an operator may do, and what comes of it."""

from typing import Any

import pytest

from saga import Effect, Role, Saga, Status
from saga.decide import allowed, decide, why_not
from saga.moves import (
    Advance,
    AskProbe,
    Compensate,
    Complete,
    Dispatch,
    Fail,
    Pause,
    Reopen,
    Resolve,
    Rest,
    Resume,
    Stop,
)
from saga.position import Intervened, Intervention, Outcome, Paused, StopReason, WaitingFor
from tests.unit.positions import (
    At,
    at,
    attach,
    book,
    device,
    going_back,
    invite,
    make,
    own,
    refund,
    refund_call,
    reserve,
    resting,
    take,
    tell,
    visit,
)

pytestmark = pytest.mark.unit

RETRY, COMPENSATE, CANCEL, PAUSE, RESUME, RESOLVE = Intervention
NOT_DONE, UNKNOWN, DONE = Effect.NOT_DONE, Effect.UNKNOWN, Effect.DONE
GAVE_UP = StopReason.GAVE_UP


def failed(position: At, origin: Status = Status.RUNNING) -> At:
    return position.but(status=Status.FAILED, failed_from=origin)


def asked(saga: Saga[Any], position: At, what: Intervention, **more: Any) -> Any:
    assert why_not(saga, position, what) is None
    return decide(saga, position, Intervened(what=what, **more))


def resolved(saga: Saga[Any], position: At, step: Any, outcome: Outcome) -> Any:
    name = None if step is None else step.name
    return asked(saga, position, RESOLVE, step=name, outcome=outcome)


STANDINGS = {
    "before the pivot": (at(refund, take), {RETRY, CANCEL, PAUSE}),
    "called": (at(refund, refund_call).claimed_by_a_worker(), {CANCEL, PAUSE}),
    "asking its probe": (at(refund, refund_call).probing(GAVE_UP), {RETRY, CANCEL, PAUSE}),
    "accepted": (at(refund, refund_call).accepted(), {RETRY, PAUSE}),
    "waiting for a signal": (
        at(device, make).but(waiting_for=WaitingFor.SIGNAL, signal="made"),
        {CANCEL, PAUSE},
    ),
    "past the pivot": (at(refund, book), {RETRY, PAUSE}),
    "cancelled": (at(device, make).but(stop_reason=StopReason.CANCELLED), {RETRY, PAUSE}),
    "paused": (at(device, make).but(paused=Paused.SAGA), {CANCEL, RESUME}),
    "paused by its type": (at(device, make).but(paused=Paused.TYPE), {CANCEL, PAUSE}),
    "going back": (going_back(refund, take), {RETRY, PAUSE}),
    "its compensation at work": (going_back(refund, take).claimed_by_a_worker(), {PAUSE}),
    "failed": (failed(at(refund, book)), {RETRY, COMPENSATE, RESOLVE}),
    "failed going back": (
        failed(going_back(refund, take), Status.COMPENSATING),
        {RETRY, COMPENSATE, RESOLVE},
    ),
    "failed at what a person must compensate": (
        failed(going_back(visit, invite), Status.COMPENSATING),
        {COMPENSATE, RESOLVE},
    ),
    "failed by a late success": (
        failed(at(refund, refund_call), Status.COMPENSATED),
        {COMPENSATE, RESOLVE},
    ),
    "failed going back by a late success": (
        failed(going_back(device, make).knowing({attach: DONE}), Status.COMPENSATING),
        {COMPENSATE, RESOLVE},
    ),
    "completed": (at(refund, tell).but(status=Status.COMPLETED), set()),
    "compensated": (resting(refund, refund_call, Status.COMPENSATED, GAVE_UP), set()),
    "timed out": (resting(refund, refund_call, Status.TIMEOUT, StopReason.TIMEOUT), set()),
}


def saga_of(position: At) -> Saga[Any]:
    return next(s for s in (refund, device, visit) if position.step in {x.name for x in s.steps})


@pytest.mark.parametrize("standing", STANDINGS)
def test_what_an_operator_may_do_depends_on_where_the_saga_stands(standing: str) -> None:
    position, expected = STANDINGS[standing]

    assert set(allowed(saga_of(position), position)) == expected


@pytest.mark.parametrize("standing", STANDINGS)
def test_what_is_not_allowed_says_why(standing: str) -> None:
    position, expected = STANDINGS[standing]

    for what in set(Intervention) - expected:
        assert why_not(saga_of(position), position, what)


@pytest.mark.parametrize("standing", STANDINGS)
def test_what_is_allowed_leads_somewhere(standing: str) -> None:
    position, expected = STANDINGS[standing]

    for what in expected:
        assert asked(saga_of(position), position, what, outcome=Outcome.DONE)


def test_a_retry_of_what_waits_comes_before_its_time() -> None:
    assert asked(refund, at(refund, book).in_attempt(2), RETRY) == Dispatch(hurried=True)


def test_a_failed_step_is_retried_under_the_same_key() -> None:
    position = failed(at(refund, refund_call).unknown().but(stop_reason=GAVE_UP))

    assert asked(refund, position, RETRY) == Reopen(by=RETRY, status=Status.RUNNING)


def test_what_surely_did_not_happen_is_retried_under_a_new_key() -> None:
    position = failed(at(refund, tell).knowing({tell: NOT_DONE}))

    assert asked(refund, position, RETRY) == Reopen(
        by=RETRY,
        status=Status.RUNNING,
        effects={tell.name: Effect.NOT_STARTED},
        new_key=True,
    )


def test_sql_has_no_key_to_renew() -> None:
    position = failed(at(refund, book).knowing({book: NOT_DONE}))

    assert not asked(refund, position, RETRY).new_key


def test_a_failed_compensation_is_retried_and_must_bear_both() -> None:
    back = going_back(device, make).knowing({make: Effect.COMPENSATION_FAILED})

    assert asked(device, failed(back, Status.COMPENSATING), RETRY) == Reopen(
        by=RETRY, status=Status.COMPENSATING, reason=GAVE_UP, effects={make.name: UNKNOWN}
    )


def test_an_ordered_compensation_begins_past_the_pivot() -> None:
    moved = asked(refund, failed(at(refund, tell)), COMPENSATE)

    # Booking has no compensation in this definition: a person must take it back.
    assert moved == Fail(
        advice=f"{book.name} has no compensation: take its effect back by hand, then resolve it "
        "as not done",
        step=book.name,
        going_back=StopReason.ORDERED,
    )


def test_an_ordered_compensation_takes_back_the_last_step_first() -> None:
    position = failed(at(device, own).knowing({attach: UNKNOWN}))

    moved = asked(device, position, COMPENSATE)

    assert isinstance(moved, Reopen)
    assert (moved.status, moved.reason) == (Status.COMPENSATING, StopReason.ORDERED)
    assert isinstance(moved.then, Compensate)
    assert moved.then.step == attach.name


def test_a_cancelled_saga_goes_back_at_once_when_nothing_is_in_hand() -> None:
    moved = asked(device, at(device, attach), CANCEL)

    assert isinstance(moved, Compensate)
    assert (moved.step, moved.reason) == (make.name, StopReason.CANCELLED)


@pytest.mark.parametrize(
    "position",
    [at(refund, refund_call).claimed_by_a_worker(), at(refund, refund_call).probing(GAVE_UP)],
    ids=["call", "probe"],
)
def test_what_is_in_hand_ends_before_a_cancelled_saga_goes_back(position: At) -> None:
    assert asked(refund, position, CANCEL) == Stop(StopReason.CANCELLED)


def test_before_a_cancelled_saga_goes_back_the_provider_is_asked() -> None:
    moved = asked(refund, at(refund, refund_call).unknown(), CANCEL)

    assert isinstance(moved, AskProbe)
    assert moved.reason is StopReason.CANCELLED


def test_pausing_and_resuming_are_what_they_are() -> None:
    assert asked(refund, at(refund, book), PAUSE) == Pause(Paused.SAGA)
    assert asked(refund, at(refund, book).but(paused=Paused.SAGA), RESUME) == Resume()


def test_a_step_in_hand_that_was_done_lets_the_saga_go_forward() -> None:
    position = failed(at(refund, refund_call).unknown().but(stop_reason=GAVE_UP).over_time())

    moved = resolved(refund, position, refund_call, Outcome.DONE)

    assert (moved.status, moved.effects) == (Status.RUNNING, {refund_call.name: DONE})
    assert moved.then == Advance(to=book.name)


def test_the_last_step_that_was_done_completes_the_saga() -> None:
    assert resolved(refund, failed(at(refund, tell)), tell, Outcome.DONE).then == Complete()


def test_a_pivot_that_was_not_done_lets_the_saga_go_back() -> None:
    position = failed(at(refund, refund_call).unknown().but(stop_reason=GAVE_UP))

    moved = resolved(refund, position, refund_call, Outcome.NOT_DONE)

    assert (moved.status, moved.effects) == (Status.COMPENSATING, {refund_call.name: NOT_DONE})
    assert moved.then.step == take.name


def test_past_the_pivot_what_was_not_done_is_only_written_down() -> None:
    assert resolved(refund, failed(at(refund, book)), book, Outcome.NOT_DONE) == Resolve(
        effects={book.name: NOT_DONE}
    )


def test_what_a_person_took_back_lets_the_saga_go_on_going_back() -> None:
    back = failed(going_back(visit, reserve).but(step=invite.name), Status.COMPENSATING)
    back = back.knowing({reserve: Effect.COMPENSATED, invite: DONE})

    assert resolved(visit, back, invite, Outcome.NOT_DONE) == Rest(
        status=Status.COMPENSATED,
        reason=GAVE_UP,
        effects={invite.name: Effect.COMPENSATED},
    )


def test_a_saga_stays_failed_while_something_stands_that_nothing_takes_back() -> None:
    late = failed(going_back(device, make).knowing({attach: DONE}), Status.COMPENSATING)

    assert resolved(device, late, make, Outcome.NOT_DONE) == Resolve(
        effects={make.name: Effect.COMPENSATED}
    )


def test_a_whole_saga_that_is_done_is_completed_with_every_step() -> None:
    moved = resolved(refund, failed(at(refund, book)), None, Outcome.DONE)

    assert moved == Complete(effects={step.name: DONE for step in refund.steps})


def test_a_whole_saga_that_is_not_done_is_compensated_with_every_effect_accounted_for() -> None:
    position = failed(at(refund, book).knowing({refund_call: UNKNOWN}))

    moved = resolved(refund, position, None, Outcome.NOT_DONE)

    assert moved == Rest(
        status=Status.COMPENSATED,
        reason=StopReason.ORDERED,
        effects={take.name: Effect.COMPENSATED, refund_call.name: NOT_DONE},
    )


def test_roles_decide_what_a_person_must_order() -> None:
    assert {step.role for step in refund.steps} == set(Role)
