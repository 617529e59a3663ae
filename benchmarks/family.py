"""A process with its children: what CPU they used, and freezing, thawing and ending them."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil

from saga.embedded.family import end

_PATIENCE = timedelta(seconds=15)


class Family:
    """The process ``pid`` and all that descend from it."""

    def __init__(self, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._process = process

    def members(self) -> Iterator[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            head = psutil.Process(self.pid)
            yield head
            yield from head.children(recursive=True)

    def cpu_seconds(self) -> float:
        """User and system time of all, those included that have ended and were waited for."""
        seconds = 0.0
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
        return seconds

    def peak_mb(self) -> float | None:
        """The most memory (VmHWM) that any one of them ever held; None where nothing tells."""
        peaks = [_peak_kb(member.pid) for member in self.members()]
        found = [peak for peak in peaks if peak is not None]
        return max(found) / 1024 if found else None

    def write(self, text: str) -> None:
        """Write to its standard input, where that is a pipe of ours."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def read_line(self) -> bytes:
        """Wait for a line of its standard output; nothing when it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        line: bytes = self._process.stdout.readline()
        return line

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill_children(self) -> None:
        """Kill -9 the children alone: a Celery worker starts others in their place."""
        for member in list(self.members())[1:]:
            with suppress(psutil.NoSuchProcess):
                member.kill()

    def stop(self) -> None:
        """Ask them to end, as an operator would; a second call does nothing."""
        if self.has_ended():
            return
        self.thaw()
        end(self.pid, signal.SIGTERM, _PATIENCE)
        self._reap()

    def kill(self) -> None:
        """Kill -9 all of them; a second call does nothing."""
        if self.has_ended():
            return
        end(self.pid, signal.SIGKILL, _PATIENCE)
        self._reap()

    def _send(self, what: signal.Signals) -> None:
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                member.send_signal(what)

    def has_ended(self) -> bool:
        """Whether it was ours and is gone: its number may be somebody else's by now."""
        return self._process is not None and self._process.poll() is not None

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()


def _peak_kb(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
