"""The first page: what needs a person, what each saga type did lately, and what is alive."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga import queries
from saga.attention import STUCK_AFTER, STUCK_RETRIES, needs_a_person
from saga.console.desk import Desk
from saga.console.live import digest, watched
from saga.console.session import who
from saga.console.spark import counts, lasted, lengths, ways
from saga.counts import count_open, count_sagas, since_oldest_due, since_pulse
from saga.followup import Lane
from saga.graph import look
from saga.graph.where import Activity
from saga.graph.words import duration
from saga.position import Status
from saga.rates import Rates, rates
from saga.recovery import PULSE
from saga.roll import Worker
from saga.views import iso
from saga.worker import RECOVERY_QUEUE

# Of each group so many are shown; the list has the others.
_MOST = 8
# A scan may be late, but not by more than this many.
_LATE_SCANS = 3
# Recovery takes what is due within a scan or two, unless it is away or far behind.
_LATE_DUE = timedelta(minutes=1)
# Pictures of an hour are not drawn anew for each change.
_KEEPS_RATES = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Sagas that need a person for the same reason. ``query`` is where the list has them all."""

    name: str
    title: str
    tone: str
    what: str
    query: str | None = None


# How well something is, by its tone.
SIGNS = {
    "good": look.STATUSES[Status.COMPLETED],
    "wait": look.ACTIVITIES[Activity.WAITING],
    "bad": look.STATUSES[Status.FAILED],
}

GROUPS = (
    Group(
        name="failed",
        title="FAILED",
        tone="bad",
        what="No rule tells what comes next: open one, see what it would come to, and decide.",
        query="status=FAILED",
    ),
    Group(
        name="stuck",
        title="compensation stuck",
        tone="back",
        what=f"They go back, and a compensation failed {STUCK_RETRIES} times or came to nothing "
        f"for {duration(STUCK_AFTER)}. Look at the error, and retry once its cause is gone.",
        query="status=COMPENSATING",
    ),
    Group(
        name="paused",
        title="paused",
        tone="wait",
        what="Nothing is begun for them, and their time stands still, until somebody resumes them.",
        query="paused=yes",
    ),
    Group(
        name="overdue",
        title="overdue past the pivot",
        tone="wait",
        what="Their time is over and there is no way back, so they go on. "
        "Look at what they wait for.",
        query="status=RUNNING",
    ),
    Group(
        name="unknown",
        title="of an unknown definition",
        tone="doubt",
        what="No worker knows their type, version or step. Deploy it: after an hour they are "
        "FAILED.",
    ),
)


class _Lately:
    """The rates, read anew when they are some seconds old. All who look see the same."""

    def __init__(self) -> None:
        self._kept: tuple[float, Mapping[str, Rates]] | None = None

    def rates(self, connection: Connection) -> Mapping[str, Rates]:
        kept, now = self._kept, time.monotonic()
        if kept is None or now - kept[0] >= _KEEPS_RATES.total_seconds():
            kept = self._kept = now, rates(connection)
        return kept[1]


def routes(desk: Desk) -> list[Route]:
    """The overview, and the stream that tells that it changed."""
    lately = _Lately()

    def show(request: Request) -> Response:
        masked = not who(request).sees_all
        with _reading(desk) as connection:
            shown = _standing(connection)
            needs = needs_a_person(connection, desk.engine.registry, masked=masked, most=_MOST)
            types = list(_types(desk, count_open(connection), lately.rates(connection)))
            last_scan = since_pulse(connection, PULSE)
            oldest_due = since_oldest_due(connection)
        # Not while a connection waits.
        workers = desk.workers() if desk.workers is not None else None
        return desk.pages.answer(
            request,
            "overview.html",
            groups=[(group, needs[group.name]) for group in GROUPS if needs[group.name]["count"]],
            pauses=needs["pauses"],
            types=types,
            pulses=[
                ("Recovery", _scan(desk, last_scan)),
                ("Due sagas", _due(oldest_due)),
                ("Workers", _roll(workers, is_asked=desk.workers is not None)),
            ],
            workers=workers,
            signs=SIGNS,
            live=f"/stream?shown={shown}",
        )

    async def stream(request: Request) -> Response:
        return await watched(desk, request, _standing)

    return [Route("/", show), Route("/stream", stream)]


