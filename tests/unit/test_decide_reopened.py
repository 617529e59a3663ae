"""What must not be forgotten when a FAILED saga goes on: histories that broke a promise."""

import pytest

from saga import Effect, Status
from saga.decide import allowed, decide, why_not
from saga.moves import Advance, Compensate, Reopen, Resolve, Rest
from saga.position import Intervened, Intervention, Outcome, RefusedFinally, StopReason
from tests.unit.positions import (
    announce,
    at,
    book,
    going_back,
    letter,
    letter_call,
    refund,
    refund_call,
    reserve,
    take,
    tell,
    visit,
)

pytestmark = pytest.mark.unit

RETRY = Intervened(what=Intervention.RETRY)
FAILED = {"status": Status.FAILED, "failed_from": Status.RUNNING}


def test_a_pivot_whose_late_success_is_known_is_not_given_up_for_a_refusal_of_its_retry() -> None:
    failed = at(letter, letter_call).but(**FAILED).knowing({letter_call: Effect.DONE})
    retried = decide(letter, failed, RETRY)
    assert isinstance(retried, Reopen)
    running = failed.but(status=Status.RUNNING, failed_from=None, effects=retried.effects)

    refused = decide(letter, running, RefusedFinally())

    assert retried.effects == {letter_call.name: Effect.UNKNOWN}
    assert not retried.new_key
    assert not isinstance(refused, Rest | Compensate)


def test_a_saga_does_not_go_on_over_a_step_that_a_person_found_not_done() -> None:
    failed = at(refund, book).but(**FAILED).knowing({refund_call: Effect.COMPENSATED})
    done = Intervened(what=Intervention.RESOLVE, step=book.name, outcome=Outcome.DONE)

    assert Intervention.RETRY not in allowed(refund, failed)
    assert decide(refund, failed, done) == Resolve(effects={book.name: Effect.DONE})


def test_a_step_that_a_saga_has_not_come_to_cannot_be_resolved() -> None:
    failed = at(refund, book).but(**FAILED)

    assert why_not(refund, failed, Intervention.RESOLVE, tell.name)
    assert why_not(refund, failed, Intervention.RESOLVE, book.name) is None
    assert why_not(refund, failed, Intervention.RESOLVE, take.name) is None


def test_a_transaction_whose_compensation_failed_is_still_known_to_be_done() -> None:
    back = going_back(refund, take).knowing({take: Effect.COMPENSATION_FAILED})
    failed = back.but(status=Status.FAILED, failed_from=Status.COMPENSATING)

    retried = decide(refund, failed, RETRY)

    assert isinstance(retried, Reopen)
    assert retried.effects == {take.name: Effect.DONE}


def test_what_stopped_a_saga_before_it_failed_does_not_stop_what_a_person_vouches_for() -> None:
    stopped = at(refund, take).over_time().but(**FAILED, stop_reason=StopReason.TIMEOUT)
    done = Intervened(what=Intervention.RESOLVE, step=take.name, outcome=Outcome.DONE)

    resolved = decide(refund, stopped, done)

    assert isinstance(resolved, Reopen)
    assert resolved.then == Advance(to=refund_call.name)


def test_a_saga_does_not_go_back_beneath_a_step_that_still_stands() -> None:
    back = going_back(visit, announce).knowing({announce: Effect.COMPENSATION_FAILED})
    failed = back.but(status=Status.FAILED, failed_from=Status.COMPENSATING)
    not_done = Intervened(what=Intervention.RESOLVE, step=reserve.name, outcome=Outcome.NOT_DONE)

    assert decide(visit, failed, not_done) == Resolve(effects={reserve.name: Effect.COMPENSATED})
