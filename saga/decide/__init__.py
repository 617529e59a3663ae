"""The whole state machine, pure: where a saga stands and what happened give its next move.

Worker, recovery and operators all ask here. Nothing in this package knows a database, a clock or
Celery. The rules are those of docs/explanation/protocol.md.
"""

from typing import Any

from saga.decide.back import compensating, to_take_back
from saga.decide.bounds import can_stop, stop_reason
from saga.decide.findings import accepted, found, late_success, needs_person, settle_after
from saga.decide.forward import give_up, running
from saga.decide.intervene import allowed, intervene, why_not
from saga.definition import Saga
from saga.moves import AskProbe, Dispatch, Keep, Move, Retry, TakeIn, WaitOn
from saga.position import (
    RESTING,
    Accepted,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    Intervened,
    LateSuccess,
    PersonNeeded,
    Position,
    Signalled,
    Status,
    StopReason,
    WaitingFor,
    WorkerLost,
)

__all__ = [
    "allowed",
    "can_stop",
    "decide",
    "settle_after",
    "stop_reason",
    "to_take_back",
    "why_not",
]


_ASKING = frozenset({WaitingFor.PROBE, WaitingFor.SECOND_LOOK})


def decide(saga: Saga[Any], at: Position, event: Event, *, jitter: float = 0.0) -> Move:
    """The next move of a saga that stands ``at`` this position, when ``event`` happens.

    ``jitter`` from 0 to 1 shortens waits; see RetryPolicy. Raises KeyError when the position
    names a step that the definition does not have.
    """
    match event:
        case Due():
            return _due(saga, at)
        case LateSuccess(step, under_old_key):
            return late_success(at, step, under_old_key=under_old_key)
        case FoundDone() | FoundNothing() | FoundNoAnswer():
            return found(saga, at, event, jitter)
        case Signalled(name):
            return _signalled(saga, at, name)
        case Intervened():
            return intervene(saga, at, event)
        case PersonNeeded() if at.waiting_for in _ASKING:
            return needs_person(saga, at, event, jitter)
        case Accepted() if at.waiting_for in _ASKING:
            return accepted(saga, at, event, jitter)
    if at.status is Status.COMPENSATING:
        return compensating(saga, at, event, jitter)
    return running(saga, at, event, jitter)


def _due(saga: Saga[Any], at: Position) -> Move:
    if at.claimed:
        return _lease_lost(saga, at)
    if at.status is not Status.RUNNING or at.waiting_for is WaitingFor.PROBE:
        return Dispatch()
    known = at.effect(at.step)
    if can_stop(saga, at) and (reason := stop_reason(at)):
        return give_up(saga, at, known, reason)
    overdue = at.is_over_time and not at.overdue
    if at.is_waiting:
        return WaitOn(overdue=overdue)
    if at.waiting_for is WaitingFor.SIGNAL:
        return give_up(saga, at, known, at.stop_reason or StopReason.GAVE_UP)
    return Dispatch(overdue=overdue)


def _signalled(saga: Saga[Any], at: Position, name: str) -> Move:
    """Whatever is not waiting for it, finds it when it begins to."""
    ends_a_wait = at.waiting_for in {WaitingFor.SIGNAL, WaitingFor.POLL} and at.signal == name
    if at.status is Status.RUNNING and not at.claimed and ends_a_wait:
        return TakeIn(accepted=saga.step(at.step).is_external)
    return Keep()


def _lease_lost(saga: Saga[Any], at: Position) -> Move:
    if at.waiting_for is WaitingFor.PROBE or at.status in RESTING:
        # A probe may kill its worker every time: that is no answer either.
        move = found(saga, at, FoundNoAnswer(), jitter=0.0)
        return Dispatch(taken_over=True) if isinstance(move, AskProbe | Retry) else move
    return decide(saga, at, WorkerLost())
