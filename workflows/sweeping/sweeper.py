"""Looks through all places for what nobody owns, tells of it, and removes it when told to.

Any number of passes may run at once, and none holds a transaction open while a place is asked. One
place that is away does not keep the others from being looked through.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from saga import Engine
from saga.database import is_away
from settings import settings
from workflows.sweeping import alarms, ownership
from workflows.sweeping.judgement import (
    ADVICE,
    NOBODY,
    Facts,
    Kind,
    Thing,
    Verdict,
    judge,
    why,
)
from workflows.sweeping.source import Inventory, NotSetUp, Source, SourceAway, batches
from workflows.sweeping.sources import INVENTORIES, SOURCES

log = structlog.get_logger("saga")

SWEEP = "sweeping.sweep"
GRACE = timedelta(seconds=settings.sweep_grace_seconds)
"""How long a thing without an owner is left alone, unless told otherwise: it may be arriving."""
# A pass by beat: it takes one of the workers' processes, which is then not there for sagas.
_WITHIN = timedelta(minutes=5)
LIMIT = timedelta(minutes=7)
# A place that is away costs a time-out with each removal: a few say enough.
_IN_VAIN = 3
TOLD_OF = frozenset({Verdict.ORPHAN, Verdict.STRAY, Verdict.FOREIGN, Verdict.MISSING})
"""The verdicts that people are told of."""
_ALARMING = frozenset({Verdict.ORPHAN, Verdict.STRAY, Verdict.MISSING})


class Removal(StrEnum):
    """What came of removing an orphan."""

    NOT_ASKED = "not_asked"
    REMOVED = "removed"
    FAILED = "failed"
    OWNED_NOW = "owned_now"
    """Somebody came to own it since it was found: it was kept."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A thing that nobody owns, or that is missing, and why; ``fault`` is why it is still there."""

    thing: Thing
    verdict: Verdict
    why: str
    removal: Removal = Removal.NOT_ASKED
    fault: str | None = None

    @property
    def advice(self) -> str:
        """What to do about it."""
        match self.removal:
            case Removal.REMOVED:
                return "nothing: it was removed"
            case Removal.OWNED_NOW:
                return "nothing: it was kept, somebody owns it now"
            case Removal.FAILED:
                return f"try again: {self.fault}"
            case Removal.NOT_ASKED:
                return ADVICE[self.verdict]


@dataclass
class Swept:
    """What one pass came to, in things. ``whole`` are the places that were looked through.

    ``not_set_up`` says of those that this installation does not have what to set, ``faults`` of
    the others why not; a place that is in none of them was not reached in time.
    """

    seen: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    removals: Counter[Removal] = field(default_factory=Counter)
    whole: set[Kind] = field(default_factory=set)
    faults: dict[Kind, str] = field(default_factory=dict)
    not_set_up: dict[Kind, str] = field(default_factory=dict)


