"""A step that may be skipped stops nobody, and what is known of it stays known."""

from datetime import timedelta
from typing import Any

import pytest

from saga import Effect, Saga, Status, pivot, retriable, skip
from saga.decide import decide, why_not
from saga.moves import (
    Advance,
    Complete,
    Dispatch,
    Fail,
    Move,
    Note,
    Reopen,
    Retry,
    Skipped,
    WaitFor,
    WaitOn,
)
from saga.outlook import what_follows
from saga.position import (
    AttemptFailed,
    Due,
    Event,
    Intervened,
    Intervention,
    LateSuccess,
    PersonNeeded,
    RefusedFinally,
    StopReason,
    Succeeded,
    WaitingFor,
    WaitsForSignal,
    WorkerLost,
)
from tests.unit.positions import TIMEOUT, At, State, at, call, call_back, sql

pytestmark = pytest.mark.unit

NOT_STARTED, NOT_DONE, UNKNOWN, DONE = (
    Effect.NOT_STARTED,
    Effect.NOT_DONE,
    Effect.UNKNOWN,
    Effect.DONE,
)
GAVE_UP = "did not succeed in 4 attempts"

# A parcel: its customer is told on the way, and asked for a review in the end; nobody must hear.
send, hail, note, ask = (
    sql("parcel.send"),
    call("parcel.hail"),
    sql("parcel.note"),
    call("parcel.ask"),
)
parcel = Saga(
    name="parcel",
    version=1,
    state=State,
    timeout=TIMEOUT,
    steps=[
        pivot(send),
        retriable(hail, compensation=call_back("parcel.calm"), give_up=skip),
        retriable(note),
        retriable(ask, give_up=skip),
    ],
)


def skipped(step: Any, why: str, effect: Any) -> Move:
    gone = Skipped(why, effect)
    return Advance(note.name, gone) if step is hail else Complete(skipped=gone)


def on(step: Any) -> At:
    return at(parcel, step)


@pytest.mark.parametrize("step", [hail, ask])
@pytest.mark.parametrize(
    ("attempt", "event", "why", "effect"),
    [
        (1, RefusedFinally(), "was refused", NOT_DONE),
        (4, AttemptFailed(UNKNOWN), GAVE_UP, UNKNOWN),
        (4, AttemptFailed(NOT_STARTED), GAVE_UP, NOT_DONE),
        (4, WorkerLost(), GAVE_UP, UNKNOWN),
        (1, PersonNeeded(advice="act", effect=NOT_STARTED), "asked for a person", NOT_DONE),
        (1, PersonNeeded(advice="act", effect=NOT_DONE), "asked for a person", NOT_DONE),
        (1, PersonNeeded(advice="act", effect=UNKNOWN), "asked for a person", UNKNOWN),
    ],
)
def test_what_is_given_up_is_skipped_with_what_is_known_of_it(
    step: Any, attempt: int, event: Event, why: str, effect: Effect
) -> None:
    move = decide(parcel, on(step).in_attempt(attempt), event)

    assert move == skipped(step, why, effect)


@pytest.mark.parametrize(
    "event", [RefusedFinally(), PersonNeeded(advice="act", effect=NOT_STARTED)]
)
def test_a_later_word_does_not_clear_the_doubt_about_an_earlier_call(event: Event) -> None:
    move = decide(parcel, on(ask).unknown(), event)

    assert isinstance(move, Complete)
    assert move.skipped is not None
    assert move.skipped.effect is UNKNOWN


def test_a_signal_that_never_comes_is_not_waited_for() -> None:
    waits = on(hail).accepted().but(waiting_for=WaitingFor.SIGNAL, signal="heard")

    move = decide(parcel, waits.but(not_before=waits.now), Due())

    assert move == skipped(hail, "waited in vain for the signal heard", UNKNOWN)


