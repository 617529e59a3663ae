"""Going forward: what comes of a step's attempt, and of a saga whose time has come."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, assert_never

from saga.decide.back import Ended, go_back
from saga.decide.bounds import can_stop, is_accepted, stop_reason
from saga.definition import Role, Saga
from saga.moves import (
    Advance,
    AskProbe,
    Complete,
    Dispatch,
    Fail,
    Move,
    Retry,
    Skipped,
    WaitFor,
)
from saga.position import (
    Accepted,
    AttemptFailed,
    PersonNeeded,
    Position,
    RefusedFinally,
    Sleeps,
    StopReason,
    Succeeded,
    WaitingFor,
    WaitsForSignal,
    WorkerLost,
)
from saga.task import Effect


def running(saga: Saga[Any], at: Position, event: Ended, jitter: float) -> Move:
    step = saga.step(at.step)
    match event:
        case Succeeded():
            return go_forward(saga, at)
        case Accepted() | WaitsForSignal() | Sleeps():
            return _wait(saga, at, waiting(saga, at, event))
        case RefusedFinally():
            return _refused(saga, at)
        case PersonNeeded():
            return _person_needed(saga, at, event)
        case AttemptFailed(effect, after):
            wait = step.retry.delay(at.attempt, jitter=jitter) if after is None else after
            return _try_again(saga, at, _sticky(at, effect), wait)
        case WorkerLost():
            # Only a call to another system can have left something behind.
            effect = Effect.UNKNOWN if step.is_external else at.effect(at.step)
            move = _try_again(saga, at, _sticky(at, effect), timedelta(0))
            return Dispatch(taken_over=True) if isinstance(move, Retry) else move
    assert_never(event)


def waiting(saga: Saga[Any], at: Position, event: Accepted | WaitsForSignal | Sleeps) -> WaitFor:
    """How to wait for what the step, or its probe, said, if nothing forbids it."""
    step, known = saga.step(at.step), at.effect(at.step)
    # An order that the other system took may come to be; SQL that waits was rolled back.
    effect = Effect.UNKNOWN if step.is_external else known
    match event:
        case Accepted(after=after, signal=signal):
            wait = step.poll.delay(at.polls) if after is None else after
            return WaitFor(what=WaitingFor.POLL, after=wait, signal=signal, effect=effect)
        case WaitsForSignal(signal=signal, timeout=timeout):
            return WaitFor(what=WaitingFor.SIGNAL, after=timeout, signal=signal, effect=effect)
        case Sleeps(until):
            wait = max(until - at.now, timedelta(0))
            if is_accepted(saga, at):
                return WaitFor(what=WaitingFor.POLL, after=wait, effect=known)
            return WaitFor(what=WaitingFor.SLEEP, after=wait, effect=known)
    assert_never(event)


def _wait(saga: Saga[Any], at: Position, wait: WaitFor) -> Move:
    waits = replace(at, waiting_for=wait.what)
    if can_stop(saga, waits) and (reason := stop_reason(at)):
        return give_up(saga, at, wait.effect, reason)
    return replace(wait, reason=at.stop_reason)


def _sticky(at: Position, effect: Effect) -> Effect:
    """UNKNOWN stays: a later failure speaks for its own attempt only."""
    return at.effect(at.step) if at.effect(at.step) is Effect.UNKNOWN else effect


def go_forward(saga: Saga[Any], at: Position, skipped: Skipped | None = None) -> Move:
    index = saga.index(at.step)
    if index < saga.pivot_index and (reason := stop_reason(at)):
        return go_back(saga, at, reason, {at.step: Effect.DONE})
    if index + 1 == len(saga.steps):
        return Complete(skipped=skipped)
    return Advance(to=saga.steps[index + 1].name, skipped=skipped)


def _refused(saga: Saga[Any], at: Position) -> Move:
    step = saga.step(at.step)
    reason = at.stop_reason or StopReason.REFUSED
    if step.role is Role.RETRIABLE:
        return _give_up_forward(saga, at, _sticky(at, Effect.NOT_DONE), "was refused")
    # An accepted pivot without a probe has nobody else to tell its final word.
    is_final = step.role is Role.PIVOT and is_accepted(saga, at) and step.probe is None
    if at.effect(at.step) is Effect.UNKNOWN and not is_final:
        # The refusal speaks for its own attempt; an earlier one may have taken effect.
        return give_up(saga, at, Effect.UNKNOWN, reason)
    return go_back(saga, at, reason, {at.step: Effect.NOT_DONE})


def _person_needed(saga: Saga[Any], at: Position, said: PersonNeeded) -> Move:
    """Wait for that person; but what is to stop, and surely did nothing, goes back without one."""
    is_final = said.effect is Effect.NOT_DONE
    effect = said.effect if is_final else _sticky(at, said.effect)
    if effect is not Effect.UNKNOWN and saga.step(at.step).role is not Role.RETRIABLE:
        # Time alone does not end what was accepted, but a person's word does.
        reason = stop_reason(at) if can_stop(saga, at) else at.stop_reason
        if reason is not None:
            return go_back(saga, at, reason, {at.step: effect})
    if saga.step(at.step).is_skippable:
        # Its author does not want the saga to stand still for it; the event has the advice.
        return _skip(saga, at, effect, "asked for a person")
    return Fail(advice=said.advice, effects={at.step: effect})


def _try_again(saga: Saga[Any], at: Position, effect: Effect, wait: timedelta) -> Move:
    step = saga.step(at.step)
    if can_stop(saga, at) and (reason := stop_reason(at)):
        return give_up(saga, at, effect, reason)
    if not step.retry.allows(at.attempt):
        # What was accepted does not stop for a person's word, but its probe is to obey it.
        return give_up(saga, at, effect, at.stop_reason or StopReason.GAVE_UP)
    return Retry(after=wait, effect=effect)


def give_up(saga: Saga[Any], at: Position, effect: Effect, reason: StopReason) -> Move:
    step = saga.step(at.step)
    match step.role, effect:
        case Role.RETRIABLE, _:
            if at.waiting_for is WaitingFor.SIGNAL:
                how = f"waited in vain for the signal {at.signal}"
                return _give_up_forward(saga, at, effect, how)
            return _give_up_forward(saga, at, effect, f"did not succeed in {at.attempt} attempts")
        case _, Effect.UNKNOWN if step.probe is not None:
            return AskProbe(probe=step.probe.name, reason=reason)
        case Role.PIVOT, Effect.UNKNOWN:
            return Fail(
                advice=f"nobody knows whether {step.name} took effect, and it has no probe: find "
                "out at the other system",
                effects={step.name: effect},
            )
    return go_back(saga, at, reason, {step.name: effect})


def _give_up_forward(saga: Saga[Any], at: Position, effect: Effect, how: str) -> Move:
    if saga.step(at.step).is_skippable:
        return _skip(saga, at, effect, how)
    return Fail(
        advice=f"{at.step} {how}, and past the pivot nothing goes back: find out what stands in "
        "its way",
        effects={at.step: effect},
    )


def _skip(saga: Saga[Any], at: Position, effect: Effect, how: str) -> Move:
    """Go on without the step: what did nothing so far will not be tried any more."""
    doubted = effect is Effect.UNKNOWN
    return go_forward(saga, at, Skipped(how, Effect.UNKNOWN if doubted else Effect.NOT_DONE))
