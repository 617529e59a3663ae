"""A RUNNING saga: a call, a wait of any kind, a doubt, and what each may lead to."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from saga.decide import can_stop, stop_reason
from saga.definition import Role, Saga, Step
from saga.outlook import what_follows
from saga.position import (
    AttemptFailed,
    Due,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    RefusedFinally,
    Signalled,
    StopReason,
    Succeeded,
    WaitingFor,
)
from saga.row import Row
from saga.task import Effect
from saga.why.background import Background
from saga.why.wording import said, when


def running(saga: Saga[Any], row: Row, known: Background) -> Iterator[str]:
    if row.waiting_for is WaitingFor.PROBE:
        yield from _probing(saga, saga.step(row.step), row)
    elif row.claimed:
        yield from _calling(saga, row)
    elif can_stop(saga, row) and row.stop_reason is not None:
        told = "was cancelled" if row.stop_reason is StopReason.CANCELLED else "was told to stop"
        yield f"the saga {told} before {row.step}"
        yield f"then {what_follows(saga, row, Due())}"
    elif row.waiting_for is WaitingFor.SIGNAL:
        yield from _for_signal(saga, row, known)
    else:
        yield from _for_its_turn(saga, row, known)


def _calling(saga: Saga[Any], row: Row) -> Iterator[str]:
    deadline = f"until {when(row, row.claim_deadline)} at the latest"
    if row.waiting_for is WaitingFor.POLL:
        yield f"the other system took {row.step}, and is being asked for its final word, {deadline}"
    else:
        tries = f"attempt {row.attempt} of {saga.step(row.step).retry.retries + 1}"
        yield f"{row.step} is being called, {tries}, {deadline}"
    if can_stop(saga, row):
        if row.stop_reason is StopReason.CANCELLED:
            yield "the saga was cancelled, which counts once this call has ended"
        elif row.stop_reason not in {None, StopReason.TIMEOUT}:
            yield "the saga was told to stop, and does so after this call"
        elif stop_reason(row) is not None:
            yield "the saga's time is over, so that it stops after this call"
    yield from _overdue(saga, row)
    yield from _outcomes(saga, row)


def _for_signal(saga: Saga[Any], row: Row, known: Background) -> Iterator[str]:
    if not row.is_waiting or row.signal is None or row.not_before is None:
        yield f"the signal {row.signal or 'of nobody'} did not come in time"
        yield f"then {what_follows(saga, row, Due())}"
        return
    until = when(row, row.not_before)
    yield f"{row.step} waits for the signal {row.signal}{_since(row, known)}"
    yield f"when it comes, {what_follows(saga, row, Signalled(row.signal))}"
    if can_stop(saga, row) and row.timeout_at < row.not_before:
        over = replace(row, now=max(row.now, row.timeout_at))
        yield f"if it has not come when the saga's time ends at {when(row, row.timeout_at)}, " + (
            what_follows(saga, over, Due())
        )
        return
    yield from _overdue(saga, row)
    over = replace(row, now=row.not_before)
    yield f"if it has not come by {until}, {what_follows(saga, over, Due())}"


def _for_its_turn(saga: Saga[Any], row: Row, known: Background) -> Iterator[str]:
    starts = max(row.now, row.not_before or row.now)
    if can_stop(saga, row) and starts >= row.timeout_at:
        if row.waiting_for in {WaitingFor.POLL, WaitingFor.SLEEP} and starts > row.now:
            yield _turn(saga.step(row.step), row, known)
        yield f"the saga's time ends at {when(row, row.timeout_at)}, before {row.step} is done"
        over = replace(row, now=max(row.now, row.timeout_at))
        yield f"then {what_follows(saga, over, Due())}"
        return
    yield _turn(saga.step(row.step), row, known)
    if row.waiting_for is WaitingFor.POLL and row.polls > 1:
        yield f"it said so {row.polls} times"
    if row.waiting_for is WaitingFor.POLL and row.signal is not None and row.is_waiting:
        sooner = what_follows(saga, row, Signalled(row.signal))
        yield f"if the signal {row.signal} comes sooner, {sooner}"
    if row.attempt and row.error_message:
        yield f"the last error was: {said(row)}"
    yield from _overdue(saga, row)
    yield from _outcomes(saga, replace(row, attempt=row.attempt + 1, now=starts))


def _since(row: Row, known: Background) -> str:
    return "" if known.waits_since is None else f" since {when(row, known.waits_since)}"


def _turn(step: Step[Any], row: Row, known: Background) -> str:
    """What an unclaimed saga waits for before its next attempt."""
    later = row.not_before is not None and row.not_before > row.now
    if row.waiting_for is WaitingFor.POLL:
        asked = f"at {when(row, row.not_before)}" if later else "now"
        return f"the other system took {row.step} and is still at it; it is asked again {asked}"
    if row.waiting_for is WaitingFor.SLEEP and later:
        until = when(row, row.not_before)
        return f"{row.step} has done nothing yet and sleeps{_since(row, known)} until {until}"
    if row.attempt == 0:
        sent = "is with the workers" if row.dispatches else "is about to be sent to the workers"
        return f"{row.step} {sent}"
    # An attempt that was counted before it began is in hand, or died in the hands of its worker.
    number = min(row.attempt, step.retry.retries)
    retry = f"retry {number} of {step.retry.retries} of {row.step}"
    if later:
        return f"waiting for {retry} at {when(row, row.not_before)}"
    return f"{retry} is with the workers"


def _overdue(saga: Saga[Any], row: Row) -> Iterator[str]:
    """What becomes of a saga whose time ends nothing any more."""
    if can_stop(saga, row):
        return
    is_past = saga.step(row.step).role is Role.RETRIABLE
    decides = "past the point of going back" if is_past else "only its final word decides"
    if row.is_over_time:
        yield f"overdue since {when(row, row.timeout_at)}, but {decides}"
    elif row.not_before is not None and row.not_before > row.timeout_at:
        ends = when(row, row.timeout_at)
        yield f"the saga's time ends at {ends}, which raises an alarm and stops nothing"


def _outcomes(saga: Saga[Any], row: Row) -> Iterator[str]:
    """What the attempt in hand may lead to; a first one is likely to end well."""
    step = saga.step(row.step)
    failed = AttemptFailed(Effect.UNKNOWN if step.is_external else row.effect(row.step))
    accepted = row.waiting_for is WaitingFor.POLL
    if row.attempt <= 1 or accepted:
        yield f"if it succeeds, {what_follows(saga, row, Succeeded())}"
    if accepted:
        yield f"if it is refused, {what_follows(saga, row, RefusedFinally())}"
        if row.attempt <= 1:
            return
    stops = can_stop(saga, row) and stop_reason(row) is not None
    last = row.attempt if stops else max(row.attempt, step.retry.retries + 1)
    fails = "if it fails" if row.attempt == last else f"if all {last} attempts fail"
    yield f"{fails}, {what_follows(saga, replace(row, attempt=last), failed)}"


def _probing(saga: Saga[Any], step: Step[Any], row: Row) -> Iterator[str]:
    probe = step.probe.name if step.probe else row.step
    yield f"nobody knows whether {row.step} took effect"
    if row.stop_reason is StopReason.CANCELLED:
        yield "the saga was cancelled"
    if row.error_message:
        yield f"the last error was: {said(row)}"
    yield _asking(probe, row)
    # What is said now counts once nothing can be under way any more.
    settled = replace(row, now=row.now + 2 * (step.timeout + step.probe_for), claimed=True)
    settled = replace(settled, call_ended_at=row.call_ended_at or row.now)
    yield f"if it happened, {what_follows(saga, row, FoundDone())}"
    yield f"if it did not, {what_follows(saga, settled, FoundNothing())}"
    unanswered = what_follows(saga, settled, FoundNoAnswer())
    until = when(row, (row.call_ended_at or row.now) + step.probe_for)
    yield f"if nobody can tell until {until}, {unanswered}"


def _asking(probe: str, row: Row) -> str:
    if row.claimed:
        return f"{probe} is being asked"
    if row.not_before is not None and row.not_before > row.now:
        return f"{probe} is asked at {when(row, row.not_before)}"
    return f"{probe} is asked next"
