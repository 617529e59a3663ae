"""One saga and all that matters around it, as one small value that can be looked up.

Time is cut into the few classes that ``decide`` and the store can tell apart; epochs into this one
and those before. A message, once published, may be delivered at any time and any number of times,
until it is lost: that is every loss, doubling and change of order at once.
"""

from dataclasses import replace
from datetime import timedelta
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from saga import Saga, Status
from saga.decide import settle_after
from saga.definition import Step
from saga.position import Intervention, Paused, Position, StopReason, WaitingFor
from saga.task import (
    Effect,
    External,
    ExternalCompensation,
    NothingToCompensate,
    TransactionalCompensation,
)
from tests.unit.positions import NOON

_HOUR = timedelta(hours=1)

# Plain strings: they are hashed a hundred million times.
RUNNING, COMPLETED, COMPENSATING, COMPENSATED, TIMEOUT, FAILED = (each.value for each in Status)
NOT_STARTED, DONE, NOT_DONE, UNKNOWN, EFFECT_COMPENSATED, COMPENSATION_FAILED = (
    each.value for each in Effect
)
PROBE, POLL, SIGNAL, SLEEP, SECOND_LOOK = (each.value for each in WaitingFor)
OPEN_EFFECTS = frozenset({DONE, UNKNOWN})
STANDING = OPEN_EFFECTS | {COMPENSATION_FAILED}
BY_SAGA, BY_TYPE, _ = (each.value for each in Paused)
ORDERED, CANCELLED = StopReason.ORDERED.value, StopReason.CANCELLED.value

INTERVENTIONS = frozenset(each.value for each in Intervention)

# The one signal that there is.
WORD = "word"

# What is said with the word that a person must act: of this call, of the order, of the key.
DID_NOTHING, STANDS, CLOSED = (
    f"needs a person: {what}" for what in ("nothing", "stands", "closed")
)
NEEDED = frozenset({DID_NOTHING, STANDS, CLOSED})


class Ended(IntEnum):
    """How long ago the last call ended, at the latest."""

    NEVER = 0
    JUST_NOW = 1
    SETTLED = 2
    """``settle_after`` is over: what the provider does not know by now did not happen."""
    LONG_AGO = 3
    """``probe_for`` is over, too."""


class Books(StrEnum):
    """What truly became of a step at its provider, or in the business tables."""

    NOTHING = "nothing"
    IN_FLIGHT = "in flight"
    """A call was cut off, and the provider may still do it; it has nothing under the key yet."""
    ACCEPTED = "accepted"
    DONE = "done"
    CLOSED = "closed"
    """Refused after it had been accepted: this key never does anything any more."""
    UNDONE = "undone"
    LATE = "late"
    """Done by a worker that had slept beyond every limit, or after the compensation."""


B_NOTHING, B_IN_FLIGHT, B_ACCEPTED, B_DONE, B_CLOSED, B_UNDONE, B_LATE = (
    each.value for each in Books
)


class Row(NamedTuple):
    """The row of ``saga_state``. ``early``: not_before is to come; ``asleep``: so is wake_at.

    ``signal``: the signal may end its wait; ``words``: signals that came and no step took in.
    """

    status: str
    step: int
    attempt: int
    effects: tuple[str, ...]
    claimed: bool = False
    waiting_for: str | None = None
    stop_reason: str | None = None
    ended: int = Ended.NEVER
    over_time: bool = False
    overdue: bool = False
    look_at: int | None = None
    looks: int = 0
    dispatches: int = 0
    early: bool = False
    asleep: bool = False
    failed_from: str | None = None
    signal: bool = False
    words: int = 0
    paused: str | None = None


class Kind(StrEnum):
    """What a message asks for, and a worker does."""

    ACTION = "action"
    COMPENSATION = "compensation"
    PROBE = "probe"


ACTION, COMPENSATION, PROBING = (each.value for each in Kind)


class Worker(NamedTuple):
    """A worker in the middle of something; an idle one is not there.

    ``phase``: calling; or the answer that it has in hand; or, between two transactions of one
    attempt: running, for what is counted, or the failure that it will record. ``live``: its token
    is in the row. ``told``: the effect that its compensation was told; ``polling``: it asks for
    the final word; ``settled``: its probe asked late enough to be believed; ``overslept``: it
    slept so long that nobody reckons with its call; ``counted``: its transaction was;
    ``old_key``: its step was given a new key since. ``stamp``: attempt and dispatches of the row as
    one between two transactions saw it; ``deaf``: a signal was taken in since.
    """

    kind: str
    step: int
    phase: str
    live: bool = True
    told: str = ""
    polling: bool = False
    settled: bool = False
    overslept: bool = False
    counted: bool = False
    old_key: bool = False
    stamp: tuple[int, ...] = ()
    deaf: bool = False


