"""What two workers do: ``saga.call`` and ``saga.transaction``, as far as others can see it.

An answer that is neither a success nor a probe's "nothing" is settled when it comes, or never (the
worker dies, or had lost its claim): nothing that could happen in between changes what it means.
"""

from collections.abc import Iterable, Iterator

from tests.unit.exploration import promises
from tests.unit.exploration.admission import Message, admits, outdated, place
from tests.unit.exploration.answers import IN_HAND, SLEEPS, WAITS, answers
from tests.unit.exploration.canonical import parked
from tests.unit.exploration.model import (
    ACTION,
    B_DONE,
    B_NOTHING,
    B_UNDONE,
    COMPENSATION,
    DID_NOTHING,
    DONE,
    FAILED,
    POLL,
    PROBE,
    PROBING,
    SECOND_LOOK,
    UNKNOWN,
    Ended,
    Row,
    Worker,
    World,
)
from tests.unit.exploration.promises import Violation
from tests.unit.exploration.settlement import Settled, Settlement

# Of the attempts of a second look, only the last one differs from those before it.
_LAST_LOOK = 11

Step = tuple[str, bool, World]
"""What happened, whether fate may be asked to let it happen, and the world after it."""


def after(
    world: World,
    settled: Settled,
    workers: Iterable[Worker],
    books: tuple[str, ...] | None = None,
) -> World:
    """The world after a commit; ``workers`` are all that are busy, without who settled."""
    row = settled.row
    return World(
        row=parked(row) if row.status == FAILED and not world.acts else row,
        books=world.books if books is None else books,
        workers=bystanders(workers, settled),
        published=settled.publishes or (world.published and not settled.moved),
        risen=world.risen or settled.rose,
        signals=world.signals,
        acts=world.acts,
        cancelled=world.cancelled and row.status != FAILED,
        held=world.held,
        tells=world.tells,
    )


def bystanders(workers: Iterable[Worker], settled: Settled) -> tuple[Worker, ...]:
    """The others, once the row has moved."""
    stay: list[Worker] = []
    for worker in workers:
        if _calls(worker):
            stay.extend(_caller(worker, claimed=settled.row.claimed))
        elif settled.stands:
            stay.append(worker)
        elif settled.returns and worker.phase == WAITS and worker.stamp[1] <= 1:
            # Once its signal came, the row may look again as it did.
            stay.append(worker._replace(deaf=worker.deaf or settled.heard))
    return tuple(sorted(stay))


def _caller(worker: Worker, *, claimed: bool) -> Iterator[Worker]:
    """Who lost a claim keeps what can still be seen: a call, or a success to report."""
    if not worker.live or claimed:
        yield worker
    elif worker.kind == PROBING or (worker.kind == COMPENSATION and worker.phase != "calling"):
        return
    else:
        phase = worker.phase if worker.phase == "calling" else "succeeded"
        yield Worker(worker.kind, worker.step, phase, live=False, old_key=worker.old_key)


def _calls(worker: Worker) -> bool:
    """Whether it does, or has an answer; else it is between two transactions."""
    if worker.live:
        return worker.phase in IN_HAND or worker.phase == "calling"
    return worker.phase in {"calling", "succeeded"}


