"""What people do: everything that ``why_not`` allows, at any time, a bounded number of times.

Who resolves has looked: what they vouch for is true, by their own hands if need be. Who retries,
cancels or compensates vouches for nothing.
"""

from collections.abc import Iterator

from saga.decide import allowed, why_not
from saga.moves import Reopen, Resolve
from saga.position import Intervention, Outcome
from tests.unit.exploration import promises
from tests.unit.exploration.model import (
    ACTION,
    B_ACCEPTED,
    B_CLOSED,
    B_DONE,
    B_IN_FLIGHT,
    B_LATE,
    B_NOTHING,
    B_UNDONE,
    COMPENSATING,
    PROBING,
    RUNNING,
    Held,
    Row,
    Worker,
    World,
)
from tests.unit.exploration.settlement import IN_TIME, WHOLE, Settlement
from tests.unit.exploration.workers import Step, after

PAUSE_TYPE = "pause its type"

DECISIONS = frozenset(
    {Intervention.RETRY, Intervention.COMPENSATE, Intervention.CANCEL, Intervention.RESOLVE}
)
PAUSES = frozenset({Intervention.PAUSE, PAUSE_TYPE})
ACTIONS = DECISIONS | PAUSES


_RESOLVE = Intervention.RESOLVE


class Operators:
    """``kinds``: what they do, each as long as the world has acts left."""

    def __init__(self, settlement: Settlement, kinds: frozenset[str]) -> None:
        self.settlement = settlement
        self.small = settlement.small
        self._kinds = kinds
        self._allowed: dict[Row, tuple[Intervention, ...]] = {}

    def steps(self, world: World) -> Iterator[Step]:
        row = world.row
        if row.paused or world.held == Held.YES:
            yield from self._resume(world)
        if not world.acts:
            return
        acted = world._replace(acts=world.acts - 1)
        for what in self._may(row):
            if what not in self._kinds:
                continue
            if what is Intervention.RESOLVE:
                yield from self._resolve(acted)
                continue
            stands = world.held == Held.YES and not row.paused
            if what is Intervention.PAUSE and row.over_time and stands:
                settled = self.settlement.settle(row, what.value, IN_TIME, in_chain=False)
                label = "an operator pauses the saga, whose clock stood with its type's"
                yield label, False, after(acted, settled, acted.workers)
            settled = self.settlement.settle(row, what.value, in_chain=False)
            if isinstance(settled.move, Reopen) and settled.move.new_key:
                promises.keep_new_key(world)
                yield (
                    "an operator lets it retry under a new key",
                    False,
                    self._renew(after(acted, settled, acted.workers), row.step),
                )
                continue
            told = acted._replace(cancelled=acted.cancelled or what is Intervention.CANCEL)
            yield f"an operator says {what}", False, after(told, settled, told.workers)
        if PAUSE_TYPE in self._kinds and world.held == Held.NO and row.status in _AT_WORK:
            yield "an operator pauses the type", False, acted._replace(held=Held.YES)

    def _may(self, row: Row) -> tuple[Intervention, ...]:
        may = self._allowed.get(row)
        if may is None:
            may = self._allowed[row] = allowed(self.small.saga, self.small.position(row))
        return may

    def _resume(self, world: World) -> Iterator[Step]:
        """It costs nothing: what was paused is resumed in the end."""
        if Intervention.RESUME in self._may(world.row):
            settled = self.settlement.settle(world.row, Intervention.RESUME.value, in_chain=False)
            yield "an operator resumes the saga", True, after(world, settled, world.workers)
        if world.held == Held.YES:
            yield "an operator resumes the type", True, world._replace(held=Held.ENDED)

    def _resolve(self, world: World) -> Iterator[Step]:
        for step in (WHOLE, *range(len(self.small.steps))):
            name = None if step == WHOLE else self.small.names[int(step)]
            if why_not(self.small.saga, self.small.position(world.row), _RESOLVE, name):
                continue
            for outcome in Outcome:
                books = self._vouched(world, step, done=outcome is Outcome.DONE)
                if books is None:
                    continue
                about = f"{step} {outcome.value}"
                settled = self.settlement.settle(
                    world.row, Intervention.RESOLVE.value, about, in_chain=False
                )
                if isinstance(settled.move, Resolve) and settled.row == world.row:
                    continue
                found = after(world, settled, world.workers, books)
                yield f"an operator resolves {about}", False, found

    def _vouched(self, world: World, step: str | int, *, done: bool) -> tuple[str, ...] | None:
        """The books when a person has seen to it; None while nobody can."""
        books = list(world.books)
        for number in range(len(books)) if isinstance(step, str) else (step,):
            busy = any(
                worker.step == number and worker.kind != PROBING and not worker.overslept
                for worker in world.workers
            )
            if busy or books[number] in {B_ACCEPTED, B_IN_FLIGHT}:
                return None
            if done and books[number] in {B_NOTHING, B_CLOSED, B_UNDONE}:
                books[number] = B_DONE
            if not done and books[number] in {B_DONE, B_LATE}:
                books[number] = B_UNDONE
        return tuple(books)

    def _renew(self, world: World, step: int) -> World:
        """Under its new key nothing has happened; who still calls, calls under the old one.

        Of a call under a key that is closed nothing comes.
        """
        truth = world.books[step]
        fresh = truth if truth == B_LATE else B_NOTHING
        workers = tuple(
            sorted(
                worker._replace(old_key=True)
                if worker.kind == ACTION and worker.step == step
                else worker
                for worker in world.workers
                if not (truth == B_CLOSED and _calls(worker, step))
            )
        )
        return world._replace(
            books=(*world.books[:step], fresh, *world.books[step + 1 :]), workers=workers
        )


_AT_WORK = frozenset({RUNNING, COMPENSATING})


def _calls(worker: Worker, step: int) -> bool:
    return (worker.kind, worker.step, worker.phase) == (ACTION, step, "calling")
