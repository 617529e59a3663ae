"""How often each step was tried, counted from what happened."""

from collections.abc import Iterable, Mapping
from typing import Any

# Kinds of events that tell of an attempt without a call to another system.
TRIED = frozenset(
    {"attempt_counted", "attempt_failed", "step_done", "step_skipped", "completed"}
    # A step's last attempt is told by what became of its saga.
    | {"compensating", "compensated", "timed_out", "failed"}
)

# Kinds of events by which an attempt is given back.
WAITS = frozenset({"accepted", "waiting", "sleeping"})


def attempts(events: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Attempts of each step's own work, oldest event first; compensations and probes are not them.

    A call that is made again after a wait costs no attempt.
    """
    calls: dict[str, int] = {}
    transactions: dict[str, int] = {}
    last: dict[str, int] = {}
    going_back = False
    for event in events:
        step, number, kind = event["step"], event["attempt"], event["kind"]
        if step is None:
            continue
        if kind == "attempt_started":
            if event["detail"].get("task") == step:
                calls[step] = calls.get(step, 0) + 1
        elif kind in WAITS and step in calls:
            calls[step] -= 1
        elif kind in TRIED and event["detail"].get("asked"):
            pass  # An operator ended it, not another attempt.
        elif kind in TRIED and not going_back and number and last.get(step) != number:
            transactions[step] = transactions.get(step, 0) + 1
            last[step] = number
        going_back = going_back or kind == "compensating"
    return transactions | calls
