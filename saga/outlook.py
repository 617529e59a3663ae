"""What would follow if something happened, in plain words. Asks ``decide``, as everybody does."""

from dataclasses import replace
from typing import Any, assert_never

from saga.decide import decide, settle_after
from saga.definition import Saga
from saga.moves import (
    Advance,
    AskProbe,
    Compensate,
    Complete,
    Dispatch,
    Fail,
    Keep,
    LookAgain,
    Move,
    Note,
    Pause,
    Reopen,
    Resolve,
    Rest,
    Resume,
    Retry,
    Skipped,
    Stop,
    TakeIn,
    WaitFor,
    WaitOn,
)
from saga.position import Event, FoundNothing, Position, Status, Succeeded, WaitingFor
from saga.task import Effect


def what_follows(saga: Saga[Any], at: Position, event: Event) -> str:
    """A clause without a subject of its own: what the saga does when ``event`` happens."""
    return _words(saga, at, decide(saga, at, event))


def _words(  # noqa: PLR0912 - one line a move
    saga: Saga[Any], at: Position, move: Move
) -> str:
    match move:
        case Advance(to, skipped):
            return f"{_skipped(at, skipped)}{to} comes next"
        case Complete(skipped=skipped):
            return f"{_skipped(at, skipped)}the saga is {Status.COMPLETED}"
        case Retry():
            return f"retry {at.attempt} follows"
        case Dispatch(overdue=overdue):
            return f"{_alarmed(overdue=overdue)}{at.step} is sent to the workers again"
        case TakeIn():
            return f"{at.step} is called again"
        case WaitFor():
            return f"{at.step} waits on"
        case WaitOn(overdue=overdue):
            return f"{_alarmed(overdue=overdue)}{at.step} waits on"
        case Reopen():
            return _reopened(saga, at, move)
        case Stop():
            return "it stops after the call in hand"
        case Pause():
            return "nothing is done until it is resumed"
        case Resume():
            return "it goes on"
        case AskProbe():
            return _asked(saga, at, move)
        case Compensate() | Rest() | Fail():
            return _gone_back(saga, at, move)
        case LookAgain():
            return "all stays as it is"
        case Resolve():
            return f"it is written down, and the saga stays {Status.FAILED}"
        case Note() | Keep():
            return "it is written down"
    assert_never(move)


def _skipped(at: Position, skipped: Skipped | None) -> str:
    return f"{at.step} is skipped, and " if skipped else ""


def _alarmed(*, overdue: bool) -> str:
    return "an alarm is raised, and " if overdue else ""


def _reopened(saga: Saga[Any], at: Position, move: Reopen) -> str:
    """A FAILED saga goes on: with the move that follows at once, or with what it stands at."""
    if move.then is not None:
        stands = replace(
            at,
            status=move.status,
            attempt=0,
            stop_reason=move.reason,
            timeout_at=at.now + saga.timeout,
            effects={**at.effects, **move.effects},
        )
        return _words(saga, stands, move.then)
    step = saga.step(at.step)
    if move.status is Status.COMPENSATING:
        runs = step.runnable_compensation.name if step.runnable_compensation else step.name
        return f"{runs} is tried again, with {step.compensation_retry.retries + 1} attempts"
    key = " under a new key" if move.new_key else ""
    return f"{step.name} is tried again{key}, with {step.retry.retries + 1} attempts and fresh time"


def _asked(saga: Saga[Any], at: Position, move: AskProbe) -> str:
    # Its "no" counts once the call that is in doubt has surely ended.
    settled = at.now + settle_after(saga.step(at.step))
    asked = replace(
        at,
        waiting_for=WaitingFor.PROBE,
        claimed=True,
        attempt=1,
        stop_reason=move.reason,
        effects={**at.effects, at.step: Effect.UNKNOWN},
        call_ended_at=at.now,
        now=settled,
    )
    asks = f"{move.probe} asks what became of {at.step}"
    return f"{asks}; if it did not happen, {what_follows(saga, asked, FoundNothing())}"


def _gone_back(saga: Saga[Any], at: Position, move: Move) -> str:
    """Every compensation up to the end, as long as each of them succeeds."""
    runs = []
    while isinstance(move, Compensate):
        step = saga.step(move.step)
        runs.append(step.runnable_compensation.name if step.runnable_compensation else step.name)
        at = replace(
            at,
            status=Status.COMPENSATING,
            step=move.step,
            attempt=1,
            claimed=False,
            waiting_for=None,
            stop_reason=move.reason,
            effects={**at.effects, **move.effects},
        )
        move = decide(saga, at, Succeeded(at.effect(at.step)))
    match move:
        case Rest(status=status):
            end = f"the saga is {status}"
        case Fail(advice=advice):
            end = f"a person must decide: {advice}"
        case _:
            end = _words(saga, at, move)
    return f"{', then '.join(runs)} runs, then {end}" if runs else end
