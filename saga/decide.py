"""The whole state machine, pure: where a saga stands and what happened give its next move.

Worker, recovery and operators all ask here. Nothing in this module knows a database, a clock or
Celery. The rules are those of docs/explanation/protocol.md.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, assert_never

from saga import retry
from saga.definition import Role, Saga, Step
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
from saga.position import (
    RESTING,
    Accepted,
    AttemptFailed,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    LateSuccess,
    Position,
    RefusedFinally,
    Status,
    StopReason,
    Succeeded,
    WaitingFor,
    WorkerLost,
)
from saga.task import Effect, Manual, NothingToCompensate

# How long after a call's timeout its provider may still be at it, unless the step says otherwise.
SETTLE_SLACK = timedelta(seconds=30)

_OPEN = frozenset({Effect.DONE, Effect.UNKNOWN})


def decide(saga: Saga[Any], at: Position, event: Event, *, jitter: float = 0.0) -> Move:
    """The next move of a saga that stands ``at`` this position, when ``event`` happens.

    ``jitter`` from 0 to 1 shortens waits; see RetryPolicy. Raises KeyError when the position
    names a step that the definition does not have.
    """
    match event:
        case Due():
            return _due(saga, at)
        case LateSuccess(step):
            return _late_success(at, step)
        case FoundDone() | FoundNothing() | FoundNoAnswer():
            return _found(saga, at, event, jitter)
    if at.status is Status.COMPENSATING:
        return _compensating(saga, at, event, jitter)
    return _running(saga, at, event, jitter)


def settle_after(step: Step[Any]) -> timedelta:
    """How long after its last call a provider's "did not happen" is believed."""
    return step.timeout + SETTLE_SLACK if step.settle_after is None else step.settle_after


def _step(saga: Saga[Any], at: Position) -> Step[Any]:
    return saga.steps[saga.index(at.step)]


def _running(
    saga: Saga[Any],
    at: Position,
    event: Succeeded | Accepted | RefusedFinally | AttemptFailed | WorkerLost,
    jitter: float,
) -> Move:
    step = _step(saga, at)
    match event:
        case Succeeded():
            return _go_forward(saga, at)
        case Accepted(after):
            if step.role is Role.COMPENSATABLE and (reason := _stop(at)):
                return _give_up(saga, at, Effect.UNKNOWN, reason)
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


def _go_forward(saga: Saga[Any], at: Position) -> Move:
    index = saga.index(at.step)
    if index < saga.pivot_index and (reason := _stop(at)):
        return _go_back(saga, at, reason, {at.step: Effect.DONE})
    if index + 1 == len(saga.steps):
        return Complete()
    return Advance(to=saga.steps[index + 1].name)


def _stop(at: Position) -> StopReason | None:
    """Why the saga must not go on, if it must not: what was said first, else its time."""
    return at.stop_reason or (StopReason.TIMEOUT if at.is_over_time else None)


def _refused(saga: Saga[Any], at: Position) -> Move:
    step = _step(saga, at)
    reason = at.stop_reason or StopReason.REFUSED
    if step.role is Role.RETRIABLE:
        return _give_up(saga, at, at.effect(at.step), reason)
    # An accepted pivot without a probe has nobody else to tell its final word.
    accepted_pivot = step.role is Role.PIVOT and at.waiting_for is WaitingFor.POLL
    if at.effect(at.step) is Effect.UNKNOWN and not (accepted_pivot and step.probe is None):
        # The refusal speaks for its own attempt; an earlier one may have taken effect.
        return _give_up(saga, at, Effect.UNKNOWN, reason)
    return _go_back(saga, at, reason, {at.step: Effect.NOT_DONE})


def _try_again(saga: Saga[Any], at: Position, effect: Effect, wait: timedelta) -> Move:
    step = _step(saga, at)
    accepted_pivot = step.role is Role.PIVOT and at.waiting_for is WaitingFor.POLL
    if step.role is not Role.RETRIABLE and not accepted_pivot and (reason := _stop(at)):
        return _give_up(saga, at, effect, reason)
    if not step.retry.allows(at.attempt):
        return _give_up(saga, at, effect, StopReason.GAVE_UP)
    return Retry(after=wait, effect=effect)