class Workers:
    """``most`` may be busy at once; who is idle takes the next message."""

    def __init__(self, settlement: Settlement, *, most: int) -> None:
        self.most = most
        self.settlement = settlement
        self.small = settlement.small

    def steps(self, world: World) -> Iterator[Step]:
        for index, worker in enumerate(world.workers):
            if index and worker == world.workers[index - 1]:
                continue
            others = world.workers[:index] + world.workers[index + 1 :]
            if not _calls(worker):
                yield from self._second_transaction(world, worker, others)
            elif worker.phase == "calling":
                yield from self._call(world, worker, others)
            else:
                yield from self._answer(world, worker, others)
        if len(world.workers) < self.most:
            yield from self._deliver(world)

    def _deliver(self, world: World) -> Iterator[Step]:
        row = world.row
        kind = place(row)
        if kind is not None and world.published:
            message = Message(kind, row.step)
            if admits(self.small, world, message):
                yield from self._begin(world, kind)
        for message in outdated(self.small, world):
            if admits(self.small, world, message):
                raise Violation(f"an outdated message acted: {message}")

    def _begin(self, world: World, kind: str) -> Iterator[Step]:
        row = world.row
        if self.small.is_call(kind, row.step):
            promises.keep_at_work(self.small, world, kind)
            yield from self._claim(world, kind)
            return
        if row.dispatches <= 1:
            promises.keep_at_work(self.small, world, kind, optimistic=True)
            yield from self._transaction(world, kind, world.workers, counted=False)
        yield from self._count(world, kind)

    def _claim(self, world: World, kind: str) -> Iterator[Step]:
        row = world.row
        told = ""
        if kind == COMPENSATION:
            told = DONE if row.effects[row.step] == DONE else UNKNOWN
        worker = Worker(
            kind,
            row.step,
            "calling",
            told=told,
            polling=row.waiting_for == POLL and kind == ACTION,
            settled=kind == PROBING and row.ended >= Ended.SETTLED,
        )
        # Between two transactions are only workers of transactions, and this is none.
        workers = tuple(sorted((*filter(_calls, world.workers), worker)))
        ended = Ended.NEVER if kind == ACTION else row.ended
        for attempt in _attempts(row):
            claimed = row._replace(claimed=True, attempt=attempt, early=False, ended=ended)
            yield f"a worker claims the {kind}", True, world._replace(row=claimed, workers=workers)

    def _call(self, world: World, worker: Worker, others: tuple[Worker, ...]) -> Iterator[Step]:
        """What the other system may do and answer to a call."""
        step, truth = worker.step, world.books[worker.step]
        gone = set()
        small = self.small
        may = answers(
            worker,
            truth,
            asks=small.probed[step],
            waits=small.waits,
            needs=small.needs,
            finds=small.finds,
        )
        for answer, becomes in may:
            books = world.books
            if becomes != truth:
                books = (*books[:step], becomes, *books[step + 1 :])
            label = f"the {worker.kind} of step {step} is answered: {answer}"
            if answer in IN_HAND:
                if worker.live or worker.kind == ACTION:
                    phase = answer if worker.live else "succeeded"
                    has = worker._replace(phase=phase, polling=False, overslept=False)
                    workers = tuple(sorted((*others, has)))
                    yield label, True, world._replace(books=books, workers=workers)
                    continue
            elif worker.live:
                settled = self._settle(world.row, worker, answer)
                if answer == "found":
                    promises.keep_found(settled.row, step)
                yield label, True, after(world, settled, others, books)
            if becomes not in gone:
                gone.add(becomes)
                dead = world._replace(books=books, workers=others)
                yield f"{label}, which nobody hears", not worker.live, dead
        if truth not in gone:
            yield "a worker dies before its call", False, world._replace(workers=others)

    def _answer(self, world: World, worker: Worker, others: tuple[Worker, ...]) -> Iterator[Step]:
        """A worker that has its answer in hand settles, or dies."""
        row = world.row
        if worker.live:
            settled = self._settle(row, worker, worker.phase)
            if worker.kind == COMPENSATION:
                promises.keep_compensated(row, settled.row, worker.step, worker.told)
            yield f"it settles: {worker.phase}", True, after(world, settled, others)
            yield "a worker dies with its answer", False, world._replace(workers=others)
            return
        late = "late success under an old key" if worker.old_key else "late success"
        settled = self.settlement.settle(row, late, worker.step, in_chain=False)
        promises.keep_late_success(row, settled, worker.step, old_key=worker.old_key)
        label = f"who lost its claim reports that step {worker.step} took effect"
        yield label, True, after(world, settled, others)
        yield "a worker that lost its claim dies", False, world._replace(workers=others)

    def _settle(self, row: Row, worker: Worker, answer: str) -> Settled:
        about = worker.told if answer == "succeeded" else "settled" if worker.settled else ""
        in_chain = worker.kind != PROBING
        return self.settlement.settle(row, answer, about, in_chain=in_chain)

    def _count(self, world: World, kind: str) -> Iterator[Step]:
        """A transaction whose message came before is counted before it begins."""
        row = world.row
        lost = self.settlement.give_up(row)
        if lost is not None:
            yield "it died in every attempt", True, after(world, lost, world.workers)
            return
        promises.keep_at_work(self.small, world, kind)
        counted = row._replace(attempt=row.attempt + 1)
        stamp = (counted.attempt, counted.dispatches)
        worker = Worker(kind, row.step, "running", live=False, counted=True, stamp=stamp)
        workers = tuple(sorted((*filter(_calls, world.workers), worker)))
        label = f"a worker counts its attempt of the {kind}"
        yield label, True, world._replace(row=counted, workers=workers)

    def _second_transaction(
        self, world: World, worker: Worker, others: tuple[Worker, ...]
    ) -> Iterator[Step]:
        """Admitted once more, if the row still looks as it did."""
        row = world.row
        stands = worker.stamp == (row.attempt, row.dispatches)
        yield "a worker dies between two transactions", False, world._replace(workers=others)
        if not stands or not admits(self.small, world, Message(worker.kind, worker.step)):
            if worker.phase == "running" and stands:
                row = row._replace(attempt=row.attempt - 1)
                others = tuple(filter(_calls, others))
            away = world._replace(row=row, workers=others)
            yield "it is not its turn any more", True, away
        elif worker.phase == "running":
            yield from self._transaction(world, worker.kind, others, counted=True)
            given_back = row._replace(attempt=row.attempt - 1)
            away = world._replace(row=given_back, workers=tuple(filter(_calls, others)))
            yield "the database is away, and the attempt given back", False, away
        else:
            promises.keep_hearing(worker)
            if not worker.counted:
                row = row._replace(attempt=row.attempt + 1)
            settled = self.settlement.settle(row, worker.phase, in_chain=True)
            yield f"it settles: {worker.phase}", True, after(world, settled, others)

    def _transaction(
        self, world: World, kind: str, others: tuple[Worker, ...], *, counted: bool
    ) -> Iterator[Step]:
        """Its SQL and the record of it are one commit; or it is rolled back."""
        row = world.row
        step = row.step
        told = ""
        if kind == COMPENSATION:
            told = DONE if row.effects[step] == DONE else UNKNOWN
        trying = row if counted else row._replace(attempt=row.attempt + 1)
        becomes = B_UNDONE if kind == COMPENSATION else B_DONE
        if not self.small.external[step]:
            before = B_DONE if kind == COMPENSATION else B_NOTHING
            if world.books[step] != before:
                raise Violation("a transaction takes effect exactly once")
        books = (*world.books[:step], becomes, *world.books[step + 1 :])
        settled = self.settlement.settle(trying, "succeeded", told, in_chain=True)
        yield f"the {kind} of step {step} is committed", True, after(world, settled, others, books)
        waits = (WAITS, SLEEPS) if self.small.waits and kind == ACTION else ()
        needs = (DID_NOTHING,) if self.small.needs else ()
        for failure in ("rolled back", "try again", "refused", *waits, *needs):
            stamp = (row.attempt, row.dispatches)
            worker = Worker(kind, step, failure, live=False, counted=counted, stamp=stamp)
            workers = tuple(sorted((*others, worker)))
            label = f"the {kind} of step {step} is rolled back: {failure}"
            yield label, True, world._replace(workers=workers)


def _attempts(row: Row) -> tuple[int, ...]:
    """The number of the attempt that a claim begins, as far as it matters."""
    if row.waiting_for == SECOND_LOOK:
        return (1, _LAST_LOOK)
    return (1 if row.waiting_for == PROBE else row.attempt + 1,)
