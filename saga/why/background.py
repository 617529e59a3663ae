"""What ``why`` tells beyond a saga's row: since when it waits, and who paused it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from saga.position import Paused
from saga.queries import ActivePause
from saga.row import Row

_BEGINS_A_WAIT = frozenset({"waiting", "accepted", "sleeping"})


@dataclass(frozen=True, kw_only=True)
class Background:
    """What a saga's events and the pauses tell; None where they tell nothing.

    ``paused_at`` is since when that is paused which the saga stands still for.
    ``is_lifted``: that pause has ended, and recovery is about to let the saga go on.
    """

    waits_since: datetime | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    because: str | None = None
    is_lifted: bool = False


def paused_what(row: Row) -> Paused | None:
    """What holds the saga: its own pause before all others, else the one that is on now."""
    return row.paused if row.paused is Paused.SAGA else row.pause or row.paused


def background(
    row: Row, events: Sequence[Mapping[str, Any]], pauses: Sequence[ActivePause]
) -> Background:
    """Read it from events as ``saga.views.show`` tells them, and from what is paused now.

    ``row.pause`` must have been asked for.
    """
    since = _last_at(events, _BEGINS_A_WAIT)
    match paused_what(row):
        case None:
            return Background(waits_since=since)
        case Paused.SAGA:
            done = next((each for each in reversed(events) if each["kind"] == "paused"), None)
            return Background(
                waits_since=since,
                paused_by=done and done["actor"],
                because=done and done["detail"].get("because"),
            )
    pause = next((each for each in pauses if _holds(each, row)), None)
    if pause is None:
        return Background(waits_since=since, is_lifted=True)
    return Background(
        waits_since=since, paused_at=pause.at, paused_by=pause.actor, because=pause.reason
    )


def _last_at(events: Sequence[Mapping[str, Any]], kinds: frozenset[str]) -> datetime | None:
    found = next((event for event in reversed(events) if event["kind"] in kinds), None)
    return None if found is None else datetime.fromisoformat(found["at"])


def _holds(pause: ActivePause, row: Row) -> bool:
    step = None if row.pause is Paused.TYPE else row.step
    return pause.saga_type == row.saga_type and pause.step == step
