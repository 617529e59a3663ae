"""What the bundled servers have in common: start, stop, kill, restart of one process."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from pathlib import Path

from saga.embedded.errors import EmbeddedError
from saga.embedded.family import end
from saga.embedded.place import kept_port, noted_port

_PATIENCE = timedelta(seconds=30)


class Server(ABC):
    """One server process with all it needs in ``folder``.

    Use it alone (``start``, ``stop``) or hand its parts to a supervisor: ``reserve`` once, what
    ``command`` gives at each start, then ``ready`` until it says yes; ``stop_signal`` ends it.
    """

    name: str
    stop_signal: signal.Signals

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The loopback port; known once reserved."""
        port = noted_port(self.folder / "port")
        if port is None:
            raise EmbeddedError(f"{self.name} in {self.folder} has no port yet; start it first")
        return port

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The process that serves this folder, whoever started it; None while there is none."""

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether the server answers; the first time this also makes what a user expects."""

    @abstractmethod
    def _set_up(self) -> None: ...

    @abstractmethod
    def _argv(self) -> list[str]: ...

    def reserve(self) -> None:
        """Settle port and password, so that ``url`` is known.

        Only for him who has the folder to himself: a server that still runs on it is stopped.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.end_leftover()
        kept_port(self.folder / "port")

    def command(self) -> list[str]:
        """Make programs and data fit for a start; give what runs the server in the foreground.

        For him who has called ``reserve``; the port stays the same however often this is called.
        """
        self.end_leftover()
        self._set_up()
        return self._argv()

    def start(self, patience: timedelta = _PATIENCE) -> None:
        """Return when the server answers; raises EmbeddedError with the end of its log."""
        if self.pid is not None:
            raise EmbeddedError(f"{self.name} already runs on {self.folder} as process {self.pid}")
        self.reserve()
        deadline = time.monotonic() + patience.total_seconds()
        log = self.folder / "log"
        with log.open("ab") as stream:
            while True:
                self._process = subprocess.Popen(  # noqa: S603
                    self.command(),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    cwd="/",
                    start_new_session=True,
                )
                while self._process.poll() is None and time.monotonic() < deadline:
                    if self.ready():
                        return
                    time.sleep(0.05)
                # After a crash what is left of the old server may still be on its way out.
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.5)
        self.kill()
        raise EmbeddedError(
            f"{self.name} did not start:\n{log.read_text(errors='replace')[-2000:]}"
        )

    def stop(self, patience: timedelta = _PATIENCE) -> None:
        """End the server orderly, by force once ``patience`` is over; data stays."""
        pid = self.pid
        if pid is None:
            return
        end(pid, self.stop_signal, patience)
        self._reap()

    def kill(self) -> None:
        """End the server as a crash of the machine does: all its processes at once, unasked."""
        pid = self.pid
        if pid is not None:
            end(pid, signal.SIGKILL, _PATIENCE)
        self._reap()

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()

    def end_leftover(self) -> None:
        """End a server of an earlier life that still serves this folder."""
        self.stop()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
