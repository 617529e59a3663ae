"""Going back: which compensation comes next, and what comes of one."""

from collections.abc import Mapping
from typing import Any, assert_never

from saga.definition import Role, Saga
from saga.moves import Compensate, Dispatch, Fail, Move, Rest, Retry
from saga.position import (
    Accepted,
    AttemptFailed,
    Position,
    RefusedFinally,
    Status,
    StopReason,
    Succeeded,
    WorkerLost,
)
from saga.task import Effect, Manual, NothingToCompensate

_OPEN = frozenset({Effect.DONE, Effect.UNKNOWN})


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


def compensating(
    saga: Saga[Any],
    at: Position,
    event: Succeeded | Accepted | RefusedFinally | AttemptFailed | WorkerLost,
    jitter: float,
) -> Move:
    move = _compensated(saga, at, event, jitter)
    if isinstance(move, Retry | Dispatch) and (late := _came_to_light(saga, at)):
        # Another attempt would take away still more of what must stand.
        failed = {at.step: Effect.COMPENSATION_FAILED}
        return Fail(advice=contradiction(late), effects=failed)
    return move


def _compensated(
    saga: Saga[Any],
    at: Position,
    event: Succeeded | Accepted | RefusedFinally | AttemptFailed | WorkerLost,
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
        return Fail(advice=contradiction(late), effects=effects)
    return go_back(saga, at, at.stop_reason or StopReason.GAVE_UP, effects)


def _came_to_light(saga: Saga[Any], at: Position) -> str | None:
    """The step behind us that took effect after all: compensations run in reverse order."""
    for later in saga.steps[saga.index(at.step) + 1 :]:
        if at.effect(later.name) in _OPEN:
            return later.name
    return None


def contradiction(step: str) -> str:
    return (
        f"{step} took effect after all, although the saga went back because it had not: "
        "find out what the compensations took back that must stand"
    )
