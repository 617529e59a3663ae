"""The engine's own clockwork: every duration it waits, in one place. Tests shorten it."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the engine waits, and for what.

    ``lease``: how long a silent worker keeps its claim; a heartbeat renews it every third of it.
    ``grace``: from a call's timeout, where it is told to stop, to the hard limit that kills it.
    ``patience``: how long a published message may stay unclaimed before it is published again.
    ``scan``: how often beat runs recovery. ``longest_hold``: longer waits live in the row alone,
    shorter ones as a delayed message. ``second_looks``: when, after a saga rested on a probe's
    "did not happen", the probe is asked again. ``unknown_again`` and ``unknown_for``: how often a
    saga of an unknown type, version or step is looked at, and for how long before it is FAILED.
    ``batch`` bounds one recovery pass; above ``short_queue`` waiting messages, recovery trusts
    that an unclaimed message is still on its way.
    """

    lease: timedelta = timedelta(seconds=10)
    grace: timedelta = timedelta(seconds=5)
    patience: timedelta = timedelta(seconds=10)
    scan: timedelta = timedelta(seconds=2)
    longest_hold: timedelta = timedelta(seconds=60)
    second_looks: tuple[timedelta, ...] = (timedelta(minutes=10), timedelta(hours=24))
    unknown_again: timedelta = timedelta(minutes=1)
    unknown_for: timedelta = timedelta(hours=1)
    batch: int = 100
    short_queue: int = 100
