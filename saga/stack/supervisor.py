"""Keeps a list of processes running: one that dies is started again, with growing patience.

One supervisor a data folder: it holds a lock on the folder as long as it lives, and that lock is
how everybody else knows that it runs. What it started stands in ``stack.json``; should it be
killed, the next one ends by that what was left behind.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psutil

from saga.embedded.place import write_private
from saga.stack.holding import hold
from saga.stack.orphans import end_orphans, recorded

_FIRST_PAUSE = timedelta(seconds=0.5)
_LONGEST_PAUSE = timedelta(seconds=30)
_HEALTHY_AFTER = timedelta(minutes=1)
_LOG_LIMIT = 20_000_000  # bytes; a longer log is put aside when its process starts


class StartFailedError(Exception):
    """A process did not become ready; the message has the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """How one process is started, known to be ready, and stopped.

    ``role`` is the name under which its number is told. ``command`` is asked before each start.
    ``ready`` is asked until it says yes, and gets the time of the start (seconds since the epoch).
    Processes of a higher ``stage`` are stopped before those of a lower one.
    """

    name: str
    role: str
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]
    folder: Path
    stage: int = 0
    ready: Callable[[float], bool] = lambda _since: True
    ready_within: timedelta = timedelta(seconds=60)
    first_tries: int = 1
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: timedelta = timedelta(seconds=10)


@dataclass
class _Kept:
    """A process with its keeper: the thread that starts it again."""

    process: Process
    running: subprocess.Popen[bytes] | None = None
    created: float = 0.0
    log_from: int = 0
    ready: bool = False
    failure: str | None = None
    thread: threading.Thread | None = None
    settled: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Raises AlreadySupervisedError where another one holds ``folder``.

    Making one ends whatever a killed supervisor left behind there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
        self._lock = hold(folder)
        self._state = threading.Lock()
        self._kept: list[_Kept] = []
        self._facts: dict[str, Any] = {}
        self._up = False
        end_orphans(recorded(folder))
        self._write()

    def start(self, processes: Iterable[Process], *, give_up: threading.Event) -> None:
        """Start all at once; return when all are ready.

        Raises StartFailedError for the first that is not. When ``give_up`` is set meanwhile,
        it returns at once.
        """
        new = [_Kept(process) for process in processes]
        with self._state:
            self._kept += new
        for kept in new:
            kept.thread = threading.Thread(target=self._keep, args=(kept,), daemon=True)
            kept.thread.start()
        waiting = new
        while waiting and not give_up.wait(0.02):
            for kept in waiting:
                if kept.settled.is_set() and kept.failure is not None:
                    raise StartFailedError(kept.failure)
            waiting = [kept for kept in waiting if not kept.settled.is_set()]

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Tell everybody that all runs, and ``facts`` about it."""
        with self._state:
            self._facts = dict(facts)
            self._up = True
        self._write()

    def stop(self) -> None:
        """Stop all, the highest stage first, and let go of the folder; a second call does nothing.

        Each is asked by its own signal, and killed with its children when its time is over.
        """
        if self._lock.closed:
            return
        with self._state:
            kept_ones, self._up = self._kept, False
            for kept in kept_ones:
                kept.stopping.set()
        self._write()
        for stage in sorted({kept.process.stage for kept in kept_ones}, reverse=True):
            threads = [
                threading.Thread(target=_end, args=(kept,))
                for kept in kept_ones
                if kept.process.stage == stage
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        (self.folder / "stack.json").unlink(missing_ok=True)
        self._lock.close()

    def _keep(self, kept: _Kept) -> None:
        pause, tries = _FIRST_PAUSE, 0
        while not kept.stopping.is_set():
            started, tries = time.time(), tries + 1
            trouble = self._run_once(kept, started)
            if kept.stopping.is_set():
                return
            if not kept.settled.is_set() and tries >= kept.process.first_tries:
                kept.failure = f"{kept.process.name} {trouble}\n{self._log_tail(kept)}"
                kept.settled.set()
                return
            if time.time() - started > _HEALTHY_AFTER.total_seconds():
                pause = _FIRST_PAUSE
            if kept.stopping.wait(pause.total_seconds()):
                return
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _run_once(self, kept: _Kept, started: float) -> str:
        """Run the process until it ends; says how it ended."""
        process = kept.process
        try:
            command = list(process.command())
            # Under the lock: once stop() has asked for the end, nothing is started any more, and
            # it knows all that was.
            with self._state, self._log(process.name) as log:
                if kept.stopping.is_set():
                    return "was stopped"
                kept.log_from = log.tell()
                running = subprocess.Popen(  # noqa: S603
                    command,
                    env=dict(process.environment),
                    cwd=process.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C reaches only us, and all that it starts can be killed with it.
                    start_new_session=True,
                )
                kept.running, kept.ready = running, False
                with suppress(psutil.NoSuchProcess):
                    kept.created = psutil.Process(running.pid).create_time()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            return f"could not be started: {error}"
        self._write()
        trouble = _await_ready(kept, running, started)
        if trouble is None:
            with self._state:
                kept.ready = True
            self._write()
            kept.settled.set()
            code = running.wait()
            trouble = f"ended with code {code}"
        elif not kept.stopping.is_set():
            kill_group(running.pid)
            running.wait()
        if not kept.stopping.is_set():
            # What it leaves behind would work on beside its successor.
            kill_group(running.pid)
            with self._state:
                kept.running, kept.ready = None, False
            self._write()
        return trouble

    def _log(self, name: str) -> IO[bytes]:
        path = self._log_file(name)
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _log_file(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _log_tail(self, kept: _Kept, lines: int = 40) -> str:
        """Give the end of what the process has said since its last start."""
        path = self._log_file(kept.process.name)
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(kept.log_from)
            said = log.read().decode(errors="replace")
        return "\n".join(said.splitlines()[-lines:])

    def _write(self) -> None:
        """Write ``stack.json``. Under the lock, so that an older truth never replaces a newer."""
        with self._state:
            processes = [
                {
                    "name": kept.process.name,
                    "role": kept.process.role,
                    "pid": kept.running.pid if kept.running else None,
                    "created": kept.created,
                    "ready": kept.ready,
                    "stage": kept.process.stage,
                    "signal": kept.process.stop_signal,
                }
                for kept in self._kept
            ]
            supervisor = {"pid": os.getpid(), "created": psutil.Process().create_time()}
            state = {"up": self._up, "supervisor": supervisor, "processes": processes}
            write_private(self.folder / "stack.json", json.dumps({**state, "facts": self._facts}))


def _await_ready(kept: _Kept, running: subprocess.Popen[bytes], started: float) -> str | None:
    """Give None once the process is ready, else what went wrong."""
    deadline = time.monotonic() + kept.process.ready_within.total_seconds()
    while time.monotonic() < deadline and not kept.stopping.is_set():
        if (code := running.poll()) is not None:
            return f"ended with code {code} before it was ready"
        # A question that fails is an answer: not yet.
        with suppress(Exception):
            if kept.process.ready(started):
                return None
        kept.stopping.wait(0.1)
    return f"was not ready within {kept.process.ready_within.total_seconds():.0f} seconds"


def _end(kept: _Kept) -> None:
    if kept.running is not None:
        with suppress(ProcessLookupError):
            kept.running.send_signal(kept.process.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            kept.running.wait(kept.process.stop_within.total_seconds())
        kill_group(kept.running.pid)
        kept.running.wait()
    if kept.thread is not None:
        kept.thread.join()


def kill_group(leader: int) -> None:
    """Kill what is left of the process group that ``leader`` led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
