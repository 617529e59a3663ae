"""Which message may act on a row: ``saga.queries.lock_for`` and ``saga.runtime.admit``."""

from collections.abc import Iterator
from typing import NamedTuple

from saga import Role
from tests.unit.exploration.model import (
    ACTION,
    COMPENSATING,
    COMPENSATION,
    POLL,
    PROBE,
    PROBING,
    RUNNING,
    SECOND_LOOK,
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


def admits(small: Small, row: Row, message: Message) -> bool:
    """Whether the message may act now."""
    ours = {
        ACTION: row.status == RUNNING and row.waiting_for in {None, POLL},
        COMPENSATION: row.status == COMPENSATING,
        PROBING: row.waiting_for in {PROBE, SECOND_LOOK},
    }
    if not message.of_now or message.step != row.step or not ours[message.kind]:
        return False
    if row.claimed or row.early:
        return False
    return message.kind != ACTION or not must_stop(small, row)


def must_stop(small: Small, row: Row) -> bool:
    """Whether recovery, not another attempt, has the word."""
    if small.steps[row.step].role is Role.RETRIABLE or row.waiting_for == POLL:
        return False
    return row.stop_reason is not None or row.over_time


def outdated(small: Small, world: World) -> Iterator[Message]:
    """Messages that were published before and may still come, though never to act."""
    row = world.row
    if world.risen:
        yield from (
            Message(kind, row.step, of_now=False) for kind in (ACTION, COMPENSATION, PROBING)
        )
    if row.status == RUNNING:
        last = row.step if row.waiting_for in {None, POLL} else row.step + 1
        yield from (Message(ACTION, step) for step in range(last))
    elif row.status == COMPENSATING:
        behind = range(row.step + 1, small.pivot)
        yield from (Message(COMPENSATION, step) for step in behind if small.is_runnable(step))