class Held(IntEnum):
    """Whether the saga's type is paused."""

    NO = 0
    YES = 1
    ENDED = 2
    """Resumed, but its sagas do not all go on yet; whoever met the pause may still say so."""


class World(NamedTuple):
    """``published``: a message that may act on the row may come; ``risen``: older epochs were.

    ``signals``, ``acts`` and ``tells``: how many signals may still come, how often an operator may
    still act, and the provider tell from outside what it did. ``cancelled``: one did so, and nobody
    decided anything else since.
    """

    row: Row
    books: tuple[str, ...]
    workers: tuple[Worker, ...] = ()
    published: bool = True
    risen: bool = False
    signals: int = 0
    acts: int = 0
    cancelled: bool = False
    held: int = Held.NO
    tells: int = 0


class Small:
    """A small saga, with what the model asks of its steps again and again.

    ``waits``: its steps may wait and sleep; ``needs``: they may ask for a person, and so may what
    takes them back or asks about them; ``finds``: who asks about them may find them accepted;
    ``operated``: a person may decide about it.
    """

    def __init__(
        self,
        saga: Saga[Any],
        *,
        waits: bool = False,
        needs: bool = False,
        finds: bool = False,
        operated: bool = False,
    ) -> None:
        self.saga = saga
        self.waits = waits
        self.needs = needs
        self.finds = finds
        self.operated = operated
        self.steps = tuple(saga.steps)
        self.names = tuple(step.name for step in saga.steps)
        self.external = tuple(step.is_external for step in saga.steps)
        self.probed = tuple(step.probe is not None for step in saga.steps)
        self.skippable = tuple(step.is_skippable for step in saga.steps)
        self.backs = tuple(step.compensation for step in saga.steps)
        self.pivot = saga.pivot_index
        self.leaves_nothing = tuple(isinstance(back, NothingToCompensate) for back in self.backs)

    @cached_property
    def start(self) -> World:
        """As ``store.insert`` leaves it; the message may be lost at once."""
        nothing = (NOT_STARTED,) * len(self.steps)
        row = Row(status=RUNNING, step=0, attempt=0, effects=nothing, dispatches=1)
        return World(row=row, books=(B_NOTHING,) * len(self.steps))

    def is_call(self, kind: str, step: int) -> bool:
        """Whether it is claimed and calls another system, or is one transaction."""
        if kind == COMPENSATION:
            return isinstance(self.backs[step], ExternalCompensation)
        return kind == PROBING or isinstance(self.steps[step].action, External)

    def is_runnable(self, step: int) -> bool:
        return isinstance(self.backs[step], ExternalCompensation | TransactionalCompensation)

    def position(self, row: Row) -> Position:
        """The row as ``decide`` sees it."""
        step = self.steps[row.step]
        at = Position(
            status=Status(row.status),
            step=step.name,
            attempt=row.attempt,
            effects={
                name: Effect(effect)
                for name, effect in zip(self.names, row.effects, strict=True)
                if effect != NOT_STARTED
            },
            now=NOON,
            timeout_at=NOON if row.over_time else NOON + self.saga.timeout,
            claimed=row.claimed,
            waiting_for=WaitingFor(row.waiting_for) if row.waiting_for else None,
            stop_reason=StopReason(row.stop_reason) if row.stop_reason else None,
            overdue=row.overdue,
            looks=row.looks,
            not_before=NOON + _HOUR if row.early else None,
            signal=WORD if row.signal else None,
            paused=Paused(row.paused) if row.paused else None,
            paused_at=NOON if row.paused else None,
            failed_from=Status(row.failed_from) if row.failed_from else None,
        )
        if row.ended == Ended.NEVER:
            return at
        return replace(at, call_ended_at=NOON - _ago(step, row.ended))


def _ago(step: Step[Any], ended: int) -> timedelta:
    match ended:
        case Ended.JUST_NOW:
            return timedelta(0)
        case Ended.SETTLED:
            return settle_after(step)
    return step.probe_for
