"""Which message may act on a row: ``saga.queries.lock_for`` and ``saga.runtime.admit``."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.unit.exploration.canonical import can_stop
from tests.unit.exploration.model import (
    ACTION,
    COMPENSATING,
    COMPENSATION,
    ORDERED,
    POLL,
    PROBE,
    PROBING,
    RUNNING,
    SECOND_LOOK,
    SLEEP,
    Held,
    Row,
    Small,
    World,
)


class Message(NamedTuple):
    """``of_now``: it carries the row's epoch."""

    kind: str
    step: int
    of_now: bool = True


def place(row: Row) -> str | None:
    """What a message for the row as it stands asks for, if anything."""
    if row.waiting_for in {PROBE, SECOND_LOOK}:
        return PROBING
    return {RUNNING: ACTION, COMPENSATING: COMPENSATION}.get(row.status)


_BETWEEN_CALLS = frozenset({None, POLL, SLEEP})


def admits(small: Small, world: World, message: Message) -> bool:
    """Whether the message may act now."""
    row = world.row
    ours = {
        ACTION: row.status == RUNNING and row.waiting_for in _BETWEEN_CALLS,
        COMPENSATION: row.status == COMPENSATING,
        PROBING: row.waiting_for in {PROBE, SECOND_LOOK},
    }
    if not message.of_now or message.step != row.step or not ours[message.kind]:
        return False
    if row.claimed or row.early or row.paused or world.held == Held.YES:
        return False
    return message.kind != ACTION or not must_stop(small, row)


def must_stop(small: Small, row: Row) -> bool:
    """Whether recovery, not another attempt, has the word."""
    return can_stop(small, row) and (row.stop_reason is not None or row.over_time)


def outdated(small: Small, world: World) -> Iterator[Message]:
    """Messages that were published before and may still come, though never to act."""
    row = world.row
    if world.risen:
        yield from (
            Message(kind, row.step, of_now=False) for kind in (ACTION, COMPENSATION, PROBING)
        )
    if row.status == RUNNING:
        last = row.step if row.waiting_for in _BETWEEN_CALLS else row.step + 1
        yield from (Message(ACTION, step) for step in range(last))
    elif row.status == COMPENSATING:
        last = small.pivot if row.stop_reason != ORDERED else len(small.steps)
        behind = range(row.step + 1, last)
        yield from (Message(COMPENSATION, step) for step in behind if small.is_runnable(step))
