"""How far a command has come with many sagas, where a person looks on."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from saga.cli.invocation import current
from saga.cli.output import console


class Counter:
    """A bar with a count; nothing at all without a ``progress``."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: TaskID | None = None if progress is None else progress.add_task("", total=None)

    @property
    def is_shown(self) -> bool:
        return self._progress is not None

    def tell(self, count: int, said: str, *, of: int | None) -> None:
        """So many are through, of so many, as far as that is known."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=count, total=of, description=said)


@contextmanager
def counting() -> Iterator[Counter]:
    """A bar that is gone afterwards; none for programs, and none without a terminal."""
    if current().json or not console.is_terminal:
        yield Counter(None)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Counter(progress)
