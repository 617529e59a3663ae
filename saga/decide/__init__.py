"""The whole state machine, pure: where a saga stands and what happened give its next move.

Worker, recovery and operators all ask here. Nothing in this package knows a database, a clock or
Celery. The rules are those of docs/explanation/protocol.md.
"""

from typing import Any

from saga.decide.back import compensating
from saga.decide.findings import found, late_success, settle_after
from saga.decide.forward import give_up, running, stop_reason
from saga.definition import Role, Saga
from saga.moves import AskProbe, Dispatch, Move, Retry
from saga.position import (
    RESTING,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    LateSuccess,
    Position,
    Status,
    WaitingFor,
    WorkerLost,
)

__all__ = ["decide", "settle_after"]


def decide(saga: Saga[Any], at: Position, event: Event, *, jitter: float = 0.0) -> Move:
    """The next move of a saga that stands ``at`` this position, when ``event`` happens.

    ``jitter`` from 0 to 1 shortens waits; see RetryPolicy. Raises KeyError when the position
    names a step that the definition does not have.
    """
    match event:
        case Due():
            return _due(saga, at)
        case LateSuccess(step):
            return late_success(at, step)
        case FoundDone() | FoundNothing() | FoundNoAnswer():
            return found(saga, at, event, jitter)
    if at.status is Status.COMPENSATING:
        return compensating(saga, at, event, jitter)
    return running(saga, at, event, jitter)


def _due(saga: Saga[Any], at: Position) -> Move:
    if at.claimed:
        return _lease_lost(saga, at)
    if at.status is not Status.RUNNING or at.waiting_for is WaitingFor.PROBE:
        return Dispatch()
    step = saga.step(at.step)
    accepted_pivot = step.role is Role.PIVOT and at.waiting_for is WaitingFor.POLL
    if step.role is Role.RETRIABLE or accepted_pivot:
        return Dispatch(overdue=at.is_over_time and not at.overdue)
    if reason := stop_reason(at):
        return give_up(saga, at, at.effect(at.step), reason)
    return Dispatch()


def _lease_lost(saga: Saga[Any], at: Position) -> Move:
    if at.waiting_for is WaitingFor.PROBE or at.status in RESTING:
        # A probe may kill its worker every time: that is no answer either.
        move = found(saga, at, FoundNoAnswer(), jitter=0.0)
        return Dispatch(taken_over=True) if isinstance(move, AskProbe | Retry) else move
    return decide(saga, at, WorkerLost())