def _give_up(saga: Saga[Any], at: Position, effect: Effect, reason: StopReason) -> Move:
    step = _step(saga, at)
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
    return _go_back(saga, at, reason, {step.name: effect})


def _go_back(
    saga: Saga[Any],
    at: Position,
    reason: StopReason,
    found: Mapping[str, Effect],
    look_at: str | None = None,
) -> Move:
    """Compensate the last step that did or may have happened, or rest when there is none.

    ``found`` is what is known now beyond the row. The pivot's own compensation is a person's.
    """
    effects = dict(found)
    for step in reversed(saga.steps[: saga.index(at.step) + 1]):
        effect = effects.get(step.name, at.effect(step.name))
        if effect not in _OPEN or step.role is not Role.COMPENSATABLE:
            continue
        match step.compensation:
            case NothingToCompensate():
                effects[step.name] = Effect.COMPENSATED
            case Manual(advice):
                by_hand = f"{step.name} must be compensated by hand: {advice}"
                return Fail(advice=by_hand, effects=effects)
            case _:
                return Compensate(step=step.name, reason=reason, look_at=look_at, effects=effects)
    return Rest(
        status=Status.TIMEOUT if reason is StopReason.TIMEOUT else Status.COMPENSATED,
        reason=reason,
        look_at=look_at,
        effects=effects,
    )


def _compensating(
    saga: Saga[Any],
    at: Position,
    event: Succeeded | Accepted | RefusedFinally | AttemptFailed | WorkerLost,
    jitter: float,
) -> Move:
    move = _compensated(saga, at, event, jitter)
    if isinstance(move, Retry | Dispatch) and (late := _came_to_light(saga, at)):
        # Another attempt would take away still more of what must stand.
        failed = {at.step: Effect.COMPENSATION_FAILED}
        return Fail(advice=_contradiction(late), effects=failed)
    return move


def _compensated(
    saga: Saga[Any],
    at: Position,
    event: Succeeded | Accepted | RefusedFinally | AttemptFailed | WorkerLost,
    jitter: float,
) -> Move:
    step = _step(saga, at)
    policy = step.compensation_retry
    match event:
        case Succeeded(believed):
            if believed is Effect.UNKNOWN and at.effect(step.name) is Effect.DONE:
                # A late success came in while the compensation ran; it may have looked too early.
                return Retry(after=policy.first, effect=Effect.DONE)
            return _go_on_back(saga, at)
        case AttemptFailed(_, after) if policy.allows(at.attempt):
            wait = policy.delay(at.attempt, jitter=jitter) if after is None else after
            return Retry(after=wait, effect=at.effect(step.name))
        case WorkerLost() if policy.allows(at.attempt):
            return Dispatch(taken_over=True)
        case AttemptFailed() | WorkerLost() | RefusedFinally() | Accepted():
            return Fail(
                advice=f"the compensation of {step.name} did not succeed in {at.attempt} attempts, "
                "so that its effect may still stand: find out what stands in its way",
                effects={step.name: Effect.COMPENSATION_FAILED},
            )
    assert_never(event)


def _go_on_back(saga: Saga[Any], at: Position) -> Move:
    effects = {at.step: Effect.COMPENSATED}
    if late := _came_to_light(saga, at):
        return Fail(advice=_contradiction(late), effects=effects)
    return _go_back(saga, at, at.stop_reason or StopReason.GAVE_UP, effects)


def _came_to_light(saga: Saga[Any], at: Position) -> str | None:
    """The step behind us that took effect after all: compensations run in reverse order."""
    for later in saga.steps[saga.index(at.step) + 1 :]:
        if at.effect(later.name) in _OPEN:
            return later.name
    return None


def _contradiction(step: str) -> str:
    return (
        f"{step} took effect after all, although the saga went back because it had not: "
        "find out what the compensations took back that must stand"
    )


