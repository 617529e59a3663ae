"""Decides, with the real ``decide``, and applies, each question once."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from saga.decide import decide
from saga.moves import Dispatch, Move, Pause, Resume, TakeIn, WaitFor
from saga.position import (
    Accepted,
    AttemptFailed,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    Intervened,
    Intervention,
    LateSuccess,
    Outcome,
    Paused,
    PersonNeeded,
    RefusedFinally,
    Signalled,
    Sleeps,
    Succeeded,
    WaitsForSignal,
    WorkerLost,
)
from saga.task import Effect
from tests.unit.exploration.canonical import canonical
from tests.unit.exploration.model import (
    CLOSED,
    DID_NOTHING,
    INTERVENTIONS,
    NEEDED,
    PROBE,
    SECOND_LOOK,
    STANDS,
    WORD,
    Row,
    Small,
)
from tests.unit.exploration.moves import By, apply
from tests.unit.exploration.transitions import keep_in_transition
from tests.unit.positions import NOON

# Longer than the longest wait that a worker holds as a delayed message.
_LONG = timedelta(minutes=2)

EVENTS: Mapping[str, Event] = {
    "succeeded": Succeeded(),
    "accepted": Accepted(after=_LONG),
    "accepted, to be told": Accepted(after=_LONG, signal=WORD),
    "waits": WaitsForSignal(signal=WORD, timeout=_LONG),
    "sleeps": Sleeps(NOON + _LONG),
    "signalled": Signalled(WORD),
    "refused": RefusedFinally(),
    "failed": AttemptFailed(Effect.UNKNOWN),
    "rolled back": AttemptFailed(Effect.NOT_STARTED),
    "try again": AttemptFailed(Effect.NOT_STARTED, _LONG),
    "found": FoundDone(),
    "found nothing": FoundNothing(),
    "no answer": FoundNoAnswer(),
    DID_NOTHING: PersonNeeded(advice="act", effect=Effect.NOT_STARTED),
    STANDS: PersonNeeded(advice="act", effect=Effect.UNKNOWN),
    CLOSED: PersonNeeded(advice="act", effect=Effect.NOT_DONE),
    "lost": WorkerLost(),
    "due": Due(),
}

IN_TIME = "in time"
HELD, LIFTED = "held", "lifted"
"""Recovery marks a saga whose type is paused; or lets it go on, when that is over."""

ERRORS = frozenset({"refused", "failed", "rolled back", "try again", "lost"}) | NEEDED


WHOLE = "whole"


class Settled(NamedTuple):
    """What a settled event left: the row, and what it means for messages and workers.

    ``publishes``: a message for the new place follows. ``moved``: what was published before is for
    another place. ``rose``: the epoch rose. ``stands``: who is between two transactions may go on;
    ``returns``: perhaps later, when the row looks so again. ``heard``: a signal was taken in.
    """

    move: Move
    row: Row
    publishes: bool
    moved: bool
    rose: bool
    stands: bool
    returns: bool
    heard: bool


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
        move = self._move(row, event, about)
        by = By(in_chain=in_chain, error=event in ERRORS)
        after, publishes, rose = apply(self.small, row, move, by)
        if about == IN_TIME:
            # Its time ended while the clock stood already, with that of its type.
            after = after._replace(over_time=False)
        place = (row.status, row.step, row.waiting_for in {PROBE, SECOND_LOOK})
        stands = (after.status, after.step, after.waiting_for in {PROBE, SECOND_LOOK})
        tried = (row.step, row.attempt, row.dispatches) == (
            after.step,
            after.attempt,
            after.dispatches,
        )
        after = canonical(self.small, after)
        settled = Settled(
            move,
            after,
            publishes,
            moved=rose or place != stands,
            rose=rose,
            stands=tried and not rose and place == stands,
            returns=self.small.waits and not rose and place == stands,
            heard=isinstance(move, TakeIn) or (isinstance(move, WaitFor) and publishes),
        )
        keep_in_transition(self.small, row, event, settled)
        return settled

    def _move(self, row: Row, event: str, about: str | int) -> Move:
        if event == HELD:
            return Pause(Paused.TYPE)
        if event == LIFTED:
            return Resume()
        at = self.small.position(row)
        happened: Event
        if event == "late success":
            happened = LateSuccess(self.small.names[int(about)])
        elif event == "late success under an old key":
            happened = LateSuccess(self.small.names[int(about)], under_old_key=True)
        elif event == "found nothing" and not about:
            happened = FoundNothing(asked_at=at.call_ended_at)
        elif event == "succeeded" and about:
            happened = Succeeded(Effect(str(about)))
        elif event in INTERVENTIONS:
            happened = self._intervened(event, str(about))
        else:
            happened = EVENTS[event]
        return decide(self.small.saga, at, happened)

    def _intervened(self, event: str, about: str) -> Intervened:
        """``about`` a step, or the whole saga, and what a person found out of it."""
        if event != Intervention.RESOLVE:
            return Intervened(what=Intervention(event))
        step, outcome = about.split()
        name = None if step == WHOLE else self.small.names[int(step)]
        return Intervened(what=Intervention(event), step=name, outcome=Outcome(outcome))
