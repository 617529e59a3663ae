"""Going back: which compensation comes next, and what comes of one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from saga.definition import Role, Saga, Step
from saga.moves import Compensate, Dispatch, Fail, Move, Rest, Retry
from saga.position import (
    Accepted,
    AttemptFailed,
    PersonNeeded,
    Position,
    RefusedFinally,
    Sleeps,
    Status,
    StopReason,
    Succeeded,
    WaitsForSignal,
    WorkerLost,
)
from saga.task import Effect, Manual, NothingToCompensate

Ended: TypeAlias = (
    Succeeded
    | Accepted
    | WaitsForSignal
    | Sleeps
    | RefusedFinally
    | PersonNeeded
    | AttemptFailed
    | WorkerLost
)

OPEN = frozenset({Effect.DONE, Effect.UNKNOWN})


def to_take_back(saga: Saga[Any], at: Position, reason: StopReason | None) -> Iterator[Step[Any]]:
    """The steps whose effect must be taken back, in the order of that: the last one first.

    The pivot's and what comes after it only when a person ordered so.
    """
    if reason is StopReason.ORDERED:
        stands = OPEN | {Effect.COMPENSATION_FAILED}
        yield from (step for step in reversed(saga.steps) if at.effect(step.name) in stands)
        return
    for step in reversed(saga.steps[: saga.index(at.step) + 1]):
        if step.role is Role.COMPENSATABLE and at.effect(step.name) in OPEN:
            yield step


def go_back(
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
    for step in to_take_back(saga, replace(at, effects={**at.effects, **effects}), reason):
        by_hand = None
        match step.compensation:
            case NothingToCompensate():
                effects[step.name] = Effect.COMPENSATED
                continue
            case Manual(advice):
                by_hand = f"{step.name} must be compensated by hand: {advice}"
            case None:
                by_hand = f"{step.name} has no compensation: take its effect back by hand"
        if by_hand is not None:
            advice = f"{by_hand}, then resolve it as not done"
            return Fail(advice=advice, effects=effects, step=step.name, going_back=reason)
        if at.effect(step.name) is Effect.COMPENSATION_FAILED:
            effects[step.name] = may_stand(step)
        return Compensate(step=step.name, reason=reason, look_at=look_at, effects=effects)
    return Rest(
        status=Status.TIMEOUT if reason is StopReason.TIMEOUT else Status.COMPENSATED,
        reason=reason,
        look_at=look_at,
        effects=effects,
    )


def may_stand(step: Step[Any]) -> Effect:
    """What is known of a step whose compensation failed, when it is to be tried again.

    A transaction that was rolled back took nothing away.
    """
    return Effect.UNKNOWN if step.is_external else Effect.DONE


def compensating(
    saga: Saga[Any],
    at: Position,
    event: Ended,
    jitter: float,
) -> Move:
    move = _compensated(saga, at, event, jitter)
    if isinstance(move, Retry | Dispatch) and (late := came_to_light(saga, at)):
        # Another attempt would take away still more of what must stand.
        failed = {at.step: Effect.COMPENSATION_FAILED}
        return Fail(advice=contradiction(late), effects=failed)
    return move


def _compensated(
    saga: Saga[Any],
    at: Position,
    event: Ended,
    jitter: float,
) -> Move:
    step = saga.step(at.step)
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
        case PersonNeeded(advice=advice):
            return Fail(advice=advice, effects={step.name: Effect.COMPENSATION_FAILED})
        case _:
            return Fail(
                advice=f"the compensation of {step.name} did not succeed in {at.attempt} attempts, "
                "so that its effect may still stand: find out what stands in its way",
                effects={step.name: Effect.COMPENSATION_FAILED},
            )


def _go_on_back(saga: Saga[Any], at: Position) -> Move:
    effects = {at.step: Effect.COMPENSATED}
    if late := came_to_light(saga, at):
        return Fail(advice=contradiction(late), effects=effects)
    return go_back(saga, at, at.stop_reason or StopReason.GAVE_UP, effects)


def came_to_light(saga: Saga[Any], at: Position) -> str | None:
    """The step behind us that took effect after all: compensations run in reverse order."""
    for later in saga.steps[saga.index(at.step) + 1 :]:
        if at.effect(later.name) in OPEN:
            return later.name
    return None


def contradiction(step: str) -> str:
    return (
        f"{step} took effect after all, although the saga went back because it had not: "
        "find out what the compensations took back that must stand"
    )