def _found(
    saga: Saga[Any], at: Position, event: FoundDone | FoundNothing | FoundNoAnswer, jitter: float
) -> Move:
    step = _step(saga, at)
    if at.waiting_for is WaitingFor.SECOND_LOOK:
        if isinstance(event, FoundDone):
            return Fail(advice=_contradiction(step.name), effects={step.name: Effect.DONE})
        if isinstance(event, FoundNoAnswer) and retry.LOOK.allows(at.attempt):
            wait = retry.LOOK.delay(at.attempt, jitter=jitter)
            return Retry(after=wait, effect=at.effect(step.name))
        return LookAgain()
    reason = at.stop_reason or StopReason.GAVE_UP
    ended = at.call_ended_at or at.now
    probe = step.probe.name if step.probe else step.name
    known = at.effect(step.name)
    if isinstance(event, FoundNothing) and known is Effect.DONE:
        event = FoundNoAnswer()  # a late success contradicts it
    asked_at = at.now
    if isinstance(event, FoundNothing) and event.asked_at is not None:
        # The provider may have done it since, however late the answer is settled.
        asked_at = event.asked_at
    match event:
        case FoundDone():
            gave_up = reason is not StopReason.TIMEOUT
            return _go_forward(saga, replace(at, stop_reason=None) if gave_up else at)
        case FoundNothing() if asked_at >= ended + settle_after(step):
            if step.role is Role.PIVOT:
                return _go_back(saga, at, reason, {step.name: Effect.NOT_DONE}, look_at=step.name)
            # Believed or not, what can be compensated is compensated.
            return _go_back(saga, at, reason, {step.name: Effect.UNKNOWN})
        case FoundNothing():
            wait = max(ended + settle_after(step) - at.now, timedelta(0))
            return AskProbe(probe=probe, after=wait, reason=reason)
        case FoundNoAnswer() if at.now < ended + step.probe_for:
            wait = retry.PROBE.delay(at.attempt, jitter=jitter)
            return AskProbe(probe=probe, after=wait, reason=reason)
        case FoundNoAnswer() if step.role is Role.PIVOT:
            return Fail(
                advice=f"{probe} could not tell whether {step.name} took effect: find out at the "
                "other system",
                effects={step.name: known},
            )
        case FoundNoAnswer():
            return _go_back(saga, at, reason, {step.name: known})
    assert_never(event)


def _late_success(at: Position, step: str) -> Move:
    effect = at.effect(step)
    if effect in {Effect.COMPENSATED, Effect.NOT_DONE}:
        if at.status is Status.COMPENSATING and at.claimed:
            # A compensation is at work: it settles first, then sees the contradiction.
            return Note(effects={step: Effect.DONE}, alarm=_contradiction(step))
        return Fail(advice=_contradiction(step), effects={step: Effect.DONE})
    if at.status is Status.COMPENSATING and effect is Effect.UNKNOWN:
        return Note(effects={step: Effect.DONE})
    if at.status is Status.FAILED:
        return Note(effects={step: Effect.DONE}, alarm=f"{step} took effect after all")
    if at.waiting_for is WaitingFor.PROBE:
        # The probe may be on its way back with an answer that is older than this.
        return Note(effects={step: Effect.DONE})
    # RUNNING: the next attempt, with the same key, will find it. COMPLETED: known.
    return Note()


def _due(saga: Saga[Any], at: Position) -> Move:
    if at.claimed:
        return _lease_lost(saga, at)
    if at.status is not Status.RUNNING or at.waiting_for is WaitingFor.PROBE:
        return Dispatch()
    step = _step(saga, at)
    accepted_pivot = step.role is Role.PIVOT and at.waiting_for is WaitingFor.POLL
    if step.role is Role.RETRIABLE or accepted_pivot:
        return Dispatch(overdue=at.is_over_time and not at.overdue)
    if reason := _stop(at):
        return _give_up(saga, at, at.effect(at.step), reason)
    return Dispatch()


def _lease_lost(saga: Saga[Any], at: Position) -> Move:
    if at.waiting_for is WaitingFor.PROBE or at.status in RESTING:
        # A probe may kill its worker every time: that is no answer either.
        move = _found(saga, at, FoundNoAnswer(), jitter=0.0)
        return Dispatch(taken_over=True) if isinstance(move, AskProbe | Retry) else move
    return decide(saga, at, WorkerLost())
