"""A saga that goes back, or went back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from saga.definition import Saga
from saga.outlook import what_follows
from saga.position import AttemptFailed, FoundDone, Succeeded, WaitingFor
from saga.row import Row
from saga.task import Effect
from saga.why.wording import because, said, when


def compensating(saga: Saga[Any], row: Row) -> Iterator[str]:
    step = saga.step(row.step)
    policy = step.compensation_retry
    runs = step.runnable_compensation.name if step.runnable_compensation else row.step
    yield f"going back {because(saga, row)}"
    if row.claimed:
        yield f"{runs} is at work, until {when(row, row.claim_deadline)} at the latest"
    elif row.not_before is not None and row.not_before > row.now:
        retry = f"retry {row.attempt} of {policy.retries} of {runs}"
        yield f"waiting for {retry} at {when(row, row.not_before)}"
    else:
        yield f"{runs} is with the workers"
    if row.error_message:
        yield f"the last error was: {said(row)}"
    done = replace(row, claimed=False, attempt=max(row.attempt, 1))
    yield f"once it is done, {what_follows(saga, done, Succeeded(row.effect(row.step)))}"
    last = replace(done, attempt=policy.retries + 1)
    failed = AttemptFailed(row.effect(row.step))
    yield f"if all {policy.retries + 1} attempts fail, {what_follows(saga, last, failed)}"


def gone_back(saga: Saga[Any], row: Row) -> Iterator[str]:
    yield f"went back {because(saga, row)}, ended {row.status} at {when(row, row.completed_at)}"
    if row.error_message:
        yield f"the last error was: {said(row)}"
    taken = _those(saga, row, Effect.COMPENSATED)
    yield f"compensated: {taken}" if taken else "there was nothing to compensate"
    if nothing := _those(saga, row, Effect.NOT_DONE):
        yield f"not done: {nothing}"
    if row.waiting_for is WaitingFor.SECOND_LOOK:
        step = saga.step(row.step)
        probe = step.probe.name if step.probe else row.step
        paused = f", or later, for its {row.pause} is paused" if row.pause else ""
        yield f"to be sure, {probe} is asked again at {when(row, row.wake_at)}{paused}"
        yield f"if {row.step} took effect after all, {what_follows(saga, row, FoundDone())}"


def _those(saga: Saga[Any], row: Row, effect: Effect) -> str:
    return ", ".join(step.name for step in saga.steps if row.effect(step.name) is effect)
