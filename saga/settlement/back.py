"""Carries out the way back: compensate, rest, fail."""

from typing import Any

from sqlalchemy import Connection

from saga import store
from saga.circumstances import Circumstances, describe, plain
from saga.definition import Saga
from saga.errors import NeedsPerson, SagaFailed
from saga.followup import Followup, Next, Park, Publish, Raise
from saga.moves import Compensate, Fail, Rest
from saga.position import Status, WaitingFor
from saga.routing import publication
from saga.row import Row
from saga.settlement.landing import landed, raise_alarm, told
from saga.task import Effect


def compensate(
    connection: Connection, saga: Saga[Any], row: Row, move: Compensate, by: Circumstances
) -> Followup:
    going_back = row.status is Status.COMPENSATING
    # What a person ordered, or vouched for, turns the saga back; no compensation is done by that.
    is_done = going_back and by.in_chain
    by_link_error = by.in_chain and not going_back and by.error is not None
    index = saga.index(move.step)
    moved = store.compensate(
        connection,
        row,
        by.record("step_compensated" if is_done else "compensating", reason=move.reason),
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
    stands = landed(moved)
    if by_link_error and by.error is not None:
        return Raise(told(saga, row, by.error))
    return Next() if is_done else Publish(publication(saga, stands))


def rest(
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
    landed(moved)
    if not by.in_chain:
        return Park()
    if row.status is Status.COMPENSATING:
        return Next()
    return Raise(told(saga, row, by.error)) if by.error is not None else Park()


def fail(
    connection: Connection, saga: Saga[Any], row: Row, move: Fail, by: Circumstances
) -> Followup:
    done = row.status is Status.COMPENSATING and move.effects.get(row.step) is Effect.COMPENSATED
    # What a person must do comes after a compensation that is done.
    beside = {"compensated": row.step} if done and by.error is None else {}
    cause = None if by.error is None else _cause(row.step, move, by.error)
    record = by.record("failed", alarm=move.advice, **({"error": cause} if cause else {}), **beside)
    asks = row.waiting_for is WaitingFor.PROBE
    moved = store.fail(
        connection,
        row,
        record,
        effects=move.effects,
        error=f"{move.advice} (last error: {cause})" if cause else move.advice,
        step=move.step,
        index=None if move.step is None else saga.index(move.step),
        reason=move.going_back,
        called=row.claimed and row.status is Status.RUNNING and not asks,
    )
    raise_alarm(saga, landed(moved), move.advice)
    if not by.in_chain:
        return Park()
    return Raise(told(saga, row, by.error or SagaFailed(move.advice)))


def _cause(step: str, move: Fail, error: Exception) -> str:
    """The last error; of one that asked for a person, what its advice does not tell anyway."""
    if isinstance(error, NeedsPerson) and plain(error.advice) == move.advice:
        return f"{type(error).__name__}: {plain(error.code or step)}"
    return describe(error)
