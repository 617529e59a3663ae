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
    CLOSED,
    COMPENSATION,
    DID_NOTHING,
    PROBING,
    STANDS,
    Worker,
)

TOLD = "accepted, to be told"
"""It took the order, and a signal may end the wait for its final word."""
WAITS, SLEEPS = "waits", "sleeps"

IN_HAND = frozenset({"succeeded", "accepted", TOLD, WAITS, STANDS, "found nothing"})
"""What a worker may keep in hand for a while before it settles: then it means something else."""


def answers(
    worker: Worker, truth: str, *, asks: bool, waits: bool, needs: bool, finds: bool
) -> Iterator[tuple[str, str]]:
    """Each answer that there can be, with what is true after it.

    ``asks``: the step has a probe; ``waits``: it may wait for a signal, and sleep; ``needs``: it
    may ask for a person; ``finds``: its probe may find the order accepted.
    """
    if needs:
        yield from _person(worker, truth)
    if worker.kind == PROBING:
        yield from _probe(truth)
        if finds and truth == B_ACCEPTED:
            yield (TOLD if waits else "accepted"), truth
    elif worker.kind == COMPENSATION:
        yield from _compensation(truth)
    else:
        yield from _provider(worker, truth, asks=asks, waits=waits)


def _person(worker: Worker, truth: str) -> Iterator[tuple[str, str]]:
    """That a person must act may be said at any time; that the key is closed, where it is true."""
    yield DID_NOTHING, truth
    if worker.kind == PROBING:
        yield STANDS, truth
        if truth == B_CLOSED:
            yield CLOSED, truth
    elif worker.kind != COMPENSATION:
        fresh = not worker.overslept and not worker.old_key
        if truth == B_ACCEPTED or (fresh and truth in {B_NOTHING, B_IN_FLIGHT}):
            yield STANDS, B_ACCEPTED
            yield CLOSED, B_CLOSED
        elif truth == B_CLOSED:
            yield CLOSED, truth


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


def _provider(worker: Worker, truth: str, *, asks: bool, waits: bool) -> Iterator[tuple[str, str]]:
    """A provider that knows its keys: at worst slow, silent, or misleading about a second call.

    Its final word about what it accepted is true where no probe ``asks`` it once more.
    """
    order = (TOLD, WAITS) if waits else ("accepted",)
    yield "failed", truth
    yield "try again", truth
    if waits and truth in {B_NOTHING, B_IN_FLIGHT, B_ACCEPTED}:
        yield SLEEPS, truth
    if truth in {B_NOTHING, B_UNDONE, B_IN_FLIGHT}:
        is_late = worker.overslept or worker.old_key or truth == B_UNDONE
        done = B_LATE if is_late else B_DONE
        yield "succeeded", done
        yield "failed", done
        yield "refused", truth
        if not is_late:
            yield from ((answer, B_ACCEPTED) for answer in order)
            yield "failed", B_IN_FLIGHT
    elif truth == B_ACCEPTED:
        yield from ((answer, truth) for answer in order)
        yield "succeeded", B_DONE
        yield "failed", B_DONE
        yield "refused", B_CLOSED
    elif truth == B_CLOSED:
        yield "refused", truth
    else:
        yield "succeeded", truth
        if asks or not worker.polling:
            yield "refused", truth
