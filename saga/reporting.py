"""How far a call has come: told by its step, written down by its heartbeat."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from saga.circumstances import plain
from saga.errors import ClaimLost

_LONGEST_UNIT = 40


@dataclass(frozen=True)
class Told:
    """So much ``done`` of so much, in ``unit``."""

    done: int
    of: int
    unit: str

    def detail(self) -> dict[str, Any]:
        """What an event says of it."""
        return {"done": self.done, "of": self.of, "unit": self.unit}


class Progress:
    """What the step of one call told last, and whether that call is still ours."""

    def __init__(self) -> None:
        self.told: Told | None = None
        self.is_lost = False

    def detail(self) -> dict[str, Any]:
        """What the event of the call's end says of it."""
        return {} if self.told is None else {"progress": self.told.detail()}


_current: ContextVar[Progress | None] = ContextVar("saga_progress", default=None)


@contextmanager
def reporting(to: Progress) -> Iterator[None]:
    """Let ``progress`` tell of this call while the block runs."""
    before = _current.set(to)
    try:
        yield
    finally:
        _current.reset(before)


def progress(done: int, of: int, unit: str = "bytes") -> None:
    """Tell how far an external step, a compensation or a probe has come.

    Cheap: call it as often as you like; only now and then is it written into the timeline. Outside
    of a call, as in a test of the step alone, nobody listens; nor in threads that the step starts
    without its context. Raises ClaimLost once the call's claim is lost, or past its hard limit:
    what it still did would only be in the way; ValueError for numbers below 0 or that are none.
    """
    for number in (done, of):
        if not isinstance(number, int) or number < 0:
            raise ValueError(f"progress(done, of) takes whole numbers from 0 on, not {number!r}")
    current = _current.get()
    if current is None:
        return
    if current.is_lost:
        raise ClaimLost
    current.told = Told(done, of, plain(unit, longest=_LONGEST_UNIT))
