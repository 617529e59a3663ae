"""The lock by which a supervisor holds a data folder, and by which others see that it runs."""

import fcntl
import time
from pathlib import Path
from typing import IO

_PATIENCE = 1.0  # seconds


class AlreadySupervisedError(Exception):
    """Another supervisor holds the folder."""


def hold(folder: Path) -> IO[str]:
    """Hold the folder until what is returned is closed, or until this process ends.

    Raises AlreadySupervisedError.
    """
    lock = (folder / "lock").open("w")
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody who only asks whether it is held holds it for a moment, too.
            if time.monotonic() > deadline:
                lock.close()
                raise AlreadySupervisedError(str(folder)) from None
            time.sleep(0.05)
        else:
            return lock


def supervised(folder: Path) -> bool:
    """Tell whether a supervisor holds the folder: its stack may be starting, up or stopping."""
    try:
        lock = (folder / "lock").open()
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
