"""A step, a compensation or a probe says that a person must act first."""

import pickle
from datetime import timedelta
from typing import Any

import pytest

from saga import Effect, NeedsPerson, Saga, Status
from saga.decide import decide
from saga.moves import AskProbe, Compensate, Fail, LookAgain, Reopen, Rest, Retry
from saga.position import (
    Intervened,
    Intervention,
    PersonNeeded,
    StopReason,
    WaitingFor,
)
from saga.runtime import failure
from tests.unit.positions import (
    At,
    at,
    attach,
    device,
    going_back,
    make,
    refund,
    refund_call,
    resting,
    take,
    tell,
)

pytestmark = pytest.mark.unit

CANCELLED, GAVE_UP, TIMEOUT = StopReason.CANCELLED, StopReason.GAVE_UP, StopReason.TIMEOUT
NOT_STARTED, NOT_DONE, UNKNOWN = Effect.NOT_STARTED, Effect.NOT_DONE, Effect.UNKNOWN
ADVICE = "top up the account, then retry"
RETRY = Intervened(what=Intervention.RETRY)


def needed(effect: Effect) -> PersonNeeded:
    return PersonNeeded(advice=ADVICE, effect=effect)


def parked(step: Any, effect: Effect) -> Fail:
    return Fail(advice=ADVICE, effects={step.name: effect})


@pytest.mark.parametrize("step", [refund_call, tell])
@pytest.mark.parametrize("effect", [NOT_STARTED, NOT_DONE, UNKNOWN])
def test_whoever_asks_for_a_person_gets_one_at_once(step: Any, effect: Effect) -> None:
    assert decide(refund, at(refund, step), needed(effect)) == parked(step, effect)


def test_a_call_that_did_nothing_says_nothing_of_an_earlier_one() -> None:
    doubted = at(refund, refund_call).unknown()

    assert decide(refund, doubted, needed(NOT_STARTED)) == parked(refund_call, UNKNOWN)


@pytest.mark.parametrize(
    "position", [at(refund, refund_call).unknown(), at(refund, tell).unknown()]
)
def test_the_final_word_about_a_key_clears_the_doubt_about_it(position: At) -> None:
    move = decide(refund, position, needed(NOT_DONE))

    assert move == Fail(advice=ADVICE, effects={position.step: NOT_DONE})


@pytest.mark.parametrize(
    ("effect", "again", "new_key"),
    [(NOT_STARTED, {}, False), (UNKNOWN, {}, False), (NOT_DONE, {refund_call: NOT_STARTED}, True)],
)
def test_only_what_will_never_happen_is_tried_under_a_new_key(
    effect: Effect, again: dict[Any, Effect], *, new_key: bool
) -> None:
    failed = at(refund, refund_call).knowing({refund_call: effect})
    failed = failed.but(status=Status.FAILED, failed_from=Status.RUNNING)

    assert decide(refund, failed, RETRY) == Reopen(
        by=Intervention.RETRY,
        status=Status.RUNNING,
        effects={step.name: known for step, known in again.items()},
        new_key=new_key,
    )


@pytest.mark.parametrize("effect", [NOT_STARTED, NOT_DONE])
@pytest.mark.parametrize("reason", [CANCELLED, TIMEOUT])
def test_what_is_to_stop_and_did_nothing_goes_back_without_a_person(
    effect: Effect, reason: StopReason
) -> None:
    called = at(refund, refund_call)
    is_late = reason is TIMEOUT
    stopping = called.over_time() if is_late else called.but(stop_reason=CANCELLED)

    assert decide(refund, stopping, needed(effect)) == Compensate(
        step=take.name, reason=reason, effects={refund_call.name: effect}
    )


@pytest.mark.parametrize("effect", [NOT_STARTED, UNKNOWN])
def test_what_is_to_stop_and_may_stand_waits_for_that_person(effect: Effect) -> None:
    stopping = at(refund, refund_call).unknown().but(stop_reason=CANCELLED)

    assert decide(refund, stopping, needed(effect)) == parked(refund_call, UNKNOWN)


def test_an_order_that_was_accepted_and_closed_goes_back_for_a_person_and_not_for_time() -> None:
    accepted = at(refund, refund_call).accepted()
    cancelled = accepted.but(stop_reason=CANCELLED)

    assert decide(refund, accepted.over_time(), needed(NOT_DONE)) == parked(refund_call, NOT_DONE)
    assert decide(refund, cancelled, needed(NOT_DONE)) == Compensate(
        step=take.name, reason=CANCELLED, effects={refund_call.name: NOT_DONE}
    )


