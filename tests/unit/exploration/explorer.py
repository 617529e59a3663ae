"""Walks through every state that can be reached, and remembers the shortest way to each."""

import gc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from saga import Saga
from saga.moves import Move
from tests.unit.exploration import promises
from tests.unit.exploration.model import COMPENSATED, COMPLETED, FAILED, TIMEOUT, Small, World
from tests.unit.exploration.operators import ACTIONS, Operators
from tests.unit.exploration.promises import Violation
from tests.unit.exploration.settlement import Question, Settled, Settlement
from tests.unit.exploration.surroundings import Surroundings
from tests.unit.exploration.workers import Step, Workers


@dataclass(frozen=True)
class Explored:
    """What was reached. ``violation``: the first promise that does not hold, with its history."""

    states: int
    violation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How many ``workers`` there are, how many ``signals`` may come, how often people may act.

    Without a signal no step waits or sleeps. ``needs``: they may ask for a person. ``finds``: their
    probes may find them accepted. ``tells``: how often a provider may tell from outside what it
    did. ``kinds`` is what people do; to resume is free.
    """

    workers: int = 2
    signals: int = 0
    acts: int = 0
    needs: bool = False
    finds: bool = False
    tells: int = 0
    kinds: frozenset[str] = ACTIONS


class Explorer:
    """The states of one small saga, breadth first: the first history found is a shortest."""

    def __init__(self, saga: Saga[Any], bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        self.small = Small(
            saga,
            waits=bounds.signals > 0,
            needs=bounds.needs,
            finds=bounds.finds,
            operated=bounds.acts > 0,
        )
        self._settlement = Settlement(self.small)
        self._operators = Operators(self._settlement, bounds.kinds)
        self._surroundings = Surroundings(self._settlement)
        self._workers = Workers(self._settlement, most=bounds.workers)
        start = self.small.start._replace(
            signals=bounds.signals, acts=bounds.acts, tells=bounds.tells
        )
        self._worlds = [start]
        self._numbers = {start: 0}
        self._parents = array("l", [0])
        self._sources = array("l")
        self._targets = array("l")

    def explore(self) -> Explored:
        with _without_collector():
            number = 0
            try:
                while number < len(self._worlds):
                    self._visit(number)
                    number += 1
            except Violation as violation:
                return Explored(len(self._worlds), f"{violation}\n{self._history(number)}")
            stuck = self._first_that_cannot_rest()
        if stuck is None:
            return Explored(len(self._worlds))
        return Explored(len(self._worlds), f"never comes to rest\n{self._history(stuck)}")

    @property
    def settled(self) -> dict[Question, Settled]:
        """All that was asked of ``decide`` on the way, and what it came to."""
        return self._settlement.known

    @property
    def moves(self) -> set[type[Move]]:
        """The kinds of moves that were made on the way."""
        return {type(settled.move) for settled in self.settled.values()}

    def steps(self, world: World) -> Iterator[Step]:
        """Everything that can happen next."""
        yield from self._workers.steps(world)
        yield from self._surroundings.steps(world)
        if self.small.operated:
            yield from self._operators.steps(world)

    def _visit(self, number: int) -> None:
        numbers, worlds = self._numbers, self._worlds
        for _, is_fair, world in self.steps(worlds[number]):
            target = numbers.setdefault(world, len(worlds))
            if target == len(worlds):
                worlds.append(world)
                self._parents.append(number)
                promises.keep_in_truth(self.small, world)
            if is_fair and target != number:
                self._sources.append(number)
                self._targets.append(target)

    def _first_that_cannot_rest(self) -> int | None:
        """The first state from which even good fortune leads to no end."""
        count = len(self._worlds)
        before = _Incoming(self._sources, self._targets, count)
        rests = bytearray(count)
        frontier = [n for n, world in enumerate(self._worlds) if is_at_rest(world)]
        for number in frontier:
            rests[number] = 1
        while frontier:
            number = frontier.pop()
            for source in before.of(number):
                if not rests[source]:
                    rests[source] = 1
                    frontier.append(source)
        stuck = rests.find(0)
        return None if stuck < 0 else stuck

    def _history(self, number: int) -> str:
        lines = [_tell(self._worlds[number])]
        while number:
            parent = self._parents[number]
            world = self._worlds[number]
            label = next(
                label for label, _, found in self.steps(self._worlds[parent]) if found == world
            )
            lines.append(f"{label}:")
            number = parent
            lines.append(_tell(self._worlds[number]))
        return "\n".join(reversed(lines))


def is_at_rest(world: World) -> bool:
    """At one of the ends, and all second looks taken."""
    row = world.row
    if row.status in {COMPLETED, FAILED}:
        return True
    return row.status in {COMPENSATED, TIMEOUT} and row.waiting_for is None


class _Incoming:
    """For each state, where its fair steps come from: a few bytes a step."""

    def __init__(self, sources: "array[int]", targets: "array[int]", count: int) -> None:
        sizes = array("l", bytes(8 * (count + 1)))
        for target in targets:
            sizes[target + 1] += 1
        self._starts = array("l", accumulate(sizes))
        self._sources = array("l", bytes(8 * len(sources)))
        free = array("l", self._starts)
        for source, target in zip(sources, targets, strict=True):
            self._sources[free[target]] = source
            free[target] += 1

    def of(self, number: int) -> "array[int]":
        return self._sources[self._starts[number] : self._starts[number + 1]]


_BESIDES = frozenset({"signals", "acts", "cancelled", "held"})


def _tell(world: World) -> str:
    row = world.row
    said = ", ".join(
        f"{name}={value}" for name, value in zip(row._fields, row, strict=True) if value
    )
    workers = "; ".join(
        " ".join([worker.kind, str(worker.step), worker.phase])
        + "".join(f" {name}" for name in worker._fields[3:] if getattr(worker, name))
        for worker in world.workers
    )
    message = "a message" if world.published else "no message"
    held = "".join(
        f", {name}={value}" for name, value in world._asdict().items() if name in _BESIDES and value
    )
    books = ", ".join(world.books)
    return f"    {said} | {message}{held} | true: {books} | {workers or 'idle'}"


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of tuples without a cycle: looking for one takes most of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
