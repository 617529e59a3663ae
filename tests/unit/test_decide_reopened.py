"""What must not be forgotten when a FAILED saga goes on: histories that broke a promise."""

import pytest

from saga import Effect, Status
from saga.decide import decide
from saga.moves import Compensate, Reopen, Rest
from saga.position import Intervened, Intervention, RefusedFinally
from tests.unit.positions import at, letter, letter_call

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
