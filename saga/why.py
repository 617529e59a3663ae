"""Where a saga stands and what would happen next, in plain words.

``decide`` is asked about what may happen, so that this page cannot tell another story than the
engine lives.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from saga.definition import Role, Saga, Step
from saga.outlook import what_follows
from saga.position import (
    AttemptFailed,
    Due,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    RefusedFinally,
    Status,
    StopReason,
    Succeeded,
    WaitingFor,
)
from saga.row import Row
from saga.task import Effect

_REASONS = {
    StopReason.REFUSED: "was refused",
    StopReason.GAVE_UP: "did not succeed",
    StopReason.TIMEOUT: "was not done in time",
    StopReason.CANCELLED: "was cancelled",
    StopReason.ORDERED: "is to be taken back, as a person decided",
}


def why(saga: Saga[Any] | None, row: Row) -> str:
    """Tell where the saga stands and what comes next; ``saga`` is None for an unknown one."""
    return "; ".join(_clauses(saga, row))


def _clauses(saga: Saga[Any] | None, row: Row) -> Iterator[str]:
    if row.status is Status.COMPLETED:
        yield f"completed at {_when(row, row.completed_at)}: every step is done"
    elif row.status is Status.FAILED:
        yield f"a person must decide: {row.error_message}"
    elif saga is None or row.step not in {step.name for step in saga.steps}:
        yield from _unknown(row)
    elif row.status is Status.RUNNING:
        yield from _running(saga, row)
    elif row.status is Status.COMPENSATING:
        yield from _compensating(saga, row)
    else:
        yield from _gone_back(saga, row)


def _when(row: Row, instant: datetime | None) -> str:
    if instant is None:
        return "an unknown time"
    same_day = instant.astimezone(UTC).date() == row.now.astimezone(UTC).date()
    form = "%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S"
    return f"{instant.astimezone(UTC).strftime(form)} UTC"


def _said(row: Row) -> str:
    """The last error without the engine's own words around it."""
    return (row.error_message or "").removeprefix("Refused: ").removeprefix("TryAgain: ")


def _unknown(row: Row) -> Iterator[str]:
    what = f"{row.saga_type} version {row.definition_version}, step {row.step}"
    if row.status not in {Status.RUNNING, Status.COMPENSATING}:
        yield f"{row.status} since {_when(row, row.completed_at)}"
        yield f"this process does not know {what}"
        return
    yield f"{row.status}, but this process does not know {what}"
    if row.unknown_since is None:
        yield "a worker that knows it goes on with it"
    else:
        since = _when(row, row.unknown_since)
        yield f"no worker knew it since {since}: deploy its definition, or it will be FAILED"


def _running(saga: Saga[Any], row: Row) -> Iterator[str]:
    step = saga.step(row.step)
    if row.waiting_for is WaitingFor.PROBE:
        yield from _probing(saga, step, row)
        return
    starts = max(row.now, row.not_before or row.now)
    bound = step.role is not Role.RETRIABLE and row.waiting_for is not WaitingFor.POLL
    if row.claimed:
        tries = f"attempt {row.attempt} of {step.retry.retries + 1}"
        deadline = _when(row, row.claim_deadline)
        yield f"{row.step} is being called, {tries}, until {deadline} at the latest"
        if row.stop_reason is not None and row.stop_reason is not StopReason.TIMEOUT:
            yield "the saga was told to stop, and does so after this call"
        elif bound and (row.is_over_time or row.stop_reason is not None):
            yield "the saga's time is over, so that it stops after this call"
        yield from _outcomes(saga, row)
        return
    if bound and (row.stop_reason is not None or starts >= row.timeout_at):
        if row.stop_reason is not None:
            yield f"the saga was told to stop before {row.step}"
        else:
            yield f"the saga's time ends at {_when(row, row.timeout_at)}, before {row.step} is done"
        over = replace(row, now=max(row.now, row.timeout_at))
        yield f"then {what_follows(saga, over, Due())}"
        return
    yield _turn(step, row)
    if row.attempt and row.error_message:
        yield f"the last error was: {_said(row)}"
    if row.overdue:
        yield f"overdue since {_when(row, row.timeout_at)}, but past the point of going back"
    yield from _outcomes(saga, replace(row, attempt=row.attempt + 1, now=starts))


def _turn(step: Step[Any], row: Row) -> str:
    """What an unclaimed saga waits for before its next attempt."""
    later = row.not_before is not None and row.not_before > row.now
    if row.waiting_for is WaitingFor.POLL:
        asked = f"at {_when(row, row.not_before)}" if later else "now"
        return f"the other system took {row.step} and is still at it; it is asked again {asked}"
    if row.attempt == 0:
        sent = "is with the workers" if row.dispatches else "is about to be sent to the workers"
        return f"{row.step} {sent}"
    # An attempt that was counted before it began is in hand, or died in the hands of its worker.
    number = min(row.attempt, step.retry.retries)
    retry = f"retry {number} of {step.retry.retries} of {row.step}"
    if later:
        return f"waiting for {retry} at {_when(row, row.not_before)}"
    return f"{retry} is with the workers"


