"""Ending a process with its children, and knowing that they are gone."""

import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta

import psutil


def end(pid: int, stop_signal: signal.Signals, patience: timedelta) -> None:
    """End process ``pid`` and its children; returns when all are gone.

    They are asked by ``stop_signal`` to the first, and killed once ``patience`` is over.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        process.send_signal(stop_signal)
        if stop_signal is not signal.SIGKILL:
            family = still_there(family, patience)
        kill(family)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill all; returns when they are gone."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    still_there(processes, timedelta(seconds=5))


def still_there(processes: Iterable[psutil.Process], patience: timedelta) -> list[psutil.Process]:
    """Wait until all are gone; give those that are not when ``patience`` is over."""
    deadline = time.monotonic() + patience.total_seconds()
    left = list(processes)
    while (left := [process for process in left if lives(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def lives(process: psutil.Process) -> bool:
    """Tell whether it runs: a zombie does not, and in a container nobody may ever reap it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
