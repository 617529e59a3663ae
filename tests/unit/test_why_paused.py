"""A paused saga tells what was paused, by whom and why, and what comes once it is resumed."""

from datetime import datetime
from typing import Any

import pytest

from saga import Status
from saga.position import Paused, StopReason, WaitingFor
from saga.queries import ActivePause
from saga.row import Row
from saga.why import Background, background, why
from tests.unit.trips import CALLED, NOON, RESERVED, UNSURE, after, standing, trip

pytestmark = pytest.mark.unit

BY_ANN = Background(paused_by="Ann", because="the bank is down")
PAUSED: dict[str, Any] = {"paused": Paused.SAGA, "paused_at": NOON, "now": after(60)}


def test_a_paused_saga_tells_by_whom_why_and_what_comes_once_it_is_resumed() -> None:
    assert why(trip, standing("trip.pay", **PAUSED), BY_ANN).startswith(
        "paused since 12:00:00 UTC by Ann: the bank is down; "
        "nothing is begun, and its clock stands, with 0:05:00 left; "
        "once it is resumed: trip.pay is with the workers; if it succeeds, trip.confirm comes next"
    )


def test_the_row_alone_tells_at_least_since_when() -> None:
    assert why(trip, standing("trip.pay", **PAUSED)).startswith("paused since 12:00:00 UTC; ")


def test_a_wait_for_a_signal_is_as_long_as_it_was_once_it_is_resumed() -> None:
    waits: dict[str, Any] = {
        "waiting_for": WaitingFor.SIGNAL,
        "signal": "paid",
        "not_before": after(120),
        "effects": UNSURE,
    }

    told = why(trip, standing("trip.pay", **PAUSED, **waits), BY_ANN)

    assert "; once it is resumed: trip.pay waits for the signal paid; " in told
    assert "; if it has not come by 12:03:00 UTC, " in told


def test_a_time_that_was_set_does_not_move_while_a_saga_is_paused() -> None:
    retried: dict[str, Any] = {"attempt": 1, "not_before": after(120)}

    told = why(trip, standing("trip.pay", **PAUSED, **retried))

    assert "once it is resumed: waiting for retry 1 of 3 of trip.pay at 12:02:00 UTC; " in told


def test_a_call_in_hand_ends_before_the_pause_holds() -> None:
    row = standing("trip.pay", **CALLED, paused=Paused.SAGA, paused_at=NOON)

    assert why(trip, row, BY_ANN).startswith(
        "paused since 12:00:00 UTC by Ann: the bank is down; "
        "what is in hand ends first, and nothing is begun after it; "
        "trip.pay is being called, attempt 1 of 4, "
    )


def test_a_call_of_a_paused_step_may_be_followed_by_the_next_step() -> None:
    row = standing("trip.pay", **CALLED, pause=Paused.STEP)

    assert "ends first, and nothing of trip.pay is begun after it; " in why(trip, row)


def test_a_type_that_is_paused_is_told_before_the_saga_meets_that() -> None:
    row = standing("trip.pay", pause=Paused.TYPE, now=after(60), updated_at=after(20))
    known = Background(paused_at=NOON, paused_by="Ann", because="a holiday")

    assert why(trip, row, known).startswith(
        "all of trip is paused since 12:00:00 UTC by Ann: a holiday; "
        "nothing is begun, and its clock stands, with 0:04:40 left; "
    )


def test_a_paused_step_is_paused_for_all_sagas() -> None:
    row = standing("trip.pay", **(PAUSED | {"paused": Paused.STEP}), pause=Paused.STEP)

    assert why(trip, row).startswith("trip.pay is paused for all sagas since ")


def test_a_saga_paused_twice_must_be_resumed_twice() -> None:
    row = standing("trip.pay", **PAUSED, pause=Paused.TYPE)

    assert "; all of trip is paused, too: resume both; " in why(trip, row)


def test_a_pause_that_has_ended_is_recoverys_to_lift() -> None:
    row = standing("trip.pay", **(PAUSED | {"paused": Paused.TYPE}))

    assert why(trip, row, Background(is_lifted=True)).startswith(
        "its type was paused and is no more: recovery lets it go on within seconds; "
    )


def test_the_pause_that_is_on_now_is_told_before_one_that_has_ended() -> None:
    row = standing("trip.pay", **(PAUSED | {"paused": Paused.TYPE}), pause=Paused.STEP)

    assert why(trip, row).startswith("trip.pay is paused for all sagas since ")


def test_a_saga_that_goes_back_has_no_clock_that_could_stand() -> None:
    row = standing(
        "trip.reserve",
        **PAUSED,
        status=Status.COMPENSATING,
        stop_reason=StopReason.CANCELLED,
        effects=RESERVED,
    )

    assert why(trip, row).startswith(
        "paused since 12:00:00 UTC; nothing is begun; "
        "once it is resumed: going back because it was cancelled; "
        "trip.give_back is with the workers; "
    )


def test_a_second_look_waits_for_the_end_of_a_pause() -> None:
    row = standing(
        "trip.pay",
        status=Status.COMPENSATED,
        stop_reason=StopReason.GAVE_UP,
        waiting_for=WaitingFor.SECOND_LOOK,
        pause=Paused.STEP,
    )

    assert " UTC, or later, for its step is paused; " in why(trip, row)


# What is read from events and pauses


def event(kind: str, at: datetime, actor: str | None = None, **detail: Any) -> dict[str, Any]:
    return {"kind": kind, "at": at.isoformat(), "actor": actor, "detail": detail}


def pause(step: str | None = None, saga_type: str = "trip") -> ActivePause:
    return ActivePause(saga_type=saga_type, step=step, at=NOON, actor="Bob", reason="repairs")


def test_the_last_pause_of_a_saga_is_the_one_that_holds() -> None:
    events = [
        event("paused", NOON, "Ann", because="first"),
        event("resumed", after(1), "Ann"),
        event("paused", after(2), "Bob", because="second"),
        event("signal_received", after(3)),
    ]

    known = background(standing("trip.pay", **PAUSED), events, [pause()])

    assert (known.paused_by, known.because) == ("Bob", "second")


@pytest.mark.parametrize(
    ("row", "pauses", "expected"),
    [
        (standing("trip.pay"), [pause()], Background()),
        (
            standing("trip.pay", pause=Paused.TYPE),
            [pause(saga_type="tour"), pause("trip.pay"), pause()],
            Background(paused_at=NOON, paused_by="Bob", because="repairs"),
        ),
        (
            standing("trip.pay", pause=Paused.STEP),
            [pause("trip.pay")],
            Background(paused_at=NOON, paused_by="Bob", because="repairs"),
        ),
        (
            standing("trip.pay", paused=Paused.STEP, paused_at=NOON),
            [pause("trip.confirm")],
            Background(is_lifted=True),
        ),
    ],
    ids=["not paused", "type", "step", "ended"],
)
def test_the_pause_that_holds_is_found(
    row: Row, pauses: list[ActivePause], expected: Background
) -> None:
    assert background(row, [], pauses) == expected


def test_a_wait_began_with_the_last_event_of_its_kind() -> None:
    events = [
        event("accepted", NOON),
        event("waiting", after(10)),
        event("signal_received", after(20)),
    ]

    assert background(standing("trip.pay"), events, []).waits_since == after(10)
