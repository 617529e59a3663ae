"""Decides, with the real ``decide``, and applies, each question once."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from saga.decide import decide
from saga.moves import (
    Dispatch,
    Move,
)
from saga.position import (
    Accepted,
    AttemptFailed,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    LateSuccess,
    RefusedFinally,
    Succeeded,
    WorkerLost,
)
from saga.task import Effect
from tests.unit.exploration import promises
from tests.unit.exploration.model import (
    PROBE,
    SECOND_LOOK,
    Row,
    Small,
)
from tests.unit.exploration.moves import By, apply, canonical

# Longer than the longest wait that a worker holds as a delayed message.
_LONG = timedelta(minutes=2)

EVENTS: Mapping[str, Event] = {
    "succeeded": Succeeded(),
    "accepted": Accepted(after=_LONG),
    "refused": RefusedFinally(),
    "failed": AttemptFailed(Effect.UNKNOWN),
    "rolled back": AttemptFailed(Effect.NOT_STARTED),
    "try again": AttemptFailed(Effect.NOT_STARTED, _LONG),
    "found": FoundDone(),
    "found nothing": FoundNothing(),
    "no answer": FoundNoAnswer(),
    "lost": WorkerLost(),
    "due": Due(),
}

ERRORS = frozenset({"refused", "failed", "rolled back", "try again", "lost"})


class Settled(NamedTuple):
    """What a settled event left: the row, and what it means for messages and workers.

    ``publishes``: a message for the new place follows. ``moved``: what was published before is for
    another place. ``rose``: the epoch rose.
    """

    move: Move
    row: Row
    publishes: bool
    moved: bool
    rose: bool


Question: TypeAlias = tuple[Row, str, str | int, bool]
"""A row, what happened, about what, and whether it happened in a chain."""


class Settlement:
    """Decides and applies, each question once."""

    def __init__(self, small: Small) -> None:
        self.small = small
        self.known: dict[Question, Settled] = {}

    def settle(self, row: Row, event: str, about: str | int = "", *, in_chain: bool) -> Settled:
        """``about``: the effect that a compensation was told, the step that succeeded late, or
        that a probe was asked after the provider's time to settle."""
        question = (row, event, about, in_chain)
        known = self.known.get(question)
        if known is None:
            known = self.known[question] = self._settle(row, event, about, in_chain=in_chain)
        return known

    def give_up(self, row: Row) -> Settled | None:
        """What a transaction whose worker died comes to; None when it may be tried again."""
        move = decide(self.small.saga, self.small.position(row), WorkerLost())
        return None if isinstance(move, Dispatch) else self.settle(row, "lost", in_chain=False)

    def _settle(self, row: Row, event: str, about: str | int, *, in_chain: bool) -> Settled:
        at = self.small.position(row)
        if event == "late success":
            happened: Event = LateSuccess(self.small.names[int(about)])
        elif event == "found nothing" and not about:
            happened = FoundNothing(asked_at=at.call_ended_at)
        elif event == "succeeded" and about:
            happened = Succeeded(Effect(about))
        else:
            happened = EVENTS[event]
        move = decide(self.small.saga, at, happened)
        by = By(in_chain=in_chain, error=event in ERRORS)
        after, publishes, rose = apply(self.small, row, move, by)
        place = (row.status, row.step, row.waiting_for in {PROBE, SECOND_LOOK})
        stands = (after.status, after.step, after.waiting_for in {PROBE, SECOND_LOOK})
        after = canonical(self.small, after)
        settled = Settled(move, after, publishes, moved=rose or place != stands, rose=rose)
        promises.keep_in_transition(self.small, row, event, settled)
        return settled
