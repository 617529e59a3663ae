"""A FAILED saga: what went wrong, what is known, and what an operator may do about it."""

from collections.abc import Iterator
from typing import Any

from saga.decide import why_not
from saga.definition import Saga
from saga.outlook import what_follows
from saga.position import RESTING, Intervened, Intervention, Outcome, Status
from saga.row import Row
from saga.task import Effect
from saga.why.wording import because, ledger

# What a person may have to find out, wherever the saga stands.
_DOUBTED = frozenset({Effect.UNKNOWN, Effect.COMPENSATION_FAILED})


def failed(saga: Saga[Any] | None, row: Row) -> Iterator[str]:
    if row.failed_from is Status.RUNNING and row.effect(row.step) is Effect.DONE:
        yield f"{row.step} took effect after all, which came to light since"
    yield f"a person must decide: {row.error_message or 'nobody wrote down about what'}"
    if row.failed_from is Status.COMPENSATING:
        yield f"it was going back {because(saga, row)}"
    elif row.failed_from in RESTING:
        yield f"it had gone back {because(saga, row)}, and was {row.failed_from}"
    if known := ledger(saga, row):
        yield f"known of its steps: {known}"
    if saga is None:
        what = f"{row.saga_type} version {row.definition_version}, step {row.step}"
        yield f"this process does not know {what}, nor what could be done"
        return
    for what in (Intervention.RETRY, Intervention.COMPENSATE):
        reason = why_not(saga, row, what)
        yield (
            f"no {what}: {reason}"
            if reason
            else f"{what}: " + (what_follows(saga, row, Intervened(what=what)))
        )
    yield from _to_resolve(saga, row)


def _to_resolve(saga: Saga[Any], row: Row) -> Iterator[str]:
    """What each finding would lead to: of the step in hand, of those in doubt, of all."""
    for step in [*_to_find_out(saga, row), None]:
        if why_not(saga, row, Intervention.RESOLVE, step) is not None:
            continue
        what = f"resolve {step or 'the whole saga'}"
        done, not_done = (
            what_follows(
                saga, row, Intervened(what=Intervention.RESOLVE, step=step, outcome=outcome)
            )
            for outcome in Outcome
        )
        if done == not_done:
            yield f"{what} as done or not done: {done}"
            continue
        yield f"{what} as done: {done}"
        yield f"{what} as not done: {not_done}"


def _to_find_out(saga: Saga[Any], row: Row) -> Iterator[str]:
    yield row.step
    for step in saga.steps:
        if step.name != row.step and row.effect(step.name) in _DOUBTED:
            yield step.name
