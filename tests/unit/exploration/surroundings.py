"""What happens around the workers: recovery, link_error, the provider, the broker, time.

A frozen process has no step of its own: any of these histories may stand still anywhere, and time
passes. What operators do is in ``operators``.
"""

from collections.abc import Callable, Iterator

from tests.unit.exploration import promises
from tests.unit.exploration.admission import place
from tests.unit.exploration.canonical import is_time_bound
from tests.unit.exploration.model import (
    ACTION,
    B_ACCEPTED,
    B_CLOSED,
    B_DONE,
    B_IN_FLIGHT,
    B_LATE,
    B_NOTHING,
    BY_TYPE,
    COMPENSATING,
    FAILED,
    POLL,
    RUNNING,
    SECOND_LOOK,
    SIGNAL,
    SLEEP,
    Ended,
    Held,
    Row,
    Small,
    World,
)
from tests.unit.exploration.settlement import HELD, IN_TIME, LIFTED, Settlement
from tests.unit.exploration.workers import Step, after

_TOLD = frozenset({B_DONE, B_LATE})
_WAITS = frozenset({POLL, SIGNAL, SLEEP})


class Surroundings:
    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement

    def steps(self, world: World) -> Iterator[Step]:
        yield from self._recovery(world)
        yield from self._signal(world)
        yield from self._provider_tells(world)
        for happen in FATE:
            yield from happen(world)

    def _recovery(self, world: World) -> Iterator[Step]:
        """Acts on a due row. A live claim is lost when its worker freezes for a lease."""
        row = world.row
        if row.claimed:
            frozen = any(worker.live for worker in world.workers)
            label = "a frozen worker is taken over" if frozen else "a dead worker is taken over"
        elif row.paused or world.held:
            yield from self._held(world)
            if row.paused or world.held == Held.YES:
                return
        if not row.claimed:
            if not is_due(self.settlement.small, row):
                return
            frozen = False
            label = "recovery finds the saga due"
        settled = self.settlement.settle(row, "due", in_chain=False)
        yield label, not frozen, after(world, settled, world.workers)

    def _held(self, world: World) -> Iterator[Step]:
        """A saga whose type is paused: ``Recovery._stand_still``, and ``Recovery._lift``."""
        row = world.row
        if row.paused == BY_TYPE and world.held != Held.YES:
            settled = self.settlement.settle(row, LIFTED, in_chain=False)
            yield "recovery lets the saga go on", True, after(world, settled, world.workers)
        elif not row.paused and row.status in {RUNNING, COMPENSATING}:
            for in_time in ("", IN_TIME) if row.over_time else ("",):
                settled = self.settlement.settle(row, HELD, in_time, in_chain=False)
                yield (
                    f"recovery sees the pause {in_time}",
                    True,
                    after(world, settled, world.workers),
                )
        if world.held == Held.ENDED and row.paused != BY_TYPE:
            over = world._replace(held=Held.NO)
            yield "the pause is lifted", True, over
            if row.status in {RUNNING, COMPENSATING} and not row.paused:
                settled = self.settlement.settle(row, LIFTED, in_chain=False)
                label = "recovery lets a saga go on that nobody saw paused"
                yield label, True, after(over, settled, world.workers)

    def _signal(self, world: World) -> Iterator[Step]:
        """It may come at any time; one with the id of another is that one."""
        row = world.row
        if world.signals and (row.status == RUNNING or (row.status == FAILED and world.acts)):
            settled = self.settlement.settle(row, "signalled", in_chain=False)
            told = world._replace(signals=world.signals - 1)
            yield "a signal comes", False, after(told, settled, world.workers)

    def _provider_tells(self, world: World) -> Iterator[Step]:
        """``Engine.late_success``: verified, and so true; under the key that is used now."""
        small = self.settlement.small
        if not world.tells:
            return
        for step, truth in enumerate(world.books):
            if (
                not small.external[step]
                or truth not in _TOLD
                or (truth == B_LATE and small.operated)
            ):
                continue
            settled = self.settlement.settle(world.row, "late success", step, in_chain=False)
            promises.keep_late_success(world.row, settled, step, old_key=False)
            told = world._replace(tells=world.tells - 1)
            label = f"the provider tells that step {step} took effect"
            yield label, False, after(told, settled, world.workers)


def is_due(small: Small, row: Row) -> bool:
    """Whether wake_at may have come. Of a published message, patience may be over at any time."""
    if row.status not in {RUNNING, COMPENSATING} and row.waiting_for != SECOND_LOOK:
        return False
    if row.early:
        ends = is_time_bound(small, row) or row.waiting_for in _WAITS
        return row.over_time and ends and place(row) == ACTION
    return not row.asleep


def link_error(world: World) -> Iterator[Step]:
    """Proves nothing, may come at any time: ``Engine.send_compensations``."""
    row = world.row
    turned = row.status == COMPENSATING and not row.claimed and row.dispatches == 0
    if turned and not row.early:
        sent = row._replace(dispatches=1)
        yield "link_error sends the compensations", True, world._replace(row=sent, published=True)


def broker(world: World) -> Iterator[Step]:
    if world.published:
        yield "the message is lost", False, world._replace(published=False)


def provider(world: World) -> Iterator[Step]:
    """Comes to an end with what it was left with."""
    for step, truth in enumerate(world.books):
        ends = {B_IN_FLIGHT: (B_DONE, B_NOTHING), B_ACCEPTED: (B_DONE, B_CLOSED)}.get(truth, ())
        for end in ends:
            books = (*world.books[:step], end, *world.books[step + 1 :])
            yield f"the provider of step {step} ends: {end}", True, world._replace(books=books)


def time(world: World) -> Iterator[Step]:
    row = world.row
    # The timeout of a wait for a signal stands while the saga is paused.
    stands = row.paused and row.waiting_for == SIGNAL
    if row.early and not row.asleep and not stands:
        yield "the wait is over", True, world._replace(row=row._replace(early=False))
    if row.asleep:
        looking = row._replace(asleep=False, early=False)
        yield "the next look has come", True, world._replace(row=looking)
    if row.status == RUNNING and not row.over_time and not row.paused:
        yield "the saga's time is over", True, world._replace(row=row._replace(over_time=True))
    if row.ended == Ended.JUST_NOW and world.books[row.step] != B_IN_FLIGHT:
        # Who still has not called by now has slept beyond its hard limit and this, too.
        workers = tuple(
            sorted(
                worker._replace(overslept=True)
                if worker.kind == ACTION and worker.step == row.step and worker.phase == "calling"
                else worker
                for worker in world.workers
            )
        )
        settled = row._replace(ended=Ended.SETTLED)
        yield "settle_after is over", True, world._replace(row=settled, workers=workers)
    if row.ended == Ended.SETTLED:
        long_ago = row._replace(ended=Ended.LONG_AGO)
        yield "probe_for is over", True, world._replace(row=long_ago)


FATE: tuple[Callable[[World], Iterator[Step]], ...] = (link_error, broker, provider, time)
