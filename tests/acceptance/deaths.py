"""Orders to die, laid down in a folder, and what the processes that live by them write there.

An order is for one subject: a saga, a payment that has none yet, or nobody. Whichever process
stands at its point first takes it; a rename has one winner.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

NOBODY = "nobody"
SENT_TWICE = "everything is sent twice"
DIED = "died"


class Then(StrEnum):
    """What goes down with a process that dies of SIGKILL."""

    ALONE = "alone"
    WITH_ITS_MESSAGES = "with every message of its saga"
    WITH_ITS_WORKER = "with its main process and all children; their messages come after 900 s"


@dataclass(frozen=True, order=True)
class Point:
    """Who stands where, and for the how many-th time in the history of one saga.

    Counted from the saga's last death on: what came before it differs on a busy machine.

    What is done for no saga is not counted: ``number`` 0 is whenever somebody comes there.
    """

    who: str
    what: str
    number: int = 1

    @property
    def line(self) -> str:
        return f"{self.who}: {self.what}"

    def __str__(self) -> str:
        return f"{self.line} ({self.number})"


@dataclass(frozen=True)
class Death:
    """An order to die at a point."""

    point: Point
    then: Then = Then.ALONE

    @classmethod
    def read(cls, written: dict[str, Any]) -> "Death":
        return cls(Point(**written["point"]), Then(written["then"]))

    def written(self) -> dict[str, Any]:
        return asdict(self)


class Deaths:
    """The folder. Every process of a test opens it."""

    def __init__(self, folder: Path) -> None:
        self._orders = folder / "orders"
        self._died = folder / "died"
        self._reached = folder / "reached"
        for kind in (self._orders, self._died, self._reached):
            kind.mkdir(parents=True, exist_ok=True)

    def order(self, subject: str, deaths: Sequence[Death]) -> None:
        """Let whoever reaches the first of these points die, and then the next."""
        if not deaths:
            return
        scratch = self._orders / f".{uuid4()}"
        scratch.write_text(json.dumps([death.written() for death in deaths]))
        scratch.rename(self._orders / subject)

    def reach(self, subject: str, who: str, what: str) -> int:
        """Write down that ``who`` stands there; say for the how many-th time."""
        line = f"{who}: {what}"
        file = os.open(self._reached / subject, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, f"{line}\n".encode())
            # Appending is atomic, and leaves the file's position behind our own line.
            so_far = os.pread(file, os.lseek(file, 0, os.SEEK_CUR), 0).decode()
        finally:
            os.close(file)
        return _since_the_last_death(so_far).count(line)

    def take(self, subject: str, who: str, what: str, number: int) -> Death | None:
        """The order to die here and now, for the one process that takes it."""
        order = self._orders / subject
        try:
            first, *others = (Death.read(death) for death in json.loads(order.read_text()))
        except FileNotFoundError:
            return None
        if first.point not in {Point(who, what, number), Point(who, what, 0)}:
            return None
        try:
            order.rename(self._died / f"{subject}.{uuid4()}")
        except FileNotFoundError:
            return None
        self.order(subject, others)
        if number:
            self.reach(subject, DIED, str(first.point))
        return first

    def left(self, subject: str) -> list[Death]:
        """The deaths that were ordered and did not come."""
        order = self._orders / subject
        return (
            [Death.read(death) for death in json.loads(order.read_text())] if order.exists() else []
        )

    def size(self, subject: str) -> int:
        """Grows with every point that is reached."""
        found = self._reached / subject
        return found.stat().st_size if found.exists() else 0

    def points(self, subject: str) -> list[Point]:
        """What was reached, in order; since the last death, if there was one."""
        found = self._reached / subject
        lines = _since_the_last_death(found.read_text()) if found.exists() else []
        return list(_numbered(lines))


def _since_the_last_death(reached: str) -> list[str]:
    lines = reached.splitlines()
    deaths = [at for at, line in enumerate(lines) if line.startswith(f"{DIED}: ")]
    return lines[deaths[-1] + 1 :] if deaths else lines


def _numbered(lines: Iterable[str]) -> Iterator[Point]:
    counted = Counter[str]()
    for line in lines:
        counted[line] += 1
        who, _, what = line.partition(": ")
        yield Point(who, what, counted[line])