class Sweeper:
    """Sweeps the places of an engine's sagas. ``clock`` gives the time of now, aware."""

    def __init__(
        self,
        engine: Engine,
        *,
        sources: Sequence[Source] | None = None,
        inventories: Sequence[Inventory] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = engine.database
        self._sources = [make() for make in SOURCES] if sources is None else sources
        self._inventories = [make() for make in INVENTORIES] if inventories is None else inventories
        self._clock = clock

    def run(
        self,
        *,
        grace: timedelta,
        remove: bool = False,
        strays: bool = False,
        within: timedelta | None = None,
        tell: Callable[[list[Finding]], None] = lambda _: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> Swept:
        """Look through all places; what is told of is older than ``grace``, or missing.

        ``remove`` removes the orphans, with ``strays`` those, too. ``tell`` has the findings of
        each batch. Begins no batch when ``within`` is over. Raises what the database raises when
        it is away.
        """
        removable = {Verdict.ORPHAN, *([Verdict.STRAY] if strays else [])} if remove else set()
        ends_at = None if within is None else timer() + within.total_seconds()
        swept = Swept()

        def is_time_over() -> bool:
            return ends_at is not None and timer() >= ends_at

        def add(found: list[Finding]) -> None:
            swept.verdicts.update(finding.verdict for finding in found)
            swept.removals.update(finding.removal for finding in found)
            told = [finding for finding in found if finding.verdict in TOLD_OF]
            if told:
                tell(told)

        for source in self._sources:
            vain: list[str] = []
            with _place(swept, source.kind):
                for batch in batches(source.things()):
                    if is_time_over():
                        return swept
                    swept.seen += len(batch)
                    found = self._judge(source, batch, grace)
                    add(
                        [
                            self._remove(source, one, grace, vain)
                            if one.verdict in removable
                            else one
                            for one in found
                        ]
                    )
                swept.whole.add(source.kind)
        for inventory in self._inventories:
            with _place(swept, inventory.kind):
                for lost in inventory.missing(self._database):
                    if is_time_over():
                        return swept
                    add([_finding(thing, NOBODY, Verdict.MISSING) for thing in lost])
                swept.whole.add(inventory.kind)
        return swept

    def scan(self, *, grace: timedelta = GRACE) -> Swept:
        """Do what beat asks for: a pass that removes nothing and ends within LIMIT.

        A person is called once for each orphan and each missing object. A database that is away is
        only logged.
        """
        swept = Swept()
        try:
            with Session(self._database) as session, session.begin():
                started = alarms.now(session)
            swept = self.run(grace=grace, within=_WITHIN, tell=self._alarm)
            with Session(self._database) as session, session.begin():
                for kind in swept.whole:
                    alarms.forget(session, kind, unseen_since=started)
        except DBAPIError as error:
            if not is_away(error):
                raise
            log.warning("database away, the next pass tries again", why=type(error).__name__)
        else:
            self._log(swept)
        return swept

    def _judge(self, source: Source, things: Sequence[Thing], grace: timedelta) -> list[Finding]:
        now, grace = self._clock(), max(grace, source.shortest_grace)
        with Session(self._database) as session, session.begin():
            # Sagas first: one that goes on to rest meanwhile has made its record before that.
            ids = {thing.saga_id for thing in things if thing.saga_id is not None}
            statuses = ownership.statuses(session, ids)
            on_record = source.on_record(session, things)
        found = []
        for thing in things:
            status = None if thing.saga_id is None else statuses.get(thing.saga_id)
            facts = Facts(status=status, has_record=thing.name in on_record)
            found.append(_finding(thing, facts, judge(thing, facts, now=now, grace=grace)))
        return found

    def _remove(
        self, source: Source, finding: Finding, grace: timedelta, vain: list[str]
    ) -> Finding:
        """Remove what nobody owns; ``vain`` has what the last removals ended with, if an error."""
        if len(vain) >= _IN_VAIN:
            return replace(finding, removal=Removal.FAILED, fault=vain[-1])
        # Since it was listed a saga may have started with it, or a person may have made its record.
        [again] = self._judge(source, [finding.thing], grace)
        if again.verdict is not finding.verdict:
            return replace(finding, removal=Removal.OWNED_NOW)
        try:
            source.remove(finding.thing)
        except SourceAway as away:
            vain.append(str(away))
            return replace(finding, removal=Removal.FAILED, fault=str(away))
        vain.clear()
        return replace(finding, removal=Removal.REMOVED)

    def _alarm(self, findings: list[Finding]) -> None:
        alarming = {
            (finding.thing.kind, finding.thing.name): finding
            for finding in findings
            if finding.verdict in _ALARMING
        }
        with Session(self._database) as session, session.begin():
            new = alarms.note(session, [finding.thing for finding in alarming.values()])
            for thing in new:
                finding = alarming[thing.kind, thing.name]
                # Before the commit: if we die between, a person is called twice, not never.
                log.error(
                    "alarm",
                    verdict=finding.verdict.value,
                    kind=thing.kind.value,
                    key=thing.key,
                    saga_id=None if thing.saga_id is None else str(thing.saga_id),
                    why=finding.why,
                    advice=finding.advice,
                )

    def _log(self, swept: Swept) -> None:
        kinds = {source.kind for source in self._sources}
        kinds |= {inventory.kind for inventory in self._inventories}
        for why_not in dict.fromkeys(swept.faults.values()):
            log.warning("place not swept, the next pass tries again", why=why_not)
        if left := kinds - swept.whole - set(swept.faults) - set(swept.not_set_up):
            log.warning("no time to sweep all of it: run saga sweep", left=", ".join(sorted(left)))
        log.info(
            "swept",
            seen=swept.seen,
            orphans=swept.verdicts[Verdict.ORPHAN],
            strays=swept.verdicts[Verdict.STRAY],
            foreign=swept.verdicts[Verdict.FOREIGN],
            missing=swept.verdicts[Verdict.MISSING],
        )


def _finding(thing: Thing, facts: Facts, verdict: Verdict) -> Finding:
    return Finding(thing=thing, verdict=verdict, why=why(thing, facts, verdict))


@contextmanager
def _place(swept: Swept, kind: Kind) -> Iterator[None]:
    """Write down why the place could not be looked through, if so."""
    try:
        yield
    except NotSetUp as missing:
        swept.not_set_up[kind] = str(missing)
    except SourceAway as away:
        swept.faults[kind] = str(away)
