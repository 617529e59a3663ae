"""Where a saga stands and what would happen next, in plain words.

``decide`` is asked about what may happen, so that this page cannot tell another story than the
engine lives.
"""

from collections.abc import Iterator
from typing import Any

from saga.definition import Saga
from saga.position import RESTING, Status
from saga.row import Row
from saga.why.back import compensating, gone_back
from saga.why.background import Background, background
from saga.why.failed import failed
from saga.why.forward import running
from saga.why.paused import as_if_resumed, is_paused, paused
from saga.why.wording import all_done, when

__all__ = ["Background", "background", "is_paused", "why"]


def why(saga: Saga[Any] | None, row: Row, known: Background | None = None) -> str:
    """Tell where the saga stands and what comes next, in one line of clauses.

    ``saga`` is None for an unknown one; ``known`` is what the row alone does not tell.
    """
    return "; ".join(_clauses(saga, row, known or Background()))


def _clauses(saga: Saga[Any] | None, row: Row, known: Background) -> Iterator[str]:
    if saga is not None and row.step not in {step.name for step in saga.steps}:
        saga = None
    if row.status is Status.COMPLETED:
        yield f"completed at {when(row, row.completed_at)}: {all_done(saga, row)}"
    elif row.status is Status.FAILED:
        yield from failed(saga, row)
    elif saga is None:
        yield from _unknown(row)
    elif row.status in RESTING:
        yield from gone_back(saga, row)
    elif is_paused(row):
        yield from paused(row, known)
        first, *others = _at_work(saga, as_if_resumed(row, known), known)
        yield first if row.claimed else f"once it is resumed: {first}"
        yield from others
    else:
        yield from _at_work(saga, row, known)


def _at_work(saga: Saga[Any], row: Row, known: Background) -> Iterator[str]:
    if row.status is Status.COMPENSATING:
        return compensating(saga, row)
    return running(saga, row, known)


def _unknown(row: Row) -> Iterator[str]:
    what = f"{row.saga_type} version {row.definition_version}, step {row.step}"
    if row.status not in {Status.RUNNING, Status.COMPENSATING}:
        yield f"{row.status} since {when(row, row.completed_at)}"
        yield f"this process does not know {what}"
        return
    yield f"{row.status}, but this process does not know {what}"
    if row.unknown_since is None:
        yield "a worker that knows it goes on with it"
    else:
        since = when(row, row.unknown_since)
        yield f"no worker knew it since {since}: deploy its definition, or it will be FAILED"
