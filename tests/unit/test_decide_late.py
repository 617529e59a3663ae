"""What comes to light late: zombies that succeeded, and second looks."""

from datetime import timedelta

import pytest

from saga import Status
from saga.decide import decide
from saga.moves import Dispatch, Fail, LookAgain, Note, Retry
from saga.position import (
    AttemptFailed,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    LateSuccess,
    StopReason,
    Succeeded,
    WaitingFor,
    WorkerLost,
)
from saga.task import Effect
from tests.unit.positions import (
    At,
    at,
    attach,
    device,
    going_back,
    make,
    own,
    refund,
    refund_call,
    resting,
    take,
    tell,
)

pytestmark = pytest.mark.unit

GAVE_UP, TIMEOUT = StopReason.GAVE_UP, StopReason.TIMEOUT
LATE_REFUND = LateSuccess(refund_call.name)
LATE_ATTACH = LateSuccess(attach.name)


def test_while_attempts_go_on_the_next_one_finds_a_late_success() -> None:
    assert decide(refund, at(refund, refund_call).unknown(), LATE_REFUND) == Note()


def test_a_late_success_of_a_step_that_is_known_to_be_done_changes_nothing() -> None:
    assert decide(refund, at(refund, tell), LATE_REFUND) == Note()


def test_a_completed_saga_takes_no_harm_from_a_late_success() -> None:
    done = at(refund, tell).but(status=Status.COMPLETED)

    assert decide(refund, done, LATE_REFUND) == Note()


@pytest.mark.parametrize("claimed", [False, True])
def test_a_late_success_is_remembered_until_the_probe_has_its_word(claimed: bool) -> None:  # noqa: FBT001
    asking = at(refund, refund_call).probing(GAVE_UP).but(claimed=claimed)

    assert decide(refund, asking, LATE_REFUND) == Note(effects={refund_call.name: Effect.DONE})


@pytest.mark.parametrize("claimed", [False, True])
def test_a_compensation_that_is_still_to_be_done_learns_of_a_late_success(claimed: bool) -> None:  # noqa: FBT001
    position = going_back(device, attach).unknown().but(claimed=claimed)

    assert decide(device, position, LATE_ATTACH) == Note(effects={attach.name: Effect.DONE})


def test_a_late_success_of_a_step_that_is_compensated_needs_a_person() -> None:
    position = going_back(device, make)
    assert position.effect(attach.name) is Effect.COMPENSATED

    move = decide(device, position, LATE_ATTACH)

    assert isinstance(move, Fail)
    assert move.effects == {attach.name: Effect.DONE}
    assert "took effect after all" in move.advice


def test_a_late_success_of_a_pivot_that_was_taken_for_not_done_needs_a_person() -> None:
    position = going_back(refund, take).knowing({refund_call: Effect.NOT_DONE})

    move = decide(refund, position, LATE_REFUND)

    assert isinstance(move, Fail)
    assert move.effects == {refund_call.name: Effect.DONE}


def test_a_compensation_at_work_is_not_disturbed_by_a_contradiction() -> None:
    at_work = going_back(device, make).claimed_by_a_worker()

    move = decide(device, at_work, LATE_ATTACH)

    assert isinstance(move, Note)
    assert move.effects == {attach.name: Effect.DONE}
    assert move.alarm is not None
    assert "took effect after all" in move.alarm


@pytest.mark.parametrize(
    "event",
    [AttemptFailed(Effect.UNKNOWN), WorkerLost(), Due(), Succeeded(Effect.UNKNOWN)],
    ids=["failed", "lost", "found lost", "looked too early"],
)
def test_a_compensation_is_not_tried_again_once_a_contradiction_came_to_light(event: Event) -> None:
    """The pivot is known to stand: another attempt would pull more away from under it."""
    noted = going_back(device, make).knowing({attach: Effect.DONE}).claimed_by_a_worker()

    move = decide(device, noted, event)

    assert isinstance(move, Fail)
    assert move.effects == {make.name: Effect.COMPENSATION_FAILED}
    assert "took effect after all" in move.advice


@pytest.mark.parametrize(
    ("status", "reason"), [(Status.COMPENSATED, GAVE_UP), (Status.TIMEOUT, TIMEOUT)]
)
@pytest.mark.parametrize("claimed", [False, True])
def test_a_late_success_wakes_a_saga_that_rests(
    status: Status,
    reason: StopReason,
    claimed: bool,  # noqa: FBT001
) -> None:
    at_rest = resting(refund, refund_call, status, reason).but(claimed=claimed)

    move = decide(refund, at_rest, LATE_REFUND)

    assert isinstance(move, Fail)
    assert move.effects == {refund_call.name: Effect.DONE}


