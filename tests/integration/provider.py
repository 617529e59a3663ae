"""The other systems of the shop's sagas, with the books of what really took effect, and workers."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import CannotTell, Forward, PollAgain, Refused, TryAgain, Wait
from tests.integration.by_hand import Killed, Message
from tests.integration.shop import SETTLE_AFTER

HARD_LIMIT = timedelta(seconds=6)
CALLS, COMPENSATIONS = {"ship", "pay", "tell"}, {"recall": "ship", "release": "reserve"}
SQL = {"reserve", "release", "book"}
PROBE = "find_pay"
WAIT = Wait(signal="paid", timeout=timedelta(minutes=20))


class Act(Enum):
    """What becomes of one call; where it makes no sense, something like it."""

    WELL = "all goes well"
    CUT_BEFORE = "an error, and nothing happened"
    CUT_AFTER = "an error, although it happened"
    CUT_LATE = "an error, and it may happen later"
    REFUSED = "refused"
    TRY_AGAIN = "busy"
    TRY_LATER = "busy for minutes"
    ACCEPTED = "accepted: its final word comes later"
    WAITS = "it waits for a signal, accepted or not begun"
    DIES_BEFORE = "the worker dies, and nothing happened"
    DIES_AFTER = "the worker dies, although it happened"
    DIES_LATE = "the worker dies, and it may happen later"
    FREEZES_BEFORE = "the worker freezes, and nothing happened yet"
    FREEZES_AFTER = "the worker freezes, and it happened"
    CANNOT_TELL = "the probe cannot tell"

    def __repr__(self) -> str:
        return f"Act.{self.name}"


FREEZES = {Act.FREEZES_BEFORE, Act.FREEZES_AFTER}
DIES = {Act.DIES_BEFORE, Act.DIES_AFTER, Act.DIES_LATE}
CUT = {Act.CUT_BEFORE, Act.CUT_AFTER, Act.CUT_LATE}


class Clock(Protocol):
    now: datetime

    def ask(self, sql: str, *params: Any) -> list[dict[str, Any]]: ...


@dataclass
class Part:
    """One delivery's part in the play, and what it turned out to be."""

    saga_id: UUID
    epoch: int
    act: Act
    began: datetime
    worker: "Worker | None" = None
    backend: int | None = None
    claim: UUID | None = None
    has_failed: bool = False


class Worker:
    """Works one message; in a thread of its own if it is to freeze in it."""

    def __init__(self, message: Message, part: Part, work: Callable[[], None]) -> None:
        self.message, self.part = message, part
        part.worker = self
        self._work = work
        self._go, self._halted = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.is_frozen = False
        if part.act in FREEZES:
            self._thread.start()

    @property
    def has_died(self) -> bool:
        return isinstance(self._error, Killed)

    @property
    def is_in_sql(self) -> bool:
        return self.part.backend is not None

    def with_message(self, *, redelivered: bool) -> Message:
        return replace(self.message, redelivered=redelivered)

    def go_on(self, act: Act | None = None) -> None:
        """Work until the end, or until it freezes. Raises what it raised, but not its death."""
        self.part.act = act or self.part.act
        self.is_frozen = False
        self._halted.clear()
        self._go.set()
        if not self._thread.ident:
            self._run()
        assert self._halted.wait(60), "it neither ended nor froze"
        if self._error is not None and not self.has_died:
            raise self._error
        if not self.is_frozen and self._thread.ident:
            self._thread.join(60)

    def freeze(self) -> None:
        self.is_frozen = True
        self._go.clear()
        self._halted.set()
        assert self._go.wait(600)

    def _run(self) -> None:
        try:
            assert self._go.wait(600)
            self._work()
        except BaseException as error:  # noqa: BLE001 - told by go_on
            self._error = error
        finally:
            self._halted.set()


@dataclass(frozen=True)
class Ordered:
    """What a provider has taken, and may still do. ``ended``: when its call did."""

    saga_id: UUID
    step: str
    ended: datetime
    accepted: bool = False


