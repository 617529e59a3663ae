"""A stack that runs: found by its data folder, described, and stopped.

``saga.stack.startup`` starts one.
"""

import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from saga.embedded.family import kill, still_there
from saga.stack.holding import supervised
from saga.stack.orphans import Recorded, end_orphans, recorded

_URLS = ("databaseUrl", "brokerUrl", "sandboxUrl", "apiUrl", "apiKey", "consoleUrl", "flowerUrl")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What is known of the stack that runs in a data folder, as it was when it was asked for.

    ``environment`` is what its processes have besides that of their starter: set it before the
    application is imported to work on the same servers. ``missing`` names processes that are
    just being started (again).
    """

    data: Path
    facts: Mapping[str, Any]
    environment: Mapping[str, str]
    pids: Mapping[str, Any]
    missing: tuple[str, ...]

    def description(self) -> dict[str, Any]:
        """Give the object that ``saga up --json`` prints; what is not there is null."""
        urls = dict.fromkeys(_URLS) | dict(self.facts)
        return {**urls, "pids": dict(self.pids), "dataFolder": str(self.data)}


def running(data: Path) -> Stack | None:
    """Give the stack that runs in the folder; None while there is none, or none that is up."""
    if not supervised(data):
        return None
    state = _state(data)
    # A new supervisor first ends what the old one left, and for that keeps the old one's notes.
    if state is None or not state["up"] or _supervisor(state).find() is None:
        return None
    return _read(data, state)


def await_whole(data: Path, patience: timedelta) -> Stack | None:
    """Wait until the folder's stack is up with nothing missing; gives it as it is in the end.

    None as soon as no supervisor holds the folder.
    """
    deadline = time.monotonic() + patience.total_seconds()
    while supervised(data):
        stack = running(data)
        if stack is not None and not stack.missing:
            return stack
        if time.monotonic() > deadline:
            return stack
        time.sleep(0.1)
    return None


def down(data: Path, patience: timedelta = timedelta(seconds=90)) -> bool:
    """Stop the folder's stack, data kept; False where nothing ran.

    What a killed supervisor left behind is ended too, and a supervisor that hangs is killed.
    """
    deadline = time.monotonic() + patience.total_seconds()
    asked: Recorded | None = None
    while supervised(data):
        if (state := _state(data)) is not None:
            supervisor = _supervisor(state)
            if supervisor != asked:
                _send(supervisor, signal.SIGTERM)
                asked = supervisor
            if time.monotonic() > deadline:
                _send(supervisor, signal.SIGKILL)
        time.sleep(0.05)
    if asked is not None and (supervisor_process := asked.find()) is not None:
        # It lets go of the folder before it ends.
        kill(still_there([supervisor_process], timedelta(seconds=10)))
    orphans = [record for record in recorded(data) if record.find() is not None]
    end_orphans(recorded(data))
    (data / "stack.json").unlink(missing_ok=True)
    return asked is not None or bool(orphans)


def _state(data: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((data / "stack.json").read_text())
    except FileNotFoundError:
        return None
    return state


def _supervisor(state: Mapping[str, Any]) -> Recorded:
    note = state["supervisor"]
    return Recorded(note["pid"], note["created"])


def _send(supervisor: Recorded, what: signal.Signals) -> None:
    process = supervisor.find()
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, what)


def _read(data: Path, state: Mapping[str, Any]) -> Stack:
    pids: dict[str, Any] = {"worker": []}
    pids |= dict.fromkeys(("recovery", "beat", "postgres", "redis", "sandbox", "api", "flower"))
    pids["supervisor"] = state["supervisor"]["pid"]
    missing = []
    for note in state["processes"]:
        lives = note["pid"] is not None and Recorded(note["pid"], note["created"]).find()
        if not (lives and note["ready"]):
            missing.append(note["name"])
        pid = note["pid"] if lives else None
        if note["role"] != "worker":
            pids[note["role"]] = pid
        elif pid is not None:
            pids["worker"].append(pid)
    facts = dict(state["facts"])
    environment = facts.pop("environment")
    return Stack(data=data, facts=facts, environment=environment, pids=pids, missing=tuple(missing))
