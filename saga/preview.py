"""What an order to go back would come to, as ``decide`` has it; nothing is done."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from saga.decide import decide, settle_after, why_not
from saga.definition import Saga, Step
from saga.moves import AskProbe, Compensate, Complete, Fail, Move, Reopen, Rest, Stop
from saga.outlook import what_follows
from saga.position import (
    Event,
    FoundDone,
    FoundNothing,
    Intervened,
    Intervention,
    Outcome,
    Position,
    RefusedFinally,
    Status,
    StopReason,
    Succeeded,
    WaitingFor,
)
from saga.task import Effect, Manual


@dataclass(frozen=True, kw_only=True)
class Run:
    """One step to be taken back: by a worker that runs ``compensation``, or by a person.

    ``effect`` is what is known of the step when its turn comes, ``advice`` what a person is told.
    """

    step: str
    compensation: str | None
    by: Literal["worker", "person"]
    advice: str | None
    effect: Effect


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What ``action`` would do to the saga now: compensate, or cancel where it is RUNNING.

    ``why_not`` says why it may not be done now; then nothing runs. ``runs`` is in order, each as
    long as those before succeed, and holds too what follows once a person has done their part.
    ``ends`` is where the saga comes to without any person: FAILED where one is needed.
    """

    action: Intervention
    why_not: str | None
    runs: tuple[Run, ...] = ()
    ends: Status | None = None
    then: str | None = None


def preview(saga: Saga[Any], at: Position) -> Preview:
    """What would be taken back if an operator had the saga go back now, and in which order."""
    action = Intervention.CANCEL if at.status is Status.RUNNING else Intervention.COMPENSATE
    if (reason := why_not(saga, at, action)) is not None:
        return Preview(action=action, why_not=reason)
    asked = Intervened(what=action)
    move = decide(saga, at, asked)
    if isinstance(move, Stop):
        stopped, event, then = _stopping(saga, at, move.reason)
        runs, ends = _walk(saga, stopped, decide(saga, stopped, event))
    else:
        then = what_follows(saga, at, asked)
        runs, ends = _walk(saga, at, move)
    return Preview(action=action, why_not=None, runs=runs, ends=ends, then=then)


def _stopping(saga: Saga[Any], at: Position, reason: StopReason) -> tuple[Position, Event, str]:
    """The call in hand, or its probe, ends first: how the saga goes back, and what else may be."""
    told = replace(at, stop_reason=reason)
    refused: Event = RefusedFinally()
    if at.waiting_for is WaitingFor.PROBE:
        asked, nothing = _settled(saga, told), FoundNothing()
        happened = what_follows(saga, asked, FoundDone())
        said = f"its probe is asked first; if {at.step} took effect, {happened}"
        return asked, nothing, f"{said}; if not, {what_follows(saga, asked, nothing)}"
    said = f"the call in hand ends first; if it succeeds, {what_follows(saga, told, Succeeded())}"
    if isinstance(decide(saga, told, Succeeded()), Compensate | Rest | Fail):
        # Then the most is taken back.
        return told, Succeeded(), said
    return told, refused, f"{said}; if it is refused, {what_follows(saga, told, refused)}"


def _settled(saga: Saga[Any], at: Position) -> Position:
    """The probe's "no" counts once the call that is in doubt has surely ended."""
    ended = max(at.call_ended_at or at.now, at.now)
    return replace(
        at,
        claimed=True,
        waiting_for=WaitingFor.PROBE,
        call_ended_at=ended,
        now=ended + settle_after(saga.step(at.step)),
    )


def _walk(saga: Saga[Any], at: Position, move: Move) -> tuple[tuple[Run, ...], Status]:
    """All that is to be taken back from here, and where the saga comes to by itself."""
    runs: list[Run] = []
    stopped = False
    while True:
        match move:
            case Reopen(then=then) if then is not None:
                at, move = _reopened(at, move), then
            case AskProbe(reason=reason):
                known = {**at.effects, at.step: Effect.UNKNOWN}
                doubted = replace(at, stop_reason=reason, attempt=1, effects=known)
                at = _settled(saga, doubted)
                move = decide(saga, at, FoundNothing())
            case Compensate():
                at = _turned(at, move)
                runs.append(_run(saga.step(move.step), at, None))
                move = decide(saga, at, Succeeded(at.effect(at.step)))
            case Fail(advice=advice, step=step) if step is not None:
                stopped = True
                at = _parked(at, move, step)
                runs.append(_run(saga.step(step), at, advice))
                done = Intervened(what=Intervention.RESOLVE, step=step, outcome=Outcome.NOT_DONE)
                move = decide(saga, at, done)
            case Rest(status=status):
                return tuple(runs), Status.FAILED if stopped else status
            case Complete():
                return tuple(runs), Status.COMPLETED
            case _:
                return tuple(runs), Status.FAILED


def _reopened(at: Position, move: Reopen) -> Position:
    return replace(
        at,
        status=move.status,
        stop_reason=move.reason,
        effects={**at.effects, **move.effects},
        failed_from=None,
    )


def _turned(at: Position, move: Compensate) -> Position:
    return replace(
        at,
        status=Status.COMPENSATING,
        step=move.step,
        attempt=1,
        claimed=False,
        waiting_for=None,
        stop_reason=move.reason,
        effects={**at.effects, **move.effects},
    )


def _parked(at: Position, move: Fail, step: str) -> Position:
    return replace(
        at,
        status=Status.FAILED,
        step=step,
        claimed=False,
        waiting_for=None,
        stop_reason=move.going_back or at.stop_reason,
        effects={**at.effects, **move.effects},
        failed_from=Status.COMPENSATING,
    )


def _run(step: Step[Any], at: Position, advice: str | None) -> Run:
    """``advice`` is None where a worker does it."""
    work = step.runnable_compensation if advice is None else None
    manual = step.compensation.advice if isinstance(step.compensation, Manual) else advice
    return Run(
        step=step.name,
        compensation=None if work is None else work.name,
        by="worker" if advice is None else "person",
        advice=None if advice is None else manual,
        effect=at.effect(step.name),
    )