class Provider:
    """Plays every system outside, for all sagas. It takes the place of the shop's script."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._here = threading.local()
        self.books: defaultdict[UUID, set[str]] = defaultdict(set)
        self.ever: defaultdict[UUID, set[str]] = defaultdict(set)
        self.late: defaultdict[UUID, set[str]] = defaultdict(set)
        self.unseen: defaultdict[UUID, set[str]] = defaultdict(set)
        self.orders: list[Ordered] = []
        self.calls: list[tuple[UUID, str, str]] = []
        self.failures: Counter[tuple[UUID, str]] = Counter()
        self.refusals: set[tuple[UUID, str]] = set()
        self.closed: set[tuple[UUID, str]] = set()
        self.intruders: list[str] = []

    @contextmanager
    def playing(self, part: Part) -> Iterator[None]:
        self._here.part = part
        yield

    @property
    def outside(self) -> set[str]:
        """What the saga of this thread has done outside."""
        return self.books[self._here.part.saga_id]

    def failed(self, part: Part, step: str) -> None:
        """The attempt came to nothing, as far as the engine may know; counted once."""
        if not part.has_failed:
            part.has_failed = True
            self.failures[part.saga_id, step] += 1

    def order(self, saga_id: UUID, step: str, *, accepted: bool) -> Ordered | None:
        wanted = (saga_id, step, accepted)
        return next((o for o in self.orders if (o.saga_id, o.step, o.accepted) == wanted), None)

    def carry_out(self, order: Ordered) -> None:
        """What was ordered takes effect now."""
        self.orders.remove(order)
        self._note(order.saga_id, order.step, ended=order.ended)

    def _note(self, saga_id: UUID, step: str, *, ended: datetime) -> None:
        """Write into the books what took effect, and whether that was later than it may be."""
        if step in self.ever[saga_id] - self.books[saga_id]:
            return  # done and taken back: one key does it once
        self.books[saga_id].add(step)
        self.ever[saga_id].add(step)
        if self._clock.now < ended + SETTLE_AFTER:
            return
        self.late[saga_id].add(step)
        row = self._row(saga_id)
        has_looked = row["waiting_for"] is None or row["claimed_by"] is not None
        if row["status"] in {"COMPENSATED", "TIMEOUT"} and has_looked:
            self.unseen[saga_id].add(step)

    def play(self, task: str, given: Any, well: Callable[[], Any]) -> Any:
        """Do as this thread's part says. Raises what the step raises, and Killed."""
        step, part = task.removeprefix("shop."), self._here.part
        if self._row(part.saga_id)["epoch"] != part.epoch:
            self.intruders.append(f"{step} of epoch {part.epoch}")
        if step in CALLS | {PROBE, "recall"}:
            key = given.key if isinstance(given, Forward) else given
            self.calls.append((part.saga_id, step, key))
        if isinstance(given, Session) and part.act in FREEZES:
            part.backend = given.execute(text("SELECT pg_backend_pid()")).scalar_one()
        try:
            answer = self._answer(step, part, well)
        except BaseException:
            self.failed(part, step)
            raise
        self.unseen[part.saga_id].discard(step)  # it is told
        return answer

    def _answer(self, step: str, part: Part, well: Callable[[], Any]) -> Any:
        answer = None
        if part.act in FREEZES:
            if step == PROBE:
                answer = self._look(part.saga_id, well)  # old when it is told
            elif part.act is Act.FREEZES_AFTER:
                answer = self._do(step, part, well)
            part.claim = self._row(part.saga_id)["claimed_by"]
            part.worker.freeze()
        if answer is not None and part.act not in DIES | CUT:
            return answer
        return self._perform(step, part, well)

    def _perform(self, step: str, part: Part, well: Callable[[], Any]) -> Any:
        saga_id, act = part.saga_id, part.act
        accepted = self.order(saga_id, step, accepted=True)
        is_open = (saga_id, step) not in self.closed
        match act:
            case Act.CUT_AFTER | Act.DIES_AFTER if is_open and step != PROBE:
                self._do(step, part, well)
            case Act.CUT_LATE | Act.DIES_LATE if is_open and step in CALLS - self.outside:
                self.orders.append(Ordered(saga_id, step, self._ended(part)))
        if act in DIES:
            raise Killed
        match act:
            case _ if act in CUT:
                raise ConnectionError("cut")
            case Act.REFUSED if step != PROBE:
                if accepted is not None:
                    self.orders.remove(accepted)
                self.refusals.add((saga_id, step))
                raise Refused("no")
            case Act.TRY_AGAIN | Act.TRY_LATER:
                after = timedelta(minutes=2) if act is Act.TRY_LATER else None
                raise TryAgain("busy", after=after)
            case Act.ACCEPTED | Act.WAITS if is_open and step in CALLS - self.outside:
                if accepted is None:
                    self.orders.append(Ordered(saga_id, step, self._ended(part), accepted=True))
                return WAIT if act is Act.WAITS else PollAgain(after=timedelta(minutes=1))
            case Act.WAITS if step in SQL - COMPENSATIONS.keys():
                return WAIT
        if step == PROBE:
            no_idea = CannotTell("no idea")
            return no_idea if act is Act.CANNOT_TELL else self._look(saga_id, well)
        return self._do(step, part, well)

    def _look(self, saga_id: UUID, well: Callable[[], Any]) -> Any:
        """What a probe is told: of an order that is on its way, the provider knows nothing yet."""
        is_at_it = self.order(saga_id, "pay", accepted=True) is not None
        return CannotTell("still at it") if is_at_it else well()

    def _do(self, step: str, part: Part, well: Callable[[], Any]) -> Any:
        """It takes effect, in the books too. What is done, or taken back, is not done later."""
        before = set(self.outside)
        done = well()
        if step in CALLS:
            self.outside.intersection_update(before)
            self._note(part.saga_id, step, ended=part.began + HARD_LIMIT)
        of = COMPENSATIONS.get(step, step)
        if of != step:
            self.closed.add((part.saga_id, of))
        self.orders = [
            order for order in self.orders if (order.saga_id, order.step) != (part.saga_id, of)
        ]
        return done

    def _ended(self, part: Part) -> datetime:
        """When the call ended: now, or at its hard limit, where a worker is killed."""
        return min(self._clock.now, part.began + HARD_LIMIT)

    def _row(self, saga_id: UUID) -> dict[str, Any]:
        return self._clock.ask("SELECT * FROM saga_state WHERE saga_id = %s", saga_id)[0]