def test_a_late_success_of_a_compensated_call_wakes_a_saga_that_rests() -> None:
    at_rest = resting(device, own, Status.COMPENSATED, GAVE_UP)

    assert isinstance(decide(device, at_rest, LATE_ATTACH), Fail)


@pytest.mark.parametrize("effect", [Effect.UNKNOWN, Effect.COMPENSATION_FAILED])
def test_a_failed_saga_learns_of_a_late_success_with_an_alarm(effect: Effect) -> None:
    failed = at(refund, refund_call).but(status=Status.FAILED).knowing({refund_call: effect})

    move = decide(refund, failed, LATE_REFUND)

    assert isinstance(move, Note)
    assert move.effects == {refund_call.name: Effect.DONE}
    assert move.alarm is not None


def looking(attempt: int = 1) -> At:
    at_rest = resting(refund, refund_call, Status.COMPENSATED, GAVE_UP)
    return at_rest.but(waiting_for=WaitingFor.SECOND_LOOK).in_attempt(attempt)


def test_a_second_look_that_is_due_is_published() -> None:
    assert decide(refund, looking(), Due()) == Dispatch()


def test_a_second_look_whose_worker_is_lost_is_taken_over() -> None:
    assert decide(refund, looking().claimed_by_a_worker(), Due()) == Dispatch(taken_over=True)


def test_a_second_look_that_kills_its_worker_every_time_comes_to_an_end() -> None:
    assert decide(refund, looking(11).claimed_by_a_worker(), Due()) == LookAgain()


def test_a_second_look_that_finds_nothing_is_content() -> None:
    assert decide(refund, looking(), FoundNothing()) == LookAgain()


def test_a_second_look_that_finds_the_effect_needs_a_person() -> None:
    move = decide(refund, looking(), FoundDone())

    assert isinstance(move, Fail)
    assert move.effects == {refund_call.name: Effect.DONE}


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (10, 600)])
def test_a_second_look_that_gets_no_answer_is_taken_again(attempt: int, seconds: int) -> None:
    assert decide(refund, looking(attempt), FoundNoAnswer()) == Retry(
        after=timedelta(seconds=seconds), effect=Effect.NOT_DONE
    )


def test_a_second_look_that_never_gets_an_answer_comes_to_an_end() -> None:
    assert decide(refund, looking(11), FoundNoAnswer()) == LookAgain()


def test_a_late_success_under_an_old_key_stops_what_goes_on_under_a_new_one() -> None:
    late = LateSuccess(refund_call.name, under_old_key=True)

    move = decide(refund, at(refund, refund_call), late)

    assert isinstance(move, Fail)
    assert "under an earlier key" in move.advice
    assert move.effects == {refund_call.name: Effect.DONE}


def test_while_the_new_key_is_being_used_the_success_of_the_old_one_is_alarmed() -> None:
    late = LateSuccess(refund_call.name, under_old_key=True)

    move = decide(refund, at(refund, refund_call).claimed_by_a_worker(), late)

    assert isinstance(move, Note)
    assert "under an earlier key" in str(move.alarm)


def failed_forward(effect: Effect) -> At:
    failed = at(refund, refund_call).knowing({refund_call: effect})
    return failed.but(status=Status.FAILED, failed_from=Status.RUNNING)


@pytest.mark.parametrize("effect", [Effect.NOT_STARTED, Effect.NOT_DONE, Effect.UNKNOWN])
def test_a_saga_that_failed_going_forward_keeps_its_advice(effect: Effect) -> None:
    """Nothing was taken back, so that nothing is contradicted."""
    move = decide(refund, failed_forward(effect), LATE_REFUND)

    assert isinstance(move, Note)
    assert (move.effects, move.alarm is None) == ({refund_call.name: Effect.DONE}, False)


def test_a_failed_saga_is_not_alarmed_about_what_it_knows() -> None:
    assert decide(refund, failed_forward(Effect.DONE), LATE_REFUND) == Note()


@pytest.mark.parametrize("claimed", [False, True])
def test_what_said_that_it_did_nothing_is_in_doubt_when_others_know_better(claimed: bool) -> None:  # noqa: FBT001
    calling = at(refund, refund_call).but(claimed=claimed)

    assert decide(refund, calling, LATE_REFUND) == Note(effects={refund_call.name: Effect.UNKNOWN})


def test_a_step_that_the_saga_has_not_come_to_is_not_in_doubt() -> None:
    """Should it go back from here, nothing of that step would be taken back."""
    assert decide(refund, at(refund, take), LATE_REFUND) == Note()


def test_a_saga_that_went_back_over_a_step_that_did_nothing_needs_a_person_all_the_same() -> None:
    at_rest = resting(refund, refund_call, Status.COMPENSATED, GAVE_UP)
    at_rest = at_rest.knowing({refund_call: Effect.NOT_STARTED})

    assert isinstance(decide(refund, at_rest, LATE_REFUND), Fail)
