"""A preview is what ``decide`` would do, told before it is done; nothing else decides."""

from typing import Any

import pytest

from saga import Effect, Status
from saga.decide import why_not
from saga.position import Intervention, StopReason, WaitingFor
from saga.preview import Preview, preview
from tests.unit.positions import (
    At,
    announce,
    at,
    attach,
    book,
    check,
    cleanup,
    device,
    going_back,
    invite,
    letter,
    letter_call,
    make,
    refund,
    refund_call,
    reserve,
    resting,
    sweep,
    take,
    tell,
    visit,
)

pytestmark = pytest.mark.unit


def failed(position: At, failed_from: Status = Status.RUNNING) -> At:
    return position.but(status=Status.FAILED, failed_from=failed_from)


def told(seen: Preview) -> list[tuple[str, str | None, str]]:
    return [(run.step, run.compensation, run.by) for run in seen.runs]


def test_a_cancelled_saga_takes_back_what_it_did_the_last_first() -> None:
    seen = preview(device, at(device, attach).but(attempt=0))

    assert seen.action is Intervention.CANCEL
    assert seen.why_not is None
    assert told(seen) == [("device.make", "device.remove", "worker")]
    assert seen.runs[0].effect is Effect.DONE
    assert seen.ends is Status.COMPENSATED
    assert seen.then == "device.remove runs, then the saga is COMPENSATED"


def test_of_a_saga_that_did_nothing_nothing_runs() -> None:
    seen = preview(device, at(device, check).but(attempt=0))

    assert (seen.runs, seen.ends) == ((), Status.COMPENSATED)


def test_a_call_in_hand_ends_first_and_is_taken_back_too() -> None:
    seen = preview(device, at(device, make).claimed_by_a_worker())

    assert told(seen) == [("device.make", "device.remove", "worker")]
    assert seen.then is not None
    assert seen.then.startswith("the call in hand ends first; if it succeeds, device.remove runs")


def test_a_pivot_in_hand_may_still_go_forward_and_is_not_taken_back_if_not() -> None:
    seen = preview(refund, at(refund, refund_call).claimed_by_a_worker())

    assert told(seen) == [("refund.take", "refund.give_back", "worker")]
    assert seen.ends is Status.COMPENSATED
    assert seen.then is not None
    assert "if it succeeds, refund.book comes next; if it is refused, refund.give_back" in seen.then


def test_in_doubt_the_probe_is_asked_before_anything_is_taken_back() -> None:
    for position in (
        at(refund, refund_call).unknown(),
        at(refund, refund_call).probing(StopReason.GAVE_UP),
    ):
        seen = preview(refund, position)
        assert told(seen) == [("refund.take", "refund.give_back", "worker")]
        assert seen.then is not None
        assert "refund.book comes next" in seen.then or "refund.find asks" in seen.then


def test_a_pivot_that_nobody_can_be_asked_about_ends_with_a_person() -> None:
    seen = preview(letter, at(letter, letter_call).unknown())

    assert (told(seen), seen.ends) == ([], Status.FAILED)


def test_past_the_pivot_a_preview_says_why_not() -> None:
    seen = preview(refund, at(refund, book))

    assert seen.why_not == "it is past the pivot and only goes forward"
    assert (seen.runs, seen.ends, seen.then) == ((), None, None)


def test_of_a_failed_saga_all_is_taken_back_past_the_pivot_too() -> None:
    everything = failed(at(refund, tell)).unknown()

    seen = preview(refund, everything)

    assert seen.action is Intervention.COMPENSATE
    assert told(seen) == [
        ("refund.tell", None, "person"),
        ("refund.book", None, "person"),
        ("refund.call", None, "person"),
        ("refund.take", "refund.give_back", "worker"),
    ]
    assert seen.runs[0].effect is Effect.UNKNOWN
    assert seen.runs[2].advice == "see that the money is here again"
    assert "has no compensation" in (seen.runs[0].advice or "")
    assert seen.ends is Status.FAILED


def test_what_a_worker_can_do_is_done_before_a_person_is_asked() -> None:
    seen = preview(visit, failed(at(visit, announce).knowing({announce: Effect.DONE})))

    assert told(seen) == [
        ("visit.announce", "visit.withdraw", "worker"),
        ("visit.reserve", "visit.release", "worker"),
        ("visit.invite", None, "person"),
    ]
    assert seen.runs[-1].advice == "call the guest"
    assert seen.ends is Status.FAILED
    assert seen.then is not None
    assert "visit.withdraw, then visit.release runs, then a person must decide" in seen.then


@pytest.mark.parametrize(
    ("saga", "step", "runs", "known"),
    [
        (visit, reserve, "visit.release", Effect.DONE),
        (device, make, "device.remove", Effect.UNKNOWN),
    ],
)
def test_a_compensation_that_failed_is_tried_again(
    saga: Any, step: Any, runs: str, known: Effect
) -> None:
    stuck = going_back(saga, step).knowing({step: Effect.COMPENSATION_FAILED})

    seen = preview(saga, failed(stuck, Status.COMPENSATING))

    assert told(seen)[0] == (step.name, runs, "worker")
    assert seen.runs[0].effect is known


POSITIONS: list[tuple[Any, At]] = [
    (refund, at(refund, take)),
    (refund, at(refund, refund_call).accepted()),
    (refund, going_back(refund, take)),
    (refund, resting(refund, refund_call, Status.COMPENSATED, StopReason.REFUSED)),
    (refund, failed(at(refund, take))),
    (refund, at(refund, refund_call).unknown().but(waiting_for=WaitingFor.PROBE)),
    (device, failed(at(device, make))),
    (visit, at(visit, invite)),
    (cleanup, at(cleanup, sweep)),
]


@pytest.mark.parametrize(("saga", "position"), POSITIONS)
def test_a_preview_is_allowed_when_the_action_is(saga: Any, position: At) -> None:
    seen = preview(saga, position)

    assert seen.why_not == why_not(saga, position, seen.action)
    assert (seen.ends is None) == (seen.why_not is not None)