def test_past_the_pivot_nothing_goes_back() -> None:
    late = at(refund, tell).over_time().but(stop_reason=CANCELLED)

    assert decide(refund, late, needed(NOT_DONE)) == parked(tell, NOT_DONE)


@pytest.mark.parametrize("effect", [NOT_STARTED, UNKNOWN])
@pytest.mark.parametrize("known", [UNKNOWN, Effect.DONE])
def test_a_probe_may_ask_for_a_person_and_takes_back_nothing_that_is_known(
    effect: Effect, known: Effect
) -> None:
    asked = at(refund, refund_call).probing(GAVE_UP).knowing({refund_call: known})

    assert decide(refund, asked, needed(effect)) == parked(refund_call, known)


@pytest.mark.parametrize("ended", [timedelta(0), timedelta(hours=-1)])
def test_a_probe_that_finds_the_key_closed_is_believed_at_once(ended: timedelta) -> None:
    asked = at(refund, refund_call).probing(GAVE_UP, ended=ended)

    assert decide(refund, asked, needed(NOT_DONE)) == Compensate(
        step=take.name, reason=GAVE_UP, effects={refund_call.name: NOT_DONE}
    )


def test_a_probes_word_makes_no_compensation_skipped() -> None:
    asked = at(device, attach).probing(GAVE_UP)

    assert decide(device, asked, needed(NOT_DONE)) == Compensate(
        step=attach.name, reason=GAVE_UP, effects={attach.name: UNKNOWN}
    )


def test_a_late_success_contradicts_a_probe_that_finds_the_key_closed() -> None:
    asked = at(refund, refund_call).probing(GAVE_UP, ended=timedelta(0))
    told = asked.knowing({refund_call: Effect.DONE})

    assert isinstance(decide(refund, told, needed(NOT_DONE)), AskProbe)


def test_a_second_look_calls_nobody_for_what_is_known_not_to_have_happened() -> None:
    looking = resting(refund, refund_call, Status.COMPENSATED, GAVE_UP)
    looking = looking.but(waiting_for=WaitingFor.SECOND_LOOK)

    assert decide(refund, looking, needed(NOT_DONE)) == LookAgain()
    for effect in (NOT_STARTED, UNKNOWN):
        assert isinstance(decide(refund, looking, needed(effect)), Retry)


@pytest.mark.parametrize(("saga", "step"), [(refund, take), (device, make)])
def test_a_compensation_that_asks_for_a_person_has_failed(saga: Saga[Any], step: Any) -> None:
    move = decide(saga, going_back(saga, step), needed(UNKNOWN))

    assert move == parked(step, Effect.COMPENSATION_FAILED)


def test_sql_that_asks_for_a_person_was_rolled_back_whatever_it_says() -> None:
    said = NeedsPerson(ADVICE, effect=UNKNOWN)

    assert failure(said, external=False) == needed(NOT_STARTED)
    assert failure(said, external=True) == needed(UNKNOWN)
    assert decide(refund, at(refund, take), needed(NOT_STARTED)) == parked(take, NOT_STARTED)
    assert decide(refund, at(refund, take).over_time(), needed(NOT_STARTED)) == Rest(
        status=Status.TIMEOUT, reason=TIMEOUT, effects={take.name: NOT_STARTED}
    )


@pytest.mark.parametrize("effect", [Effect.DONE, Effect.COMPENSATED, Effect.COMPENSATION_FAILED])
def test_only_what_can_be_said_of_a_key_can_be_said(effect: Effect) -> None:
    with pytest.raises(ValueError, match="not_done, not_started, unknown"):
        NeedsPerson(ADVICE, effect=effect)


def test_it_comes_out_of_a_process_as_it_went_in() -> None:
    said = NeedsPerson(ADVICE, effect=NOT_DONE, code="CLOSED")

    copy = pickle.loads(pickle.dumps(said))

    assert (copy.advice, copy.effect, copy.code) == (ADVICE, NOT_DONE, "CLOSED")
    assert str(NeedsPerson(ADVICE)) == ADVICE
    assert NeedsPerson(ADVICE).effect is UNKNOWN
