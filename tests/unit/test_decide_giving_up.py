"""What a refusal, and the end of all retries, come to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from saga import Saga, Status
from saga.decide import decide
from saga.moves import AskProbe, Compensate, Fail, Rest
from saga.position import AttemptFailed, RefusedFinally, StopReason, WorkerLost
from saga.task import Effect
from tests.unit.positions import (
    announce,
    at,
    attach,
    book,
    check,
    cleanup,
    device,
    invite,
    letter,
    letter_call,
    make,
    own,
    refund,
    refund_call,
    reserve,
    sweep,
    take,
    tell,
    visit,
)

pytestmark = pytest.mark.unit

FAILED = AttemptFailed(Effect.NOT_STARTED)
CUT_OFF = AttemptFailed(Effect.UNKNOWN)
GAVE_UP, REFUSED = StopReason.GAVE_UP, StopReason.REFUSED


def test_a_first_step_that_gives_up_rests_compensated() -> None:
    move = decide(refund, at(refund, take).in_attempt(4), FAILED)

    assert move == Rest(
        status=Status.COMPENSATED, reason=GAVE_UP, effects={take.name: Effect.NOT_STARTED}
    )


def test_a_first_step_that_is_refused_rests_compensated() -> None:
    move = decide(refund, at(refund, take), RefusedFinally())

    assert move == Rest(
        status=Status.COMPENSATED, reason=REFUSED, effects={take.name: Effect.NOT_DONE}
    )


def test_a_refused_pivot_compensates_the_step_before_it() -> None:
    move = decide(refund, at(refund, refund_call), RefusedFinally())

    assert move == Compensate(
        step=take.name, reason=REFUSED, effects={refund_call.name: Effect.NOT_DONE}
    )


def test_a_pivot_that_certainly_did_nothing_and_gives_up_compensates() -> None:
    move = decide(refund, at(refund, refund_call).in_attempt(4), FAILED)

    assert move == Compensate(
        step=take.name, reason=GAVE_UP, effects={refund_call.name: Effect.NOT_STARTED}
    )


def test_a_pivot_in_sql_that_gives_up_compensates_the_last_call_before_it() -> None:
    move = decide(device, at(device, own).in_attempt(4), FAILED)

    assert isinstance(move, Compensate)
    assert move.step == attach.name


def test_a_pivot_in_sql_whose_worker_always_dies_compensates_too() -> None:
    move = decide(device, at(device, own).in_attempt(4), WorkerLost())

    assert move == Compensate(
        step=attach.name, reason=GAVE_UP, effects={own.name: Effect.NOT_STARTED}
    )


def test_a_call_of_unknown_outcome_without_a_probe_is_compensated_itself() -> None:
    move = decide(device, at(device, make).in_attempt(4), CUT_OFF)

    assert move == Compensate(step=make.name, reason=GAVE_UP, effects={make.name: Effect.UNKNOWN})


def test_a_call_whose_worker_was_lost_in_every_attempt_is_compensated_itself() -> None:
    lost = at(device, make).in_attempt(4).claimed_by_a_worker()

    assert decide(device, lost, WorkerLost()) == Compensate(
        step=make.name, reason=GAVE_UP, effects={make.name: Effect.UNKNOWN}
    )


def test_a_refusal_speaks_for_its_own_attempt_only() -> None:
    refused = at(device, make).in_attempt(2).unknown()

    assert decide(device, refused, RefusedFinally()) == Compensate(
        step=make.name, reason=REFUSED, effects={make.name: Effect.UNKNOWN}
    )


@pytest.mark.parametrize(("saga", "step"), [(refund, refund_call), (device, attach)])
@pytest.mark.parametrize("event", [CUT_OFF, FAILED, WorkerLost()])
def test_when_nobody_knows_what_the_attempts_did_the_provider_is_asked(
    saga: Saga[Any], step: Any, event: Any
) -> None:
    position = at(saga, step).in_attempt(4).unknown().claimed_by_a_worker()
    probe = saga.steps[saga.index(step.name)].probe
    assert probe is not None

    assert decide(saga, position, event) == AskProbe(probe=probe.name, reason=GAVE_UP)


@pytest.mark.parametrize(("saga", "step"), [(refund, refund_call), (device, attach)])
def test_a_refusal_after_an_unknown_outcome_asks_the_provider(saga: Saga[Any], step: Any) -> None:
    move = decide(saga, at(saga, step).in_attempt(2).unknown(), RefusedFinally())

    assert isinstance(move, AskProbe)
    assert move.reason is REFUSED
    assert move.after == timedelta(0)


@pytest.mark.parametrize("event", [CUT_OFF, FAILED, RefusedFinally(), WorkerLost()])
def test_a_pivot_of_unknown_outcome_that_nobody_can_ask_about_needs_a_person(event: Any) -> None:
    position = at(letter, letter_call).in_attempt(4).unknown()

    move = decide(letter, position, event)

    assert isinstance(move, Fail)
    assert move.effects == {letter_call.name: Effect.UNKNOWN}
    assert "no probe" in move.advice


@pytest.mark.parametrize("event", [FAILED, CUT_OFF, RefusedFinally(), WorkerLost()])
@pytest.mark.parametrize(("saga", "step"), [(refund, book), (refund, tell), (cleanup, sweep)])
def test_past_the_pivot_a_person_decides(saga: Saga[Any], step: Any, event: Any) -> None:
    move = decide(saga, at(saga, step).in_attempt(4), event)

    assert isinstance(move, Fail)
    assert step.name in move.advice


def test_a_refusal_past_the_pivot_is_not_tried_again() -> None:
    assert isinstance(decide(refund, at(refund, book), RefusedFinally()), Fail)


def test_a_lost_call_past_the_pivot_is_left_unknown() -> None:
    move = decide(refund, at(refund, tell).in_attempt(4), WorkerLost())

    assert isinstance(move, Fail)
    assert move.effects == {tell.name: Effect.UNKNOWN}


def test_a_refusal_of_an_accepted_order_is_not_believed_before_the_probe_was_asked() -> None:
    refused = at(refund, refund_call).accepted()

    assert decide(refund, refused, RefusedFinally()) == AskProbe(
        probe="refund.find", reason=REFUSED
    )


def test_an_accepted_pivot_without_a_probe_has_only_a_refusal_for_its_final_word() -> None:
    [*before, pivot_step, _, _] = refund.steps
    blind = replace(refund, steps=[*before, replace(pivot_step, probe=None)])

    assert decide(blind, at(blind, refund_call).accepted(), RefusedFinally()) == Compensate(
        step=take.name, reason=REFUSED, effects={refund_call.name: Effect.NOT_DONE}
    )


def test_an_accepted_call_before_the_pivot_that_is_refused_is_compensated_all_the_same() -> None:
    refused = at(device, make).accepted()

    assert decide(device, refused, RefusedFinally()) == Compensate(
        step=make.name, reason=REFUSED, effects={make.name: Effect.UNKNOWN}
    )


@pytest.mark.parametrize("event", [FAILED, CUT_OFF, WorkerLost()])
def test_an_accepted_order_that_cannot_be_asked_for_any_more_is_left_to_the_probe(
    event: Any,
) -> None:
    position = at(refund, refund_call).accepted().in_attempt(4)

    assert decide(refund, position, event) == AskProbe(probe="refund.find", reason=GAVE_UP)


def test_a_step_with_nothing_to_compensate_counts_as_compensated() -> None:
    move = decide(device, at(device, make), RefusedFinally())

    assert move == Rest(
        status=Status.COMPENSATED,
        reason=REFUSED,
        effects={make.name: Effect.NOT_DONE, check.name: Effect.COMPENSATED},
    )


def test_a_step_that_only_a_person_can_compensate_stops_the_saga_for_them() -> None:
    move = decide(visit, at(visit, reserve), RefusedFinally())

    assert isinstance(move, Fail)
    assert move.effects == {reserve.name: Effect.NOT_DONE}
    assert "call the guest" in move.advice
    assert invite.name in move.advice


def test_what_a_machine_can_compensate_goes_before_what_a_person_must() -> None:
    move = decide(visit, at(visit, announce), RefusedFinally())

    assert isinstance(move, Compensate)
    assert move.step == reserve.name


def test_a_refusal_does_not_change_why_the_saga_was_told_to_stop() -> None:
    told = at(refund, refund_call).but(stop_reason=StopReason.TIMEOUT)

    assert decide(refund, told, RefusedFinally()) == Compensate(
        step=take.name,
        reason=StopReason.TIMEOUT,
        effects={refund_call.name: Effect.NOT_DONE},
    )
