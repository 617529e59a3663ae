"""How long to wait between two attempts: pure arithmetic on timedelta."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

# 2**30 times any sensible first delay is far above any cap.
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter.

    ``retries`` counts the attempts after the first: 3 retries are 4 attempts. The n-th retry
    comes ``first * 2**(n-1)`` after the n-th attempt ended, at most ``longest``, less up to half
    of it by jitter, and in whole seconds of at least 1, as Celery's delayed delivery asks.
    """

    retries: int = 3
    first: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(minutes=10)

    def allows(self, attempts: int) -> bool:
        """Whether another attempt may follow after ``attempts`` of them."""
        return attempts <= self.retries

    def delay(self, attempts: int, *, jitter: float = 0.0) -> timedelta:
        """The wait after the ``attempts``-th attempt; ``jitter`` from 0 (none) to 1 (half off)."""
        doublings = min(max(attempts - 1, 0), _MOST_DOUBLINGS)
        full = min(self.first.total_seconds() * 2**doublings, self.longest.total_seconds())
        return timedelta(seconds=max(1, math.ceil(full * (1 - jitter / 2))))


@dataclass(frozen=True)
class PollPolicy:
    """How long to wait between two questions for a provider's final word.

    The n-th wait is the n-th of ``waits``; the last of them goes on for as long as it takes.
    """

    waits: Sequence[timedelta]

    def __post_init__(self) -> None:
        object.__setattr__(self, "waits", tuple(self.waits))
        if not self.waits or min(self.waits) <= timedelta(0):
            raise ValueError("PollPolicy needs waits that are longer than nothing")

    def delay(self, polls: int) -> timedelta:
        """The wait after ``polls`` others."""
        return self.waits[min(polls, len(self.waits) - 1)]


@dataclass(frozen=True)
class Skip:
    """What is given up is passed over: its saga goes on without it."""


skip = Skip()

STEP = RetryPolicy()
COMPENSATION = RetryPolicy(retries=10, longest=timedelta(minutes=10))
LOOK = RetryPolicy(retries=10, first=timedelta(seconds=5), longest=timedelta(minutes=10))
PROBE = RetryPolicy(retries=0, first=timedelta(seconds=5), longest=timedelta(minutes=10))

# As WeChat Pay advises for a refund that is PROCESSING.
_MINUTES = (1, 1, 1, 1, 1, 5, 10, 20, 30)
POLL = PollPolicy([timedelta(minutes=minutes) for minutes in _MINUTES])
