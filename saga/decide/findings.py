"""What comes to light: a probe's answer, and the late success of a worker that lost its claim."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, assert_never

from saga import retry
from saga.decide.back import contradiction, go_back
from saga.decide.bounds import can_stop, stop_reason
from saga.decide.forward import go_forward, waiting
from saga.definition import Role, Saga, Step
from saga.moves import AskProbe, Fail, LookAgain, Move, Note, Retry
from saga.position import (
    Accepted,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    PersonNeeded,
    Position,
    Status,
    StopReason,
    WaitingFor,
)
from saga.task import Effect

# How long after a call's timeout its provider may still be at it, unless the step says otherwise.
SETTLE_SLACK = timedelta(seconds=30)


def settle_after(step: Step[Any]) -> timedelta:
    """How long after its last call a provider's "did not happen" is believed."""
    return step.timeout + SETTLE_SLACK if step.settle_after is None else step.settle_after


def found(
    saga: Saga[Any], at: Position, event: FoundDone | FoundNothing | FoundNoAnswer, jitter: float
) -> Move:
    step = saga.step(at.step)
    if at.waiting_for is WaitingFor.SECOND_LOOK:
        if isinstance(event, FoundDone):
            return Fail(advice=contradiction(step.name), effects={step.name: Effect.DONE})
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
            # Whoever gave up was wrong; a saga that must not go on goes back all the same.
            must_stop = reason in {StopReason.TIMEOUT, StopReason.CANCELLED}
            return go_forward(saga, at if must_stop else replace(at, stop_reason=None))
        case FoundNothing() if asked_at >= ended + settle_after(step):
            if step.role is Role.PIVOT:
                return go_back(saga, at, reason, {step.name: Effect.NOT_DONE}, look_at=step.name)
            # Believed or not, what can be compensated is compensated.
            return go_back(saga, at, reason, {step.name: Effect.UNKNOWN})
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
            return go_back(saga, at, reason, {step.name: known})
    assert_never(event)


def accepted(saga: Saga[Any], at: Position, said: Accepted, jitter: float) -> Move:
    """A probe's word that the order stands, and is not final: wait, as if its step had said so."""
    # Whoever gave up was wrong, and time does not end what was accepted. A person's word stays.
    reason = at.stop_reason if at.stop_reason is StopReason.CANCELLED else None
    waits = replace(at, waiting_for=WaitingFor.POLL, stop_reason=reason)
    must_stop = can_stop(saga, waits) and stop_reason(waits) is not None
    is_known = at.effect(at.step) is Effect.DONE  # a late success contradicts it
    if at.waiting_for is WaitingFor.SECOND_LOOK or must_stop or is_known:
        return found(saga, at, FoundNoAnswer(), jitter)
    return replace(waiting(saga, waits, said), reason=reason)


def needs_person(saga: Saga[Any], at: Position, said: PersonNeeded, jitter: float) -> Move:
    """A probe's word that a person must act: about a step in doubt, or at a second look."""
    known, is_final = at.effect(at.step), said.effect is Effect.NOT_DONE
    if at.waiting_for is WaitingFor.SECOND_LOOK:
        # Only the final word tells of the order; "not started" tells of this call alone.
        return found(saga, at, FoundNothing() if is_final else FoundNoAnswer(), jitter)
    if not is_final:
        return Fail(advice=said.advice, effects={at.step: known})
    if known is Effect.DONE:
        return found(saga, at, FoundNoAnswer(), jitter)  # a late success contradicts it
    # The key is closed: whatever is still under way with it does nothing any more.
    reason = at.stop_reason or StopReason.GAVE_UP
    is_pivot = saga.step(at.step).role is Role.PIVOT
    # Believed or not, what can be compensated is compensated.
    return go_back(saga, at, reason, {at.step: Effect.NOT_DONE if is_pivot else Effect.UNKNOWN})


# Not started: an outsider knows better than a step that said it did nothing.
_WENT_BACK = frozenset({Effect.COMPENSATED, Effect.NOT_DONE, Effect.NOT_STARTED})


def late_success(at: Position, step: str, *, under_old_key: bool = False) -> Move:
    effect = at.effect(step)
    if under_old_key:
        return _twice(at, step)
    if effect is Effect.DONE:
        return Note()
    if _went_past(at, step, effect):
        # It was skipped: its saga bears that it took effect as well as that it did not.
        return Note(effects={step: Effect.DONE})
    went_forward = at.status is Status.RUNNING or at.failed_from is Status.RUNNING
    if effect in _WENT_BACK and not went_forward:
        if at.status is Status.COMPENSATING and at.claimed:
            # A compensation is at work: it settles first, then sees the contradiction.
            return Note(effects={step: Effect.DONE}, alarm=contradiction(step))
        return Fail(advice=contradiction(step), effects={step: Effect.DONE})
    if at.status is Status.COMPENSATING and effect is Effect.UNKNOWN:
        return Note(effects={step: Effect.DONE})
    if at.status is Status.FAILED:
        return Note(effects={step: Effect.DONE}, alarm=f"{step} took effect after all")
    if at.waiting_for is WaitingFor.PROBE:
        # The probe may be on its way back with an answer that is older than this.
        return Note(effects={step: Effect.DONE})
    if step == at.step and effect is not Effect.UNKNOWN:
        return Note(effects={step: Effect.UNKNOWN})
    # The next attempt, with the same key, will find it.
    return Note()


def _went_past(at: Position, step: str, effect: Effect) -> bool:
    """Whether the saga went forward over the step, although that was not known to be done."""
    if at.status is Status.COMPLETED:
        return True
    past = at.status is Status.RUNNING and step != at.step
    return past and effect in {Effect.NOT_DONE, Effect.UNKNOWN}


def _twice(at: Position, step: str) -> Move:
    """It happened under a key that was given up: under its new one it may happen once more."""
    advice = (
        f"{step} took effect under an earlier key after all, and may have under its new one, too: "
        "find out at the other system, and take back what is too much"
    )
    if at.claimed or at.status not in {Status.RUNNING, Status.COMPENSATING}:
        return Note(alarm=advice)
    return Fail(advice=advice, effects={step: Effect.DONE})