def _outcomes(saga: Saga[Any], row: Row) -> Iterator[str]:
    """What the attempt in hand may lead to; a first one is likely to end well."""
    step = saga.step(row.step)
    failed = AttemptFailed(Effect.UNKNOWN if step.is_external else row.effect(row.step))
    if row.attempt <= 1 or row.waiting_for is WaitingFor.POLL:
        yield f"if it succeeds, {what_follows(saga, row, Succeeded())}"
    if row.waiting_for is WaitingFor.POLL:
        yield f"if it is refused, {what_follows(saga, row, RefusedFinally())}"
        return
    last = max(row.attempt, step.retry.retries + 1)
    fails = "if it fails" if row.attempt == last else f"if all {last} attempts fail"
    yield f"{fails}, {what_follows(saga, replace(row, attempt=last), failed)}"


def _probing(saga: Saga[Any], step: Step[Any], row: Row) -> Iterator[str]:
    probe = step.probe.name if step.probe else row.step
    yield f"nobody knows whether {row.step} took effect"
    if row.error_message:
        yield f"the last error was: {_said(row)}"
    yield _asking(probe, row)
    # What is said now counts once nothing can be under way any more.
    settled = replace(row, now=row.now + 2 * (step.timeout + step.probe_for), claimed=True)
    settled = replace(settled, call_ended_at=row.call_ended_at or row.now)
    yield f"if it happened, {what_follows(saga, row, FoundDone())}"
    yield f"if it did not, {what_follows(saga, settled, FoundNothing())}"
    unanswered = what_follows(saga, settled, FoundNoAnswer())
    until = _when(row, (row.call_ended_at or row.now) + step.probe_for)
    yield f"if nobody can tell until {until}, {unanswered}"


def _asking(probe: str, row: Row) -> str:
    if row.claimed:
        return f"{probe} is being asked"
    if row.not_before is not None and row.not_before > row.now:
        return f"{probe} is asked at {_when(row, row.not_before)}"
    return f"{probe} is asked next"


def _turned_at(saga: Saga[Any], row: Row) -> str:
    """The step that the saga did not get past: the last that anything is known of."""
    known = [step.name for step in saga.steps if step.name in row.effects]
    return known[-1] if known else row.step


def _because(saga: Saga[Any], row: Row) -> str:
    reason = _REASONS[row.stop_reason or StopReason.GAVE_UP]
    return f"because {_turned_at(saga, row)} {reason}"


def _compensating(saga: Saga[Any], row: Row) -> Iterator[str]:
    step = saga.step(row.step)
    policy = step.compensation_retry
    runs = step.runnable_compensation.name if step.runnable_compensation else row.step
    yield f"going back {_because(saga, row)}"
    if row.claimed:
        yield f"{runs} is at work, until {_when(row, row.claim_deadline)} at the latest"
    elif row.not_before is not None and row.not_before > row.now:
        retry = f"retry {row.attempt} of {policy.retries} of {runs}"
        yield f"waiting for {retry} at {_when(row, row.not_before)}"
    else:
        yield f"{runs} is with the workers"
    if row.error_message:
        yield f"the last error was: {_said(row)}"
    done = replace(row, claimed=False, attempt=max(row.attempt, 1))
    yield f"once it is done, {what_follows(saga, done, Succeeded(row.effect(row.step)))}"
    last = replace(done, attempt=policy.retries + 1)
    failed = AttemptFailed(row.effect(row.step))
    yield f"if all {policy.retries + 1} attempts fail, {what_follows(saga, last, failed)}"


def _gone_back(saga: Saga[Any], row: Row) -> Iterator[str]:
    yield f"went back {_because(saga, row)}, ended {row.status} at {_when(row, row.completed_at)}"
    if row.error_message:
        yield f"the last error was: {_said(row)}"
    taken = [step.name for step in saga.steps if row.effect(step.name) is Effect.COMPENSATED]
    yield f"compensated: {', '.join(taken)}" if taken else "there was nothing to compensate"
    if row.waiting_for is WaitingFor.SECOND_LOOK:
        step = saga.step(row.step)
        probe = step.probe.name if step.probe else row.step
        yield f"to be sure, {probe} is asked again at {_when(row, row.wake_at)}"
        yield f"if {row.step} took effect after all, {what_follows(saga, row, FoundDone())}"
