"""What happens at a crash point: the process dies there, or it freezes and thaws too late."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.integration.by_hand import Killed
from tests.integration.dock import CALLS


class Then(StrEnum):
    """What becomes of a dead process's messages, or of a frozen process."""

    GIVEN_BACK = "its message is given back"
    GIVEN_BACK_TWICE = "its message is given back twice"
    GIVEN_BACK_LATE = "its message is given back when all is over"
    ALL_LOST = "every message is lost"
    ALL_AGAIN = "every message that ever was comes again, the newest first"
    THAWS = "it freezes, and thaws when another one has begun"
    THAWS_LATE = "it freezes, and thaws when the saga rests"


DEATHS = [then for then in Then if not then.name.startswith("THAWS")]
FREEZES = [Then.THAWS, Then.THAWS_LATE]

# Where no transaction is open: PostgreSQL itself ends one that stands still.
FREEZABLE = {
    *("after commit", "before call", "after call", "before publish", "after publish"),
    *(f"{when} {call} at the host" for call in CALLS for when in ("before", "after")),
    *("before connect to the device", "after connect to the device"),
}


@dataclass(frozen=True, order=True)
class Point:
    """The ``number``-th point of a history that a thread of this kind reached, and its name."""

    number: int
    name: str
    is_heartbeat: bool = False

    def __str__(self) -> str:
        return f"{'heartbeat ' * self.is_heartbeat}{self.number} {self.name}"


@dataclass
class Fates:
    """Writes down each point reached, and strikes where it is to."""

    strikes: list[Callable[[Point], None]] = field(default_factory=list)
    reached: list[Point] = field(default_factory=list)
    is_dead: bool = False

    def __call__(self, name: str) -> None:
        is_heartbeat = threading.current_thread() is not threading.main_thread()
        if self.is_dead:
            # A process dies as a whole: where its heartbeat died, its step goes no further.
            self.is_dead = is_heartbeat
            raise Killed
        number = sum(point.is_heartbeat == is_heartbeat for point in self.reached)
        point = Point(number, name, is_heartbeat)
        self.reached.append(point)
        for strike in self.strikes:
            strike(point)

    def die(self) -> None:
        self.is_dead = threading.current_thread() is not threading.main_thread()
        raise Killed
