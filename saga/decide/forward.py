"""Going forward: what comes of a step's attempt, and of a saga whose time has come."""

from datetime import timedelta
from typing import Any, assert_never

from saga.decide.back import go_back
from saga.definition import Role, Saga
from saga.moves import Advance, AskProbe, Complete, Dispatch, Fail, Move, Poll, Retry
from saga.position import (
    Accepted,
    AttemptFailed,
    Position,
    RefusedFinally,
    StopReason,
    Succeeded,
    WaitingFor,
    WorkerLost,
)
from saga.task import Effect


def running(
    saga: Saga[Any],
    at: Position,
    event: Succeeded | Accepted | RefusedFinally | AttemptFailed | WorkerLost,
    jitter: float,
) -> Move:
    step = saga.step(at.step)
    match event:
        case Succeeded():
            return go_forward(saga, at)
        case Accepted(after):
            if step.role is Role.COMPENSATABLE and (reason := stop_reason(at)):
                return give_up(saga, at, Effect.UNKNOWN, reason)
            return Poll(after)
        case RefusedFinally():
            return _refused(saga, at)
        case AttemptFailed(effect, after):
            wait = step.retry.delay(at.attempt, jitter=jitter) if after is None else after
            return _try_again(saga, at, _sticky(at, effect), wait)
        case WorkerLost():
            # Only a call to another system can have left something behind.
            effect = Effect.UNKNOWN if step.is_external else at.effect(at.step)
            move = _try_again(saga, at, _sticky(at, effect), timedelta(0))
            return Dispatch(taken_over=True) if isinstance(move, Retry) else move
    assert_never(event)


def _sticky(at: Position, effect: Effect) -> Effect:
    """UNKNOWN stays: a later failure speaks for its own attempt only."""
    return at.effect(at.step) if at.effect(at.step) is Effect.UNKNOWN else effect


def go_forward(saga: Saga[Any], at: Position) -> Move:
    index = saga.index(at.step)
    if index < saga.pivot_index and (reason := stop_reason(at)):
        return go_back(saga, at, reason, {at.step: Effect.DONE})
    if index + 1 == len(saga.steps):
        return Complete()
    return Advance(to=saga.steps[index + 1].name)


def stop_reason(at: Position) -> StopReason | None:
    """Why the saga must not go on, if it must not: what was said first, else its time."""
    return at.stop_reason or (StopReason.TIMEOUT if at.is_over_time else None)


def _refused(saga: Saga[Any], at: Position) -> Move:
    step = saga.step(at.step)
    reason = at.stop_reason or StopReason.REFUSED
    if step.role is Role.RETRIABLE:
        return give_up(saga, at, at.effect(at.step), reason)
    # An accepted pivot without a probe has nobody else to tell its final word.
    accepted_pivot = step.role is Role.PIVOT and at.waiting_for is WaitingFor.POLL
    if at.effect(at.step) is Effect.UNKNOWN and not (accepted_pivot and step.probe is None):
        # The refusal speaks for its own attempt; an earlier one may have taken effect.
        return give_up(saga, at, Effect.UNKNOWN, reason)
    return go_back(saga, at, reason, {at.step: Effect.NOT_DONE})


def _try_again(saga: Saga[Any], at: Position, effect: Effect, wait: timedelta) -> Move:
    step = saga.step(at.step)
    accepted_pivot = step.role is Role.PIVOT and at.waiting_for is WaitingFor.POLL
    if step.role is not Role.RETRIABLE and not accepted_pivot and (reason := stop_reason(at)):
        return give_up(saga, at, effect, reason)
    if not step.retry.allows(at.attempt):
        return give_up(saga, at, effect, StopReason.GAVE_UP)
    return Retry(after=wait, effect=effect)


def give_up(saga: Saga[Any], at: Position, effect: Effect, reason: StopReason) -> Move:
    step = saga.step(at.step)
    match step.role, effect:
        case Role.RETRIABLE, _:
            return Fail(
                advice=f"{step.name} did not succeed in {at.attempt} attempts, and past the pivot "
                "nothing goes back: find out what stands in its way",
                effects={step.name: effect},
            )
        case _, Effect.UNKNOWN if step.probe is not None:
            return AskProbe(probe=step.probe.name, reason=reason)
        case Role.PIVOT, Effect.UNKNOWN:
            return Fail(
                advice=f"nobody knows whether {step.name} took effect, and it has no probe: find "
                "out at the other system",
                effects={step.name: effect},
            )
    return go_back(saga, at, reason, {step.name: effect})
