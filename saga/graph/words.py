"""What a picture says: durations, retries and kinds in a few words."""

from datetime import timedelta
from typing import Any

from saga.definition import Action, Compensation
from saga.retry import RetryPolicy
from saga.task import External, ExternalCompensation

_UNITS = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "min"),
    (timedelta(seconds=1), "s"),
    (timedelta(milliseconds=1), "ms"),
)


def duration(time: timedelta) -> str:
    """``30 s``, ``1 min 30 s``, ``1 d``: the two largest units that it has."""
    said = []
    for unit, name in _UNITS:
        count, time = divmod(time, unit)
        if count:
            said.append(f"{count} {name}")
    return " ".join(said[:2]) or "0 s"


def retries(policy: RetryPolicy) -> str:
    match policy.retries:
        case 0:
            return "no retries"
        case 1:
            return "1 retry"
        case many:
            return f"{many} retries"


def kind(work: Action[Any] | Compensation[Any]) -> str:
    is_external = isinstance(work, External | ExternalCompensation)
    return "external" if is_external else "transactional"


def short(name: str, saga_type: str) -> str:
    """A task's name without its saga's."""
    return name.removeprefix(f"{saga_type}.")


_SHOWN_WAITS = 3


def waits(policy: RetryPolicy) -> str:
    """``after 2 s, 4 s, 8 s … 10 min``: before its retries, without jitter; empty without any."""
    if not policy.retries:
        return ""
    shown = range(1, min(policy.retries, _SHOWN_WAITS) + 1)
    said = f"after {', '.join(duration(policy.delay(attempts)) for attempts in shown)}"
    if policy.retries <= _SHOWN_WAITS:
        return said
    dots = " …" if policy.retries > _SHOWN_WAITS + 1 else ","
    return f"{said}{dots} {duration(policy.delay(policy.retries))}"
