"""Where one saga stands, read from what ``saga.views.show`` tells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from saga.position import Status
from saga.task import Effect


class Activity(StrEnum):
    """What goes on at the step where a saga stands."""

    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    FAILED = "failed"


_PROBE = "its probe"

# What is waited for after an event of this kind.
_BEGINS = {
    "attempt_failed": "the next attempt",
    "probe_planned": _PROBE,
    "accepted": "the final word",
    "waiting": "a signal",
    "sleeping": "its time",
}

# These say nothing about a wait that is under way; every other kind ends it.
_BESIDE = frozenset(
    {"signal_received", "overdue", "paused", "resumed", "stopping", "late_success"}
    | {"unknown_definition", "progress"}
)
# A saga waits for its probe also while the probe is on its way, or being asked.
_ASKS_PROBE = frozenset({"dispatched", "taken_over", "attempt_started"})


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a saga stands.

    ``activity`` is what goes on at ``step``, None once the saga rests. ``waits_for`` completes the
    words "waiting for". ``attempts`` are those of each step; ``why`` is told by ``saga.why``.
    """

    saga_id: str
    status: Status
    step: str
    effects: Mapping[str, Effect]
    attempts: Mapping[str, int]
    activity: Activity | None = None
    waits_for: str | None = None
    why: str = ""

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Self:
        """Read what ``saga.views.show`` told."""
        saga, steps, events = shown["saga"], shown["steps"], shown["events"]
        status = Status(saga["status"])
        waits_for = _waits_for(events)
        activity = _activity(status, is_paused=_is_paused(events), waits=waits_for is not None)
        return cls(
            saga_id=saga["sagaId"],
            status=status,
            step=saga["currentStep"],
            effects={step["name"]: Effect(step["effect"]) for step in steps},
            attempts={step["name"]: step["attempts"] for step in steps},
            activity=activity,
            waits_for=waits_for if activity is Activity.WAITING else None,
            why=shown["why"],
        )


def _activity(status: Status, *, is_paused: bool, waits: bool) -> Activity | None:
    match status:
        case Status.FAILED:
            return Activity.FAILED
        case Status.RUNNING | Status.COMPENSATING:
            if is_paused:
                return Activity.PAUSED
            if waits:
                return Activity.WAITING
            return Activity.RUNNING if status is Status.RUNNING else Activity.COMPENSATING
    return None


def _waits_for(events: Iterable[Mapping[str, Any]]) -> str | None:
    waits_for: str | None = None
    for event in events:
        kind = event["kind"]
        if kind in _BESIDE or (waits_for == _PROBE and kind in _ASKS_PROBE):
            continue
        waits_for = _BEGINS.get(kind)
        if kind == "waiting" and event["detail"].get("signal"):
            waits_for = f"the signal {event['detail']['signal']}"
    return waits_for


def _is_paused(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether it was paused last; a saga that comes to rest or is FAILED is not paused any more."""
    ends = {"resumed", "completed", "compensated", "timed_out", "failed"}
    said = [event["kind"] for event in events if event["kind"] in {"paused", *ends}]
    return bool(said) and said[-1] == "paused"
