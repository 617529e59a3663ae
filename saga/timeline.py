"""A saga's timeline in plain words, from the events that ``saga.views.show`` tells."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from saga.graph.words import duration


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened: ``after_seconds`` counts from the start of the saga.

    ``step`` is short, without the saga's name; ``duration`` is how long the work took.
    """

    after_seconds: float
    step: str
    attempt: int | None
    outcome: str
    duration: str
    worker: str


def entries(events: Iterable[Mapping[str, Any]], saga_type: str) -> Iterator[Entry]:
    """Give the timeline, oldest first."""
    began: datetime | None = None
    for event in events:
        at = datetime.fromisoformat(event["at"])
        began = began or at
        yield Entry(
            after_seconds=(at - began).total_seconds(),
            step=short(event["step"] or "", saga_type),
            attempt=event["attempt"] or None,
            outcome=outcome(event, saga_type),
            duration=took(event["duration"]),
            worker=event["actor"] or event["worker"] or "",
        )


def short(name: str, saga_type: str) -> str:
    """Give a step's name without its saga's."""
    return name.removeprefix(f"{saga_type}.")


def took(seconds: float | None) -> str:
    """Say a duration: ``3 ms``, ``1.2 s``."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def outcome(event: Mapping[str, Any], saga_type: str) -> str:
    """Say what an event means for its step; an unknown kind is told by its own words."""
    said, detail = _outcome(event, saga_type), event["detail"]
    because = detail.get("because")
    # A person may have given one text for both.
    if not because or because == detail.get("evidence"):
        return said
    return f"{said} ({detail['asked']}: {because})" if "asked" in detail else f"{said} ({because})"


def _outcome(  # noqa: PLR0912 - one line a kind
    event: Mapping[str, Any], saga_type: str
) -> str:
    detail = event["detail"]
    error = _error(detail)
    match event["kind"]:
        case kind if kind in _PLAIN:
            return _PLAIN[kind]
        case "attempt_started":
            task = detail.get("task", event["step"])
            return "calls" if task == event["step"] else f"calls {short(task, saga_type)}"
        case "progress":
            return _so_far(detail)
        case "step_done":
            return f"done{_found(detail)}{_in_all(detail)}"
        case "step_skipped":
            end = "; the saga is COMPLETED" if detail.get("completed") else ""
            return f"skipped, as it {detail.get('reason')}{error}{end}"
        case "accepted":
            sooner = f", or when the signal {detail['signal']} comes" if "signal" in detail else ""
            said = f"{_reason(detail)}{_found(detail)}"
            return f"accepted, not final{said}; asks again in {_wait(detail)}{sooner}"
        case "waiting":
            signal = f"the signal {detail.get('signal')}, {_wait(detail)} at most"
            return f"waits for {signal}{_reason(detail)}"
        case "sleeping":
            return f"sleeps for {_wait(detail)}{_reason(detail)}"
        case "signal_received":
            return f"the signal {detail.get('signal')} came; nothing waits for it yet"
        case "signalled":
            return f"the signal {detail.get('signal')} came; the step is called again"
        case "attempt_failed":
            return f"failed{error}{_in_all(detail)}; tries again in {_wait(detail)}"
        case "probe_planned":
            probe = short(str(detail.get("probe")), saga_type)
            found = f"{error}{_found(detail)}"
            return f"nobody knows whether it happened{found}; {probe} asks in {_wait(detail)}"
        case "compensating":
            return f"{_REASONS.get(detail.get('reason'), 'goes back')}{error}{_found(detail)}"
        case "compensated" | "timed_out" as kind:
            status = "TIMEOUT" if kind == "timed_out" else "COMPENSATED"
            # With a reason of its own, nothing had to be compensated.
            reason = f"{error}{_found(detail)}"
            return (
                f"the saga is {status}{reason}" if reason else f"compensated; the saga is {status}"
            )
        case "looked_again":
            return f"looked again{_found(detail)}"
        case "retried":
            generation = detail.get("generation")
            return f"tried again, under key {generation}" if generation else "tried again"
        case "paused":
            what = detail.get("what", "saga")
            return "paused" if what == "saga" else f"paused, as its {what} is"
        case "resolved":
            return f"found {str(detail.get('outcome')).replace('_', ' ')}: {detail.get('evidence')}"
        case "failed":
            done = "compensated; " if detail.get("compensated") else ""
            return f"{done}the saga is FAILED: {detail.get('alarm')}{error}"
        case kind:
            said = detail.get("alarm") or detail.get("reason")
            return str(kind).replace("_", " ") + (f": {said}" if said else "")


_PLAIN = {
    "attempt_counted": "begins again; an earlier worker may have died in it",
    "completed": "done; the saga is COMPLETED",
    "step_compensated": "compensated",
    "taken_over": "its worker was lost; recovery takes over",
    "dispatched": "sent to the workers",
    "compensation_ordered": "the saga is to be compensated",
    "resumed": "goes on",
    "stopping": "is to stop once the call in hand has ended",
}

_SIZES = ((2**30, "GB"), (2**20, "MB"), (2**10, "KB"))

_REASONS = {
    "refused": "refused; the saga goes back",
    "gave_up": "gave up; the saga goes back",
    "timeout": "its time is over; the saga goes back",
    "cancelled": "cancelled; the saga goes back",
    "ordered": "the saga goes back",
}


def _wait(detail: Mapping[str, Any]) -> str:
    seconds = detail.get("again_seconds", detail.get("after_seconds", 0))
    return duration(timedelta(seconds=round(seconds) if seconds > 1 else seconds))


def _in_all(detail: Mapping[str, Any]) -> str:
    """How far a call had come when it ended."""
    return f" ({_so_far(detail['progress'])})" if "progress" in detail else ""


def _so_far(progress: Mapping[str, Any]) -> str:
    """``63 of 200 MB``; other units than bytes as they are."""
    done, of, unit = progress["done"], progress["of"], progress["unit"]
    if unit != "bytes":
        return f"{done} of {of} {unit}"
    step, name = next(((step, name) for step, name in _SIZES if of >= 10 * step), (1, "bytes"))
    return f"{done // step} of {of // step} {name}"


def _reason(detail: Mapping[str, Any]) -> str:
    return f" ({detail['reason']})" if detail.get("reason") else ""


def _error(detail: Mapping[str, Any]) -> str:
    return f" ({detail['error']})" if detail.get("error") else ""


def _found(detail: Mapping[str, Any]) -> str:
    return f" (the probe: {detail['found']})" if detail.get("found") else ""
