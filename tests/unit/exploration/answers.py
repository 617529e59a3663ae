"""What another system may do with a call and answer to it."""

from collections.abc import Iterator

from tests.unit.exploration.model import (
    B_ACCEPTED,
    B_CLOSED,
    B_DONE,
    B_IN_FLIGHT,
    B_LATE,
    B_NOTHING,
    B_UNDONE,
    COMPENSATION,
    PROBING,
    Worker,
)


def answers(worker: Worker, truth: str, *, asks: bool) -> Iterator[tuple[str, str]]:
    """Each answer that there can be, with what is true after it. ``asks``: the step has a probe."""
    if worker.kind == PROBING:
        return _probe(truth)
    if worker.kind == COMPENSATION:
        return _compensation(truth)
    return _provider(worker, truth, asks=asks)


def _probe(truth: str) -> Iterator[tuple[str, str]]:
    yield "no answer", truth
    if truth in {B_DONE, B_LATE}:
        yield "found", truth
    elif truth != B_ACCEPTED:
        yield "found nothing", truth


def _compensation(truth: str) -> Iterator[tuple[str, str]]:
    """It bears what happened and what did not, and stops what is under way."""
    yield "succeeded", B_UNDONE
    yield "failed", B_UNDONE
    if truth != B_UNDONE:
        yield "failed", truth
    yield "try again", truth
    yield "refused", truth


def _provider(worker: Worker, truth: str, *, asks: bool) -> Iterator[tuple[str, str]]:
    """A provider that knows its keys: at worst slow, silent, or misleading about a second call.

    Its final word about what it accepted is true where no probe ``asks`` it once more.
    """
    yield "failed", truth
    yield "try again", truth
    if truth in {B_NOTHING, B_UNDONE, B_IN_FLIGHT}:
        is_late = worker.overslept or truth == B_UNDONE
        done = B_LATE if is_late else B_DONE
        yield "succeeded", done
        yield "failed", done
        yield "refused", truth
        if not is_late:
            yield "accepted", B_ACCEPTED
            yield "failed", B_IN_FLIGHT
    elif truth == B_ACCEPTED:
        yield "accepted", truth
        yield "succeeded", B_DONE
        yield "failed", B_DONE
        yield "refused", B_CLOSED
    elif truth == B_CLOSED:
        yield "refused", truth
    else:
        yield "succeeded", truth
        if asks or not worker.polling:
            yield "refused", truth
