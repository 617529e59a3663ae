"""A paused saga: what was paused, by whom, and what its clock says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from saga.position import Paused, Status, WaitingFor
from saga.row import Row
from saga.why.background import Background, paused_what
from saga.why.wording import when


def is_paused(row: Row) -> bool:
    """Whether nothing is begun for the saga; its type or step may be paused, and it not know."""
    return row.paused is not None or row.pause is not None


def paused(row: Row, known: Background) -> Iterator[str]:
    """What was paused, since when and why, and what that does to the saga's time."""
    what = paused_what(row)
    assert what is not None, "it is paused"
    if known.is_lifted:
        yield f"its {what} was paused and is no more: recovery lets it go on within seconds"
    else:
        since = when(row, known.paused_at or row.paused_at)
        actor = f" by {known.paused_by}" if known.paused_by else ""
        reason = f": {known.because}" if known.because else ""
        yield f"{_named(row, what)} since {since}{actor}{reason}"
    if what is Paused.SAGA and row.pause is not None:
        yield f"{_named(row, row.pause)}, too: resume both"
    if row.claimed:
        # A step that is paused is not met any more once the saga is past it.
        of_it = f" of {row.step}" if what is Paused.STEP else ""
        yield f"what is in hand ends first, and nothing{of_it} is begun after it"
    elif row.status is Status.RUNNING:
        left = max(row.timeout_at - _stands_at(row, known), timedelta(0))
        and_left = f", with {_whole_seconds(left)} left" if left else ""
        yield f"nothing is begun, and its clock stands{and_left}"
    else:
        yield "nothing is begun"


def _named(row: Row, what: Paused) -> str:
    match what:
        case Paused.SAGA:
            return "paused"
        case Paused.TYPE:
            return f"all of {row.saga_type} is paused"
        case Paused.STEP:
            return f"{row.step} is paused for all sagas"


def _whole_seconds(time: timedelta) -> timedelta:
    return timedelta(seconds=int(time.total_seconds()))


def _stands_at(row: Row, known: Background) -> datetime:
    """When the saga's clock stopped: with the pause, or as the saga came to it."""
    if row.paused_at is not None:
        return row.paused_at
    return row.now if known.paused_at is None else max(known.paused_at, row.updated_at)


def as_if_resumed(row: Row, known: Background) -> Row:
    """The row as a resumption would leave it now; see ``saga.store.resume``."""
    stood = row.now - _stands_at(row, known)
    waits_for_signal = row.waiting_for is WaitingFor.SIGNAL
    ends = row.not_before
    resumed = replace(
        row,
        paused=None,
        paused_at=None,
        pause=None,
        timeout_at=row.timeout_at + stood,
        not_before=ends + stood if ends is not None and waits_for_signal else ends,
    )
    goes_on = not row.claimed and not resumed.is_waiting
    return replace(resumed, dispatches=1) if goes_on else resumed
