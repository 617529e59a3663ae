"""What an operator may do to a saga, and what comes of it.

One predicate, ``why_not``, decides for the engine, the command line, the API and every page.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from saga.decide.back import OPEN, came_to_light, go_back, may_stand
from saga.decide.bounds import can_stop
from saga.decide.forward import give_up, go_forward
from saga.definition import Role, Saga
from saga.moves import (
    Compensate,
    Complete,
    Dispatch,
    Fail,
    Move,
    Pause,
    Reopen,
    Resolve,
    Rest,
    Resume,
    Stop,
)
from saga.position import (
    RESTING,
    Intervened,
    Intervention,
    Outcome,
    Paused,
    Position,
    Status,
    StopReason,
    WaitingFor,
)
from saga.task import Effect, Manual

_AT_WORK = frozenset({Status.RUNNING, Status.COMPENSATING})


def allowed(saga: Saga[Any], at: Position) -> tuple[Intervention, ...]:
    """All that an operator may do to the saga now."""
    return tuple(what for what in Intervention if why_not(saga, at, what) is None)


def why_not(
    saga: Saga[Any], at: Position, what: Intervention, step: str | None = None
) -> str | None:
    """Why an operator may not do this to the saga now; None when they may.

    ``step`` is the one to resolve, if not the whole saga. Raises KeyError for no step of the saga.
    """
    match what:
        case Intervention.RETRY:
            return _why_not_retry(saga, at)
        case Intervention.COMPENSATE | Intervention.RESOLVE if at.status is not Status.FAILED:
            return "only a FAILED saga can be"
        case Intervention.COMPENSATE:
            return None
        case Intervention.RESOLVE:
            return None if step is None else _why_not_resolve(saga, at, step)
        case Intervention.CANCEL:
            return _why_not_cancel(saga, at)
        case Intervention.PAUSE:
            if at.status not in _AT_WORK:
                return "only a RUNNING or COMPENSATING saga can be"
            return "it is paused already" if at.paused is Paused.SAGA else None
        case Intervention.RESUME:
            if at.paused is Paused.SAGA:
                return None
            pause = at.paused or at.pause
            return "it is not paused" if pause is None else f"its {pause} is paused: resume that"
    assert_never(what)


def _why_not_retry(saga: Saga[Any], at: Position) -> str | None:
    if at.status in RESTING:
        return "it is at rest"
    if at.status is Status.FAILED:
        return _why_not_retry_failed(saga, at)
    if at.paused is Paused.SAGA:
        return "it is paused: resume it"
    if (pause := at.paused or at.pause) is not None:
        return f"its {pause} is paused: resume that"
    if at.claimed:
        return "a worker is at it"
    if at.waiting_for is WaitingFor.SIGNAL:
        return f"it waits for the signal {at.signal}: send that"
    return None


def _why_not_retry_failed(saga: Saga[Any], at: Position) -> str | None:
    if at.failed_from in RESTING:
        return "it went back, and nothing is left to try: compensate or resolve it"
    if at.failed_from is Status.COMPENSATING:
        if isinstance(saga.step(at.step).compensation, Manual | None):
            return f"only a person can compensate {at.step}: resolve it"
        if (late := came_to_light(saga, at)) is not None:
            return f"{late} took effect after all: compensate or resolve it"
    elif (missing := _missing(saga, at)) is not None:
        return f"{missing} is not done, and {at.step} builds on it: compensate or resolve it"
    return None


def _missing(saga: Saga[Any], at: Position) -> str | None:
    """The step before the one in hand of which a person found that it is not done.

    What was skipped is not missed; but what was done and is taken back, is.
    """
    for before in saga.steps[: saga.index(at.step)]:
        known = at.effect(before.name)
        if known is not Effect.DONE and not before.is_skipped(known):
            return before.name
    return None


def _why_not_resolve(saga: Saga[Any], at: Position, step: str) -> str | None:
    is_to_come = saga.index(step) > saga.index(at.step)
    if is_to_come and at.effect(step) is Effect.NOT_STARTED:
        return f"it has not come to {step} yet"
    return None


def _why_not_cancel(saga: Saga[Any], at: Position) -> str | None:
    if at.status is not Status.RUNNING:
        return "only a RUNNING saga can be"
    if saga.step(at.step).role is Role.RETRIABLE:
        return "it is past the pivot and only goes forward"
    if not can_stop(saga, at):
        return "the other system has accepted the pivot, and only its final word decides"
    if at.stop_reason is StopReason.CANCELLED:
        return "it is being cancelled already"
    return None


def intervene(saga: Saga[Any], at: Position, asked: Intervened) -> Move:
    """The move that an operator asks for; ``why_not`` had nothing against it."""
    match asked.what:
        case Intervention.RETRY:
            return _retry(saga, at)
        case Intervention.COMPENSATE:
            return _reopen_back(saga, at, asked.what, StopReason.ORDERED, {})
        case Intervention.CANCEL:
            if at.claimed or at.waiting_for is WaitingFor.PROBE:
                return Stop(StopReason.CANCELLED)
            return give_up(saga, at, at.effect(at.step), StopReason.CANCELLED)
        case Intervention.PAUSE:
            return Pause(Paused.SAGA)
        case Intervention.RESUME:
            return Resume()
        case Intervention.RESOLVE:
            is_done = asked.outcome is Outcome.DONE
            if asked.step is None:
                return _resolve_saga(saga, at, is_done=is_done)
            return _resolve_step(saga, at, asked.step, is_done=is_done)
    assert_never(asked.what)


def _retry(saga: Saga[Any], at: Position) -> Move:
    again: dict[str, Effect]
    if at.status is not Status.FAILED:
        return Dispatch(hurried=True)
    by, known = Intervention.RETRY, at.effect(at.step)
    if at.failed_from is Status.COMPENSATING:
        failed = known is Effect.COMPENSATION_FAILED
        again = {at.step: may_stand(saga.step(at.step))} if failed else {}
        return Reopen(by=by, status=Status.COMPENSATING, reason=at.stop_reason, effects=again)
    # What surely did not happen under its old key may be refused under it for ever.
    new_key = known is Effect.NOT_DONE and saga.step(at.step).is_external
    # What took effect is called again, to hear what it came to: a refusal says nothing then.
    becomes = {Effect.NOT_DONE: Effect.NOT_STARTED, Effect.DONE: Effect.UNKNOWN}
    again = {at.step: becomes[known]} if known in becomes else {}
    return Reopen(by=by, status=Status.RUNNING, effects=again, new_key=new_key)


def _reopen_back(
    saga: Saga[Any],
    at: Position,
    by: Intervention,
    reason: StopReason,
    found: Mapping[str, Effect],
) -> Move:
    """Let a FAILED saga go back; it stays FAILED while something stands that nothing takes back."""
    move = go_back(saga, at, reason, found)
    if reason is not StopReason.ORDERED and _stands_beyond(saga, at, move):
        return Resolve(effects=found)
    if isinstance(move, Fail):
        return move
    if isinstance(move, Rest):
        stands = _stands({**at.effects, **move.effects})
        return Resolve(effects=found) if stands else move
    return Reopen(by=by, status=Status.COMPENSATING, reason=reason, effects=found, then=move)


def _stands_beyond(saga: Saga[Any], at: Position, move: Move) -> bool:
    """Whether the move goes back beneath a step that stands: that is taken back first."""
    if not isinstance(move, Compensate | Fail) or move.step is None:
        return False
    known = {**at.effects, **move.effects}
    later = [step.name for step in saga.steps[saga.index(move.step) + 1 :]]
    return _stands({name: effect for name, effect in known.items() if name in later})


def _stands(effects: Mapping[str, Effect]) -> bool:
    """Whether anything is left that a saga at rest must not leave."""
    return not (OPEN | {Effect.COMPENSATION_FAILED}).isdisjoint(effects.values())


def _resolve_saga(saga: Saga[Any], at: Position, *, is_done: bool) -> Move:
    if is_done:
        return Complete(effects={step.name: Effect.DONE for step in saga.steps})
    effects = {step: _taken_back(at, step) for step in at.effects}
    reason = StopReason.ORDERED
    return Rest(status=Status.COMPENSATED, reason=reason, effects=effects)


def _taken_back(at: Position, step: str) -> Effect:
    """What a step's effect is when a person vouches that nothing of it is left."""
    match at.effect(step):
        case Effect.DONE | Effect.COMPENSATION_FAILED:
            return Effect.COMPENSATED
        case Effect.UNKNOWN | Effect.NOT_STARTED:
            return Effect.NOT_DONE
        case known:
            return known


def _resolve_step(saga: Saga[Any], at: Position, step: str, *, is_done: bool) -> Move:
    by, going_back = Intervention.RESOLVE, at.failed_from is not Status.RUNNING
    found = {step: Effect.DONE if is_done else _taken_back(at, step)}
    if is_done and step == at.step and not going_back and _missing(saga, at) is None:
        forward = go_forward(saga, replace(at, stop_reason=None, timeout_at=at.now + saga.timeout))
        return Reopen(by=by, status=Status.RUNNING, effects=found, then=forward)
    if not is_done and going_back:
        return _reopen_back(saga, at, by, at.stop_reason or StopReason.ORDERED, found)
    if not is_done and step == at.step and saga.step(step).role is not Role.RETRIABLE:
        found = {step: Effect.NOT_DONE}
        return _reopen_back(saga, at, by, at.stop_reason or StopReason.GAVE_UP, found)
    return Resolve(effects=found)
