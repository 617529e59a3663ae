"""Tells line by line how sagas of a stage go, and notes what is not as it must be."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

from rich.console import Console
from sqlalchemy import Engine

from commands.stage import Stage
from saga import Status
from saga.cli.sagas import colored
from saga.registry import Registry
from saga.timeline import Entry, entries, took
from saga.views import show

Hear = Callable[[dict[str, Any]], None]
"""What is called with each event of a saga, once it was told."""

_REST_WITHIN = timedelta(seconds=60)
_LOOK_EVERY = timedelta(seconds=0.2)


class Narrator:
    """Follows sagas on a stage. ``sagas`` is what came to rest, ``wrong`` what must not be."""

    def __init__(
        self, stage: Stage, registry: Registry, database: Engine, console: Console
    ) -> None:
        self.stage = stage
        self.database = database
        self.sagas: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self._registry = registry
        self._console = console

    def title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]")

    def line(self, text: str) -> None:
        """Say one line; brackets style it, as in rich's markup."""
        self._console.print(f"  {text}", highlight=False)

    def busy(self, what: str) -> AbstractContextManager[Any]:
        return busy(self._console, what)

    def until(self, is_so: Callable[[], bool]) -> bool:
        """Wait for something to be so. False: it did not come in a minute."""
        deadline = time.monotonic() + _REST_WITHIN.total_seconds()
        while not (found := is_so()) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY.total_seconds())
        return found

    def let_rest(self, saga_ids: Iterable[str]) -> None:
        """Wait until these sagas rest, and tell nothing yet."""
        with self.busy("the workers are at it"):
            for saga_id in saga_ids:
                self.until(lambda saga_id=saga_id: not _is_open(self._look(saga_id)))  # type: ignore[misc]

    def follow(
        self, name: str, saga_id: str, *, end: Status, on_event: Hear | None = None
    ) -> dict[str, Any]:
        """Tell what happens to a saga until it rests, and note where it does not end so.

        Gives what ``saga.views.show`` has of it at last.
        """
        self._console.print(f"\n  [bold]{name}[/]  saga {saga_id}")
        seen: dict[str, Any] = {}
        told = 0

        def went_on() -> bool:
            nonlocal seen, told
            seen = self._look(saga_id)
            timeline = list(entries(seen["events"], seen["saga"]["sagaType"]))
            for event, entry in list(zip(seen["events"], timeline, strict=True))[told:]:
                self._console.print(_line(entry))
                if on_event is not None:
                    on_event(event)
            told = len(timeline)
            return not _is_open(seen)

        with self.busy("waiting for what comes next"):
            self.until(went_on)
        self._conclude(name, seen, end)
        return seen

    def _conclude(self, name: str, seen: dict[str, Any], end: Status) -> None:
        saga = seen["saga"]
        status = saga["status"]
        self._console.print(f"  {colored(status)}: {seen['why']}")
        self.sagas.append({"name": name, "sagaId": saga["sagaId"], "status": status})
        if status != end:
            told = f"saga {name!r} ({saga['sagaId']}) is {status}, not {end}"
            self.wrong.append(f"{told}: {seen['why']}")

    def _look(self, saga_id: str) -> dict[str, Any]:
        with self.database.connect() as connection:
            return show(connection, self._registry, saga_id)


def _is_open(seen: dict[str, Any]) -> bool:
    return seen["saga"]["status"] in {Status.RUNNING, Status.COMPENSATING}


def _line(entry: Entry) -> str:
    attempt = "" if entry.attempt is None else f"attempt {entry.attempt}"
    by = ", ".join(filter(None, (entry.duration, entry.worker.partition("@")[0])))
    said = entry.outcome.replace("[", r"\[")
    after = took(entry.after_seconds)
    return f"  {after:>7}  {entry.step:<24}{attempt:<11}{said}  [dim]{by}[/]"


def busy(console: Console, what: str) -> AbstractContextManager[Any]:
    """Show that something goes on; where no terminal is, say nothing."""
    if console.is_terminal:
        return console.status(f"{what} …")
    return nullcontext()