def _reading(desk: Desk) -> Connection:
    return desk.connect().execution_options(postgresql_readonly=True)


def _standing(connection: Connection) -> str:
    """A word for how many sagas stand where, and for what is paused."""
    return digest(count_sagas(connection)["counts"], queries.active_pauses(connection))


def _types(
    desk: Desk, standing: Mapping[tuple[str, str], int], lately: Mapping[str, Rates]
) -> Iterator[dict[str, Any]]:
    """What is told of each type: those that are known here, then all others that there are."""
    known = dict.fromkeys(saga.name for saga in desk.engine.registry)
    others = {saga_type for saga_type, _ in standing} | set(lately)
    for name in (*known, *sorted(others - set(known))):
        its = lately.get(name)
        yield {
            "name": name,
            "is_known": name in known,
            "open": [
                (status, standing[name, status]) for status in Status if (name, status) in standing
            ],
            "is_calm": its is None,
            "ways": ways(its),
            "counts": [] if its is None else counts(its.whole),
            "lengths": lengths(its),
            "median": _lasted(None if its is None else its.whole.median),
            "p95": _lasted(None if its is None else its.whole.p95),
            "counted_from": None
            if its is None or its.counted_from is None
            else iso(its.counted_from),
        }


def _lasted(time: timedelta | None) -> str | None:
    return None if time is None else lasted(time)


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """How well something is: its tone, what is said of it, since when, and what to do."""

    tone: str
    said: str
    at: str | None = None
    advice: str = ""


def _scan(desk: Desk, age: timedelta | None) -> Pulse:
    start = "Start beat, and a worker that takes from saga.recovery: sagas cut off wait for them."
    if age is None:
        return Pulse(tone="bad", said="It has never run.", advice=start)
    every = desk.engine.timing.scan
    if age > every * _LATE_SCANS:
        late = f"It should run every {duration(every)}. {start}"
        return Pulse(tone="bad", said="The last pass was", at=_ago(age), advice=late)
    return Pulse(tone="good", said="The last pass was", at=_ago(age))


def _due(age: timedelta | None) -> Pulse:
    if age is None:
        return Pulse(tone="good", said="Nothing that is due waits.")
    if age <= _LATE_DUE:
        return Pulse(tone="good", said="The oldest is due since", at=_ago(age))
    advice = "Is recovery running? Does a transaction keep rows locked?"
    return Pulse(tone="bad", said="The oldest is due since", at=_ago(age), advice=advice)


def _roll(workers: Sequence[Worker] | None, *, is_asked: bool) -> Pulse:
    if not is_asked:
        return Pulse(tone="wait", said="Nobody asks here which workers answer.")
    if workers is None:
        advice = "The broker does not answer."
        return Pulse(tone="wait", said="Which workers answer is not known.", advice=advice)
    if not workers:
        return Pulse(
            tone="bad", said="No worker answers.", advice="Start workers: nothing is done."
        )
    consumed = {queue for worker in workers for queue in worker.queues}
    alone = [queue for queue in (*Lane, RECOVERY_QUEUE) if queue not in consumed]
    if alone:
        said = f"{_answer(len(workers))}, but nobody takes from {' or '.join(alone)}."
        return Pulse(tone="bad", said=said, advice="Start a worker for it.")
    return Pulse(tone="good", said=f"{_answer(len(workers))}.")


def _answer(workers: int) -> str:
    return "One worker answers" if workers == 1 else f"{workers} workers answer"


def _ago(age: timedelta) -> str:
    return iso(datetime.now(UTC) - age)
