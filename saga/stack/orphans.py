"""Processes that outlived their supervisor, found by what it had noted of them."""

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from saga.embedded.family import kill, lives, still_there

_PATIENCE = timedelta(seconds=5)
_SAME_START = 1.0  # seconds by which two readings of one process's start may differ


@dataclass(frozen=True)
class Recorded:
    """A process as ``stack.json`` names it: the number alone may be somebody else's by now.

    ``stop_signal`` ends it; those of a higher ``stage`` end first.
    """

    pid: int
    created: float
    stage: int = 0
    stop_signal: int = signal.SIGTERM

    def find(self) -> psutil.Process | None:
        """Give the very process that was noted, or None once it is gone."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START
        except psutil.NoSuchProcess:
            return None
        return process if same and lives(process) else None


def recorded(folder: Path) -> list[Recorded]:
    """Give what the last supervisor of ``folder`` had noted, or nothing."""
    try:
        state = json.loads((folder / "stack.json").read_text())
    except (FileNotFoundError, ValueError):
        return []
    notes = [note for note in state["processes"] if note["pid"] is not None]
    return [Recorded(note["pid"], note["created"], note["stage"], note["signal"]) for note in notes]


def end_orphans(records: Iterable[Recorded]) -> None:
    """End all of them with their children, the highest stage first; returns when all are gone."""
    records = list(records)
    for stage in sorted({record.stage for record in records}, reverse=True):
        leaders, children = [], []
        for record in records:
            if record.stage != stage:
                continue
            if (leader := record.find()) is not None:
                leaders.append(leader)
                with suppress(psutil.NoSuchProcess):
                    children += leader.children(recursive=True)
                    leader.send_signal(record.stop_signal)
            children += _session_of(record)
        kill([*still_there(leaders, _PATIENCE), *children])


def _session_of(record: Recorded) -> Iterator[psutil.Process]:
    """Give the processes that a dead leader left behind: each led a session of its own."""
    if psutil.pid_exists(record.pid):
        return
    for process in psutil.process_iter():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == record.pid and process.create_time() >= record.created - 1:
                yield process
