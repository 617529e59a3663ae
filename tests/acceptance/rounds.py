"""Many refunds at once, each with a history and deaths of its own, worked by mortal processes."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery
from redis import Redis

from saga.followup import Lane
from saga.worker import COMPENSATE
from tests import nursery, promise
from tests.acceptance.deaths import NOBODY, SENT_TWICE, Death, Deaths, Point
from tests.acceptance.world import World

FINAL = [*promise.STEPS, "payment_refund.restore_payment_status"]
PROBE = "payment_refund.find_provider_refund"
AMOUNT = "100.00"
SIDE_BY_SIDE = 50
KILLED = -signal.SIGKILL
TRIES = 4
RECORDINGS = 40
A_MOMENT = 0.5
A_WHILE = 10.0
HANGS = 1200.0


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """What goes wrong anyway, and how the refund ends whatever else does.

    ``deaths`` are its own; only what comes after them is searched for crash points. ``looks`` is
    how often recovery then looks at the saga, and ``is_slow`` a call whose lease is renewed: on a
    busy machine both happen in other histories, too.
    """

    name: str
    end: str
    faults: Sequence[Mapping[str, Any]] = ()
    deaths: Sequence[Death] = ()
    looks: int = 0
    is_slow: bool = False

    def search(self, reached: Sequence[Point]) -> frozenset[Point] | None:
        """Its crash points; None when it went another way than it does undisturbed."""
        looks = [point for point in reached if point.line == "recovery child looks: before commit"]
        if len(looks) != self.looks:
            return None
        beats = {point for point in reached if "heartbeat" in point.who}
        firsts = {point for point in beats if point.number == 1}
        return frozenset(reached) - beats | (firsts if self.is_slow else frozenset())


@dataclass(frozen=True)
class Refund:
    """One history, in which one more process dies."""

    history: History
    death: Death | None = None

    @property
    def deaths(self) -> list[Death]:
        return [*self.history.deaths, *([self.death] if self.death else [])]

    def __str__(self) -> str:
        then = f", {self.death.then}" if self.death else ""
        return f"{self.history.name}: {self.death.point if self.death else 'no death'}{then}"


@dataclass
class Round:
    """What came of refunds that ran side by side, by payment and by saga."""

    refunds: dict[str, Refund]
    sagas: dict[str, list[UUID]] = field(default_factory=dict)


class Rounds:
    """Starts refunds, starts again whoever died, and looks at what is left."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deaths = Deaths(world.folder / "mortal")
        self.done: list[Round] = []

    # What is done

    def run(self, refunds: Sequence[Refund], of_nobody: Sequence[Death] = ()) -> list[str]:
        """Run the refunds, each through its death; what is wrong with their ends.

        On a busy machine a history may take another way, past its point: then it is tried again.
        """
        wrong: list[str] = []
        waiting, tries = list(refunds), Counter[Refund]()
        while waiting:
            some, waiting = waiting[:SIDE_BY_SIDE], waiting[SIDE_BY_SIDE:]
            this = self.go(some, of_nobody)
            wrong += self.violations(this)
            of_nobody = ()
            for missed in self.not_reached(this):
                tries[missed] += 1
                if tries[missed] < TRIES:
                    waiting.append(missed)
                else:
                    wrong.append(f"{missed}: never came there")
        return wrong

    @contextmanager
    def sending_all_twice(self) -> Iterator[None]:
        """Every message of every process comes twice."""
        mark = self.world.folder / "mortal" / SENT_TWICE
        mark.touch()
        yield
        mark.unlink()

    def record(self, histories: Sequence[History]) -> dict[History, frozenset[Point]]:
        """The points of each history, as two rounds one after the other had them."""
        points: dict[History, frozenset[Point]] = {}
        last: dict[History, frozenset[Point] | None] = {}
        for _ in range(RECORDINGS):
            wanted = [history for history in histories if history not in points]
            if not wanted:
                return {history: points[history] for history in histories}
            this = self.go([Refund(history) for history in wanted])
            assert not (wrong := self.violations(this)), "\n".join(wrong)
            found = self.points(this)
            points |= {
                history: each
                for history, each in found.items()
                if each is not None and each == last.get(history)
            }
            last = found
        raise AssertionError(f"no two recordings agree: {[each.name for each in wanted]}")

    def go(self, refunds: Sequence[Refund], of_nobody: Sequence[Death] = ()) -> Round:
        """Run the refunds to their ends; ``of_nobody`` are deaths in what is done for no saga."""
        this = Round(dict(zip(self.world.payments(len(refunds)), refunds, strict=True)))
        self._lay_faults(this)
        self.deaths.order(NOBODY, of_nobody)
        self._start(this)
        sql = (
            "SELECT state->>'payment_id', saga_id FROM saga_state "
            "WHERE state->>'payment_id' = ANY(:payments)"
        )
        for payment, saga in self.world.rows(sql, payments=list(this.refunds)):
            this.sagas.setdefault(payment, []).append(saga)
        self._until_all_rest(this)
        # A process may come to its last points after its saga rested.
        self._wait(lambda: not any(self._left(this)), seconds=A_WHILE)
        self._wait(lambda: self._is_still(this), seconds=A_WHILE)
        self.world.end_orphans()
        self.done.append(this)
        return this

    def _lay_faults(self, this: Round) -> None:
        sql = "SELECT id, payment_no FROM payments WHERE id = ANY(:payments)"
        for payment, number in self.world.rows(sql, payments=list(this.refunds)):
            for fault in this.refunds[payment].history.faults:
                self.world.fault(**{"operation": "refund", "paymentNo": number, **fault})

    def _start(self, this: Round) -> None:
        lines = []
        for payment, refund in this.refunds.items():
            deaths = refund.deaths
            if deaths and deaths[0].point.who == "producer":
                self.deaths.order(payment, deaths)
                deaths = []
            written = [death.written() for death in deaths]
            lines.append(json.dumps({"payment": payment, "amount": AMOUNT, "deaths": written}))
        # A producer that got no answer asks again, with the same keys.
        while self._produce("\n".join(lines)) == KILLED:
            pass

    def _produce(self, lines: str) -> int:
        done = nursery.run(
            str(Path(__file__).with_name("mortal.py")),
            cwd=Path(__file__).parents[2],
            env=self.world.environment,
            given=lines,
            timeout=300,
        )
        assert done.returncode in {0, KILLED}, done.stderr
        return done.returncode

    def _until_all_rest(self, this: Round) -> None:
        try:
            self.world.until(self._all_rest, "all sagas rest", within=HANGS)
        except AssertionError:
            open_ones = [
                f"{refund}\n{self.world.story(saga)}"
                for payment, refund in this.refunds.items()
                for saga in this.sagas[payment]
                if self.world.status(saga) not in promise.ENDS
            ]
            left = [f"for nobody: {death.point}" for death in self.deaths.left(NOBODY)]
            raise AssertionError("\n".join(["never at rest:", *open_ones, *left])) from None

    def _all_rest(self) -> bool:
        self.world.start_what_died()
        return set(self.world.statuses()) <= promise.ENDS and not self.deaths.left(NOBODY)

    def _wait(self, is_so: Callable[[], bool], *, seconds: float) -> None:
        """Wait for what may also never come."""
        end = time.monotonic() + seconds
        while not is_so() and time.monotonic() < end:
            self.world.start_what_died()
            time.sleep(0.05)

    def _is_still(self, this: Round) -> bool:
        """Whether nobody came to another point of these sagas for a moment."""
        subjects = [str(saga) for sagas in this.sagas.values() for saga in sagas]
        before = [self.deaths.size(subject) for subject in subjects]
        time.sleep(A_MOMENT)
        return before == [self.deaths.size(subject) for subject in subjects]

    # What is seen

    def _left(self, this: Round) -> Iterator[str]:
        """The payments whose ordered deaths did not come."""
        for payment in this.refunds:
            subjects = [payment, *map(str, this.sagas.get(payment, []))]
            if any(self.deaths.left(subject) for subject in subjects):
                yield payment

    def not_reached(self, this: Round) -> list[Refund]:
        return [this.refunds[payment] for payment in self._left(this)]

    def points(self, this: Round) -> dict[History, frozenset[Point] | None]:
        """What each of the histories came through."""
        found = {}
        for payment, refund in this.refunds.items():
            [saga] = this.sagas[payment]
            reached = [*self.deaths.points(payment), *self.deaths.points(str(saga))]
            found[refund.history] = refund.history.search(reached)
        return found

    def all_again(self) -> list[str]:
        """Let every message that thirty sagas may ever have had come once more; what broke."""
        self.world.until(lambda: self._all_rest() and not self._waiting(), "all lanes are empty")
        before = self.world.rows("SELECT sum(version) FROM saga_state")
        with Celery("test", broker=self.world.redis.url, set_as_current=False) as celery:
            sql = "SELECT saga_id, epoch FROM saga_state ORDER BY random() LIMIT 30"
            for saga, epoch in self.world.rows(sql):
                # A probe of the last epoch was not sent yet: it would be the second look.
                late = [(PROBE, old) for old in range(1, epoch)]
                late += [(task, old) for task in FINAL for old in range(1, epoch + 1)]
                for task, old in late:
                    celery.send_task(task, args=(str(saga), old), queue=Lane.CONTINUING)
                celery.send_task(COMPENSATE, args=(str(saga),), queue=Lane.COMPENSATION)
        self.world.until(lambda: not self._waiting(), "all lanes are empty", within=HANGS)
        time.sleep(A_MOMENT)
        after = self.world.rows("SELECT sum(version) FROM saga_state")
        wrong = [] if before == after else ["a late message moved a saga"]
        return wrong + [each for this in self.done for each in self.violations(this)]

    def _waiting(self) -> int:
        with Redis.from_url(self.world.redis.url) as broker:
            return sum(int(broker.llen(lane)) for lane in Lane)  # type: ignore[arg-type]

    def violations(self, this: Round) -> list[str]:
        """What does not hold of the promises, and of the ends that were expected."""
        books = list(self.world.books().values())
        found = []
        for payment, refund in this.refunds.items():
            sagas = this.sagas.get(payment, [])
            if len(sagas) != 1:
                found.append(f"{refund}: {len(sagas)} sagas for one payment")
            for saga in sagas:
                wrong = []
                status = self.world.status(saga)
                if status != refund.history.end:
                    wrong.append(f"it is {status}, not {refund.history.end}")
                with self.world.database.connect() as connection:
                    wrong += promise.broken(connection, saga, books)
                if wrong:
                    found.append("\n  ".join([str(refund), *wrong, self.world.story(saga)]))
        return found
