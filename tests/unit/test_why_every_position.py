"""There are words for every position: no clause raises, none is empty, none tells of None."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga import Effect, Saga, Status
from saga.position import Paused, StopReason, WaitingFor
from saga.row import Row
from saga.why import Background, why
from tests.unit.positions import cleanup, device, letter, refund, visit
from tests.unit.trips import CALLED, NOON, STEPS, after, standing, trip

pytestmark = pytest.mark.unit

ORIGINS = (Status.RUNNING, Status.COMPENSATING, Status.COMPENSATED, Status.TIMEOUT)
AT_WORK = (Status.RUNNING, Status.COMPENSATING)


def check(told: str) -> None:
    clauses = told.split("; ")
    assert all(clauses), told
    assert all(clause == clause.strip() for clause in clauses), told
    assert "None" not in told, told
    assert "\n" not in told, told


def could_be(row: Row) -> Row:
    """The row as the table's CHECKs would have it."""
    failed, at_work = row.status is Status.FAILED, row.status in AT_WORK
    waits = row.waiting_for if row.status in {Status.RUNNING, Status.COMPENSATED} else None
    may_have_signal = waits in {WaitingFor.SIGNAL, WaitingFor.POLL}
    return replace(
        row,
        waiting_for=waits,
        signal="paid" if waits is WaitingFor.SIGNAL else row.signal if may_have_signal else None,
        failed_from=row.failed_from if failed else None,
        error_message="E: it went wrong" if failed else row.error_message,
        paused=row.paused if at_work else None,
        paused_at=row.paused_at if at_work and row.paused else None,
    )


def rows(status: Status) -> Iterator[Row]:
    claims: list[dict[str, Any]] = [{}, CALLED, {"attempt": 4}]
    for step, effect, claim, waits, reason, paused, origin in product(
        STEPS,
        Effect,
        claims,
        (None, *WaitingFor),
        (None, *StopReason),
        (None, *Paused) if status in AT_WORK else (None,),
        ORIGINS if status is Status.FAILED else (None,),
    ):
        row = standing(
            step,
            status=status,
            waiting_for=waits,
            stop_reason=reason,
            paused=paused,
            paused_at=NOON,
            failed_from=origin,
            **claim,
        )
        yield could_be(replace(row, effects={**row.effects, step: effect}))


@pytest.mark.parametrize("status", Status)
def test_there_are_words_for_every_position(status: Status) -> None:
    for row in rows(status):
        check(why(trip, row))


SAGAS: tuple[Saga[Any], ...] = (refund, device, letter, visit, cleanup)
instants = st.none() | st.integers(-4000, 8000).map(after)


@st.composite
def anywhere(draw: st.DrawFn) -> tuple[Saga[Any], Row, Background]:
    saga = draw(st.sampled_from(SAGAS))
    steps = [step.name for step in saga.steps]
    step = draw(st.sampled_from(steps))
    claimed = draw(st.booleans())
    row = standing(
        step,
        saga_type=saga.name,
        step_index=saga.index(step),
        status=draw(st.sampled_from(Status)),
        effects=draw(st.dictionaries(st.sampled_from(steps), st.sampled_from(Effect))),
        attempt=draw(st.integers(0, 12)),
        dispatches=draw(st.integers(0, 2)),
        claimed=claimed,
        claimed_by=UUID(int=1) if claimed else None,
        claim_deadline=after(35) if claimed else None,
        waiting_for=draw(st.none() | st.sampled_from(WaitingFor)),
        signal=draw(st.none() | st.just("paid")),
        polls=draw(st.integers(0, 3)),
        stop_reason=draw(st.none() | st.sampled_from(StopReason)),
        not_before=draw(instants),
        call_ended_at=draw(instants),
        timeout_at=NOON + timedelta(seconds=draw(st.integers(-4000, 8000))),
        overdue=draw(st.booleans()),
        paused=draw(st.none() | st.sampled_from(Paused)),
        paused_at=NOON - timedelta(seconds=draw(st.integers(0, 4000))),
        pause=draw(st.sampled_from([None, Paused.TYPE, Paused.STEP])),
        failed_from=draw(st.sampled_from(ORIGINS)),
        unknown_since=draw(instants),
        error_message=draw(st.none() | st.just("Refused: no")),
        wake_at=draw(instants),
        completed_at=draw(instants),
    )
    known = Background(
        waits_since=draw(instants), paused_by=draw(st.none() | st.just("Ann")), because="so"
    )
    return saga, could_be(row), known


@settings(max_examples=400, deadline=None)
@given(anywhere())
def test_wherever_a_saga_stands_it_is_told_in_whole_clauses(
    standing: tuple[Saga[Any], Row, Background],
) -> None:
    saga, row, known = standing

    check(why(saga, row, known))
    check(why(None, row, known))
