"""Carries out a move: one statement through the store, and what is to be done after the commit."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

import structlog
from sqlalchemy import Connection

from saga import store
from saga.circumstances import Circumstances, describe
from saga.definition import Role, Saga
from saga.errors import MovedMeanwhile, SagaFailed
from saga.followup import Drop, Followup, Next, Park, Publish, Raise, RetryIn
from saga.moves import (
    Advance,
    AskProbe,
    Compensate,
    Complete,
    Dispatch,
    Fail,
    LookAgain,
    Move,
    Note,
    Poll,
    Rest,
    Retry,
)
from saga.position import Status, WaitingFor
from saga.routing import publication
from saga.row import Row
from saga.task import Effect

log = structlog.get_logger("saga")

# The message that waits may come a little early by another host's clock.
_CLOCK_SLACK = timedelta(milliseconds=500)


def broken_state(saga: Saga[Any], row: Row) -> Fail:
    """A stored state that no longer fits its model: nobody but a person can go on."""
    return Fail(
        advice=f"the state stored for {row.step} no longer fits {saga.state.__name__}: find out "
        "which change of the model left it behind (expand, then contract)"
    )


def apply(
    connection: Connection, saga: Saga[Any], row: Row, move: Move, by: Circumstances
) -> Followup:
    """Write the move of a locked row and its event; say what follows the commit.

    Raises MovedMeanwhile, having written nothing, when the row is not as it was read.
    """
    match move:
        case Advance():
            return _advance(connection, saga, row, move, by)
        case Complete():
            effects = {row.step: Effect.DONE}
            record = by.record("completed")
            _landed(store.complete(connection, row, record, state=_state(row, by), effects=effects))
            return Next()
        case Retry():
            return _retry(connection, saga, row, move, by)
        case Poll(after):
            effects = {row.step: Effect.UNKNOWN}
            record = by.record("accepted", again_seconds=after.total_seconds())
            ends = _time_ends(saga, row, accepted=True)
            moved = store.poll(
                connection, row, record, effects=effects, after=after, time_ends=ends
            )
            _landed(moved)
            return Park()
        case AskProbe():
            return _ask_probe(connection, saga, row, move, by)
        case Compensate():
            return _compensate(connection, saga, row, move, by)
        case Rest():
            return _rest(connection, saga, row, move, by)
        case Fail():
            return _fail(connection, row, move, by)
        case Dispatch():
            return _dispatch(connection, saga, row, move, by)
        case LookAgain():
            return _look_again(connection, row, by)
        case Note():
            record = by.record("late_success", alarm=move.alarm)
            _landed(store.note(connection, row, record, effects=move.effects))
            if move.alarm:
                _raise_alarm(row, move.alarm)
            return Drop("claim was lost")
    assert_never(move)


def _landed(moved: Row | None) -> Row:
    if moved is None:
        raise MovedMeanwhile("the row was moved by somebody who did not lock it")
    return moved


def _state(row: Row, by: Circumstances) -> Mapping[str, Any]:
    return row.state if by.state is None else by.state


def _raise_alarm(row: Row, alarm: str) -> None:
    log.error("alarm", saga_id=str(row.saga_id), saga_type=row.saga_type, step=row.step, why=alarm)


def _advance(
    connection: Connection, saga: Saga[Any], row: Row, move: Advance, by: Circumstances
) -> Followup:
    index = saga.index(move.to)
    moved = store.advance(
        connection,
        row,
        by.record("step_done"),
        state=_state(row, by),
        effects={row.step: Effect.DONE},
        step=move.to,
        index=index,
        max_retries=saga.steps[index].retry.retries,
        patience=by.timing.patience,
    )
    stands = _landed(moved)
    return Next() if by.in_chain else Publish(publication(saga, stands))


def _time_ends(saga: Saga[Any], row: Row, *, accepted: bool) -> bool:
    """Whether the end of the saga's time stops the step in hand."""
    role = saga.step(row.step).role
    stops = role is Role.COMPENSATABLE or (role is Role.PIVOT and not accepted)
    return row.status is Status.RUNNING and stops


def _retry(
    connection: Connection, saga: Saga[Any], row: Row, move: Retry, by: Circumstances
) -> Followup:
    # A short wait is a delayed message; should it be lost, recovery comes a patience later.
    held = by.in_chain and move.after <= by.timing.longest_hold
    looking = row.waiting_for is WaitingFor.SECOND_LOOK
    moved = store.retry(
        connection,
        row,
        by.record("attempt_failed", again_seconds=move.after.total_seconds()),
        attempt=row.attempt,
        error=describe(by.error) if by.error and not looking else row.error_message or "",
        effects={row.step: move.effect},
        not_before=max(move.after - _CLOCK_SLACK, timedelta(0)),
        wake=move.after + by.timing.patience if held else move.after,
        time_ends=_time_ends(saga, row, accepted=row.waiting_for is WaitingFor.POLL),
        dispatches=row.dispatches if held else 0,
    )
    _landed(moved)
    return RetryIn(move.after, by.error) if held else Park()