@pytest.mark.parametrize(
    ("position", "event", "kind"),
    [
        (on(hail).in_attempt(3), AttemptFailed(UNKNOWN), Retry),
        (on(hail).in_attempt(3), WorkerLost(), Dispatch),
        (on(hail), WaitsForSignal(signal="heard", timeout=timedelta(days=1)), WaitFor),
        (on(hail).over_time(), Due(), Dispatch),
        (
            on(hail).accepted().over_time().but(not_before=on(hail).now + TIMEOUT),
            Due(),
            WaitOn,
        ),
    ],
)
def test_it_is_tried_as_any_other_before(position: At, event: Event, kind: type[Move]) -> None:
    assert isinstance(decide(parcel, position, event), kind)


def test_what_succeeds_is_not_skipped() -> None:
    assert decide(parcel, on(hail), Succeeded()) == Advance(note.name)
    assert decide(parcel, on(ask), Succeeded()) == Complete()


def test_other_steps_fail_for_a_person_as_ever() -> None:
    assert isinstance(decide(parcel, on(note), RefusedFinally()), Fail)
    needed = PersonNeeded(advice="act", effect=UNKNOWN)
    assert isinstance(decide(parcel, on(note), needed), Fail)


# What comes later


def failed_at_note(effect: Effect) -> At:
    failed = on(note).knowing({hail: effect})
    return failed.but(status=Status.FAILED, failed_from=Status.RUNNING)


@pytest.mark.parametrize("effect", [NOT_DONE, UNKNOWN])
def test_what_was_skipped_is_not_missed_by_what_comes_later(effect: Effect) -> None:
    failed = failed_at_note(effect)

    assert why_not(parcel, failed, Intervention.RETRY) is None
    assert isinstance(decide(parcel, failed, Intervened(what=Intervention.RETRY)), Reopen)


def test_what_was_done_and_is_taken_back_is_missed_all_the_same() -> None:
    failed = failed_at_note(Effect.COMPENSATED)

    why = f"{hail.name} is not done, and {note.name} builds on it: compensate or resolve it"
    assert why_not(parcel, failed, Intervention.RETRY) == why


def test_what_was_skipped_in_doubt_is_taken_back_when_a_person_orders_it() -> None:
    order = Intervened(what=Intervention.COMPENSATE)

    doubted = decide(parcel, failed_at_note(UNKNOWN), order)
    nothing = decide(parcel, failed_at_note(NOT_DONE), order)

    assert isinstance(doubted, Reopen)
    assert (doubted.reason, getattr(doubted.then, "step", None)) == (
        StopReason.ORDERED,
        hail.name,
    )
    assert getattr(nothing, "step", None) == send.name, "what did nothing is not taken back"


@pytest.mark.parametrize("effect", [NOT_DONE, UNKNOWN])
@pytest.mark.parametrize("status", [Status.RUNNING, Status.COMPLETED])
def test_a_late_success_of_what_was_skipped_contradicts_nothing(
    effect: Effect, status: Status
) -> None:
    later = on(ask).knowing({hail: effect}).but(status=status)

    assert decide(parcel, later, LateSuccess(hail.name)) == Note(effects={hail.name: DONE})


def test_a_late_success_of_the_last_step_is_noted_once() -> None:
    completed = on(ask).knowing({ask: UNKNOWN}).but(status=Status.COMPLETED)
    told = completed.knowing({ask: DONE})

    assert decide(parcel, completed, LateSuccess(ask.name)) == Note(effects={ask.name: DONE})
    assert decide(parcel, told, LateSuccess(ask.name)) == Note()


def test_the_outlook_tells_of_the_skip() -> None:
    assert what_follows(parcel, on(ask).in_attempt(4), AttemptFailed(UNKNOWN)) == (
        "parcel.ask is skipped, and the saga is COMPLETED"
    )
    assert what_follows(parcel, on(hail), RefusedFinally()) == (
        "parcel.hail is skipped, and parcel.note comes next"
    )
