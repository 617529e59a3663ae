"""What a step may answer when it is neither done nor refused: it waits, and costs no attempt.

Whatever it waits for, the step is called again afterwards, with the same key, and says more. A
transactional step that waits leaves nothing behind: its SQL is rolled back, and it is run anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeAlias, TypeVar

from pydantic import BaseModel

S = TypeVar("S", bound=BaseModel)
P = TypeVar("P", bound=BaseModel)

_NOTHING = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class PollAgain:
    """Of an external step: accepted, not final; call again ``after`` this long.

    Without ``after`` the step's own PollPolicy says when. A signal named ``signal`` ends the wait
    early. Raises ValueError for a wait of no time.
    """

    after: timedelta | None = None
    signal: str | None = None
    reason: str = "the provider is still at it"

    def __post_init__(self) -> None:
        if self.after is not None and self.after <= _NOTHING:
            raise ValueError("PollAgain(after=…) must be longer than nothing")


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Only a signal of this name brings the saga on; after ``timeout`` the step gives up.

    Of an external step it also means: accepted, not final. ``signal`` is one of the definition's
    signals; one that came before is taken at once. Raises ValueError for a wait of no time.
    """

    signal: str
    timeout: timedelta
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.timeout <= _NOTHING:
            raise ValueError("Wait(timeout=…) must be longer than nothing")


@dataclass(frozen=True)
class SleepUntil:
    """Nothing was done yet: call again at this instant, by the database's clock."""

    instant: datetime
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.instant.tzinfo is None:
            raise ValueError("sleep_until needs an aware datetime")


Waits: TypeAlias = PollAgain | Wait | SleepUntil


def sleep_until(instant: datetime) -> SleepUntil:
    """Answer that the step is to be called at ``instant``; it must have done nothing yet.

    An instant that has passed means at once. Raises ValueError for one without a time zone.
    """
    return SleepUntil(instant)


@dataclass(frozen=True)
class Signal(Generic[S, P]):
    """A message from outside that a saga may wait for: its name, its payload, what it changes."""

    name: str
    payload: type[P]
    function: Callable[[S, P], S]

    def __call__(self, state: S, payload: P) -> S:
        return self.function(state, payload)


def on_signal(name: str, payload: type[P]) -> Callable[[Callable[[S, P], S]], Signal[S, P]]:
    """Make a signal of a function that takes its payload into the saga's state.

    The function is pure: it neither writes nor calls. The step that waited is called again with
    the state that it returns.
    """
    return lambda function: Signal(name, payload, function)