def _ask_probe(
    connection: Connection, saga: Saga[Any], row: Row, move: AskProbe, by: Circumstances
) -> Followup:
    now = move.after <= timedelta(0)
    asked_before = row.waiting_for is WaitingFor.PROBE
    lost = row.claimed and not by.in_chain and not asked_before
    moved = store.ask_probe(
        connection,
        row,
        by.record("probe_planned", probe=move.probe, after_seconds=move.after.total_seconds()),
        reason=move.reason,
        effects={} if asked_before else {row.step: Effect.UNKNOWN},
        attempt=row.attempt if asked_before else 0,
        error=describe(by.error) if by.error else None,
        call_ended_at=_call_ended_at(row, lost=lost),
        raise_epoch=1 if lost else 0,
        dispatches=1 if now else 0,
        after=move.after,
        wake=by.timing.patience if now else move.after,
    )
    return Publish(publication(saga, _landed(moved))) if now else Park()


def _call_ended_at(row: Row, *, lost: bool) -> datetime | None:
    """A lost worker may still be calling until its hard limit; else the row or the clock knows."""
    if lost:
        return row.claim_deadline
    if row.waiting_for is WaitingFor.PROBE:
        return row.call_ended_at
    return row.now if row.claimed else row.call_ended_at


def _compensate(
    connection: Connection, saga: Saga[Any], row: Row, move: Compensate, by: Circumstances
) -> Followup:
    going_back = row.status is Status.COMPENSATING
    by_link_error = by.in_chain and not going_back and by.error is not None
    index = saga.index(move.step)
    moved = store.compensate(
        connection,
        row,
        by.record("step_compensated" if going_back else "compensating", reason=move.reason),
        step=move.step,
        index=index,
        reason=move.reason,
        max_retries=saga.steps[index].compensation_retry.retries,
        effects=move.effects,
        look_at=move.look_at,
        error=describe(by.error) if by.error else None,
        dispatches=0 if by_link_error else 1,
        patience=by.timing.patience,
    )
    stands = _landed(moved)
    if by_link_error and by.error is not None:
        return Raise(by.error)
    if by.in_chain and going_back:
        return Next()
    return Publish(publication(saga, stands))


def _rest(
    connection: Connection, saga: Saga[Any], row: Row, move: Rest, by: Circumstances
) -> Followup:
    look_at = move.look_at or row.look_at
    looks = by.timing.second_looks
    moved = store.rest(
        connection,
        row,
        by.record("timed_out" if move.status is Status.TIMEOUT else "compensated"),
        status=move.status,
        reason=move.reason,
        effects=move.effects,
        look_at=look_at,
        look_index=saga.index(look_at) if look_at else None,
        error=describe(by.error) if by.error else None,
        first_look=looks[0] if looks else None,
    )
    _landed(moved)
    if not by.in_chain:
        return Park()
    if row.status is Status.COMPENSATING:
        return Next()
    return Raise(by.error) if by.error is not None else Park()


def _fail(connection: Connection, row: Row, move: Fail, by: Circumstances) -> Followup:
    cause = f" (last error: {describe(by.error)})" if by.error else ""
    record = by.record("failed", alarm=move.advice)
    moved = store.fail(connection, row, record, effects=move.effects, error=move.advice + cause)
    _landed(moved)
    _raise_alarm(row, move.advice)
    return Raise(by.error or SagaFailed(move.advice)) if by.in_chain else Park()


def _dispatch(
    connection: Connection, saga: Saga[Any], row: Row, move: Dispatch, by: Circumstances
) -> Followup:
    probing = row.waiting_for in {WaitingFor.PROBE, WaitingFor.SECOND_LOOK}
    lost_call = move.taken_over and row.status is Status.RUNNING and not probing
    kind = "taken_over" if move.taken_over else "overdue" if move.overdue else "dispatched"
    alarm = f"{row.step} is past the saga's time and cannot go back" if move.overdue else None
    moved = store.dispatch(
        connection,
        row,
        by.record(kind, **({"alarm": alarm} if alarm else {})),
        patience=by.timing.patience,
        effects={row.step: Effect.UNKNOWN} if lost_call else {},
        overdue=move.overdue,
        raise_epoch=1 if move.taken_over else 0,
        call_ended_at=row.claim_deadline if lost_call else None,
        error=f"the worker of {row.step} was lost in attempt {row.attempt}" if lost_call else None,
    )
    if alarm:
        _raise_alarm(row, alarm)
    return Publish(publication(saga, _landed(moved)))


def _look_again(connection: Connection, row: Row, by: Circumstances) -> Followup:
    looks = by.timing.second_looks
    next_look = looks[row.looks + 1] if row.looks + 1 < len(looks) else None
    _landed(store.look_again(connection, row, by.record("looked_again"), next_look=next_look))
    return Park()
