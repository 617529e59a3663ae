"""A throw-away stack for a demonstration: its own servers, ports and data, gone at the end."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from commands.object_sandbox import ObjectSandbox, SandboxDown, is_installed
from saga.stack import standing as stack

_OF_OTHER_STACKS = (
    *("DATABASE_URL", "CELERY_BROKER_URL", "SANDBOX_URL", "SAGA_", "PAYMENT_"),
    *("WECHATPAY_", "ALIPAY_", "STAGING_", "OBJECT_", "APP_"),
    *("DEVICE_", "SWEEP_"),
)
_SHORT_TIMES = {
    "SAGA_LEASE_SECONDS": "3",
    "SAGA_PATIENCE_SECONDS": "3",
    "SAGA_SCAN_SECONDS": "1",
    "PAYMENT_REFUND_FIRST_RETRY_SECONDS": "1",
    "APP_UPLOAD_FIRST_RETRY_SECONDS": "0.3",
    "APP_TIDY_SECONDS": "1",
    "DEVICE_BOOT_SECONDS": "4",
    "DEVICE_POLL_SECONDS": "1",
    "DEVICE_FIRST_RETRY_SECONDS": "1",
}
_READY_WITHIN = timedelta(minutes=2)
_STOPPED_WITHIN = timedelta(seconds=60)


class StageError(Exception):
    """The stack did not start, or did not do what it was asked."""


class Stage:
    """The application's stack in a folder of its own, stopped and removed when the block ends.

    Also at Ctrl-C, at SIGTERM and after an error. ``sandbox`` is its S3 server; None where that
    is not installed, and objects are kept in a folder.
    """

    def __init__(self, application: str) -> None:
        self._application = application
        self.folder = Path(tempfile.mkdtemp(prefix="saga-demo-"))
        # PostgreSQL does not run as root, and its user must be able to pass through.
        self.folder.chmod(0o711)
        self.data = self.folder / "data"
        self._log = self.folder / "up.log"
        inherited = {
            name: text for name, text in os.environ.items() if not name.startswith(_OF_OTHER_STACKS)
        }
        # What a killed worker leaves in the temporary folder goes with ours.
        temporary = self.folder / "tmp"
        temporary.mkdir()
        temporary.chmod(0o1777)
        self._environment = inherited | _SHORT_TIMES | {"TMPDIR": str(temporary)}
        self.sandbox = ObjectSandbox() if is_installed() else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return when all is ready. Raises StageError when it does not start."""
        if self.sandbox is not None:
            self.sandbox.start(self._environment, self.folder / "object-sandbox.log")
            self._environment |= self.sandbox.environment
        with self._log.open("wb") as log:
            # In a session of its own: Ctrl-C reaches only us, and we stop it in order.
            self._process = subprocess.Popen(  # noqa: S603
                self._command("up"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_WITHIN.total_seconds()
        while time.monotonic() < deadline and self._process.poll() is None:
            running = stack.running(self.data)
            if running is not None and not running.missing:
                self._await_sandbox()
                return
            time.sleep(0.1)
        said = self._log.read_text(errors="replace").strip()
        raise StageError(f"the demonstration's stack did not start\n{said}")

    def _await_sandbox(self) -> None:
        try:
            if self.sandbox is not None:
                self.sandbox.wait()
        except SandboxDown as error:
            raise StageError(str(error)) from error

    def stop(self) -> None:
        """Stop the stack and remove its folder; a second call does nothing."""
        # A second, impatient Ctrl-C must not leave half of it behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if self._process is not None:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOPPED_WITHIN.total_seconds())
                self._process.kill()
                self._process.wait()
                stack.down(self.data)
            if self.sandbox is not None:
                self.sandbox.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)

    def stack(self) -> stack.Stack:
        """Give the stack as it is now. Raises StageError when it is gone."""
        running = stack.running(self.data)
        if running is None:
            raise StageError("the demonstration's stack stopped by itself")
        return running

    def saga(self, *words: str, given: str = "") -> str:
        """Run a ``saga`` command on this stack and give what it prints. Raises StageError."""
        done = subprocess.run(  # noqa: S603
            self._command(*words),
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StageError(f"saga {' '.join(words)} failed: {done.stderr.strip()}")
        return done.stdout

    def kill_worker(self, name: str) -> list[int]:
        """Kill -9 the worker of that name and its children, and give their numbers.

        Raises StageError when there is none.
        """
        for pid in self.stack().pids["worker"]:
            with suppress(psutil.NoSuchProcess):
                main = psutil.Process(pid)
                if any(name in word for word in main.cmdline()):
                    return _kill([main, *main.children(recursive=True)])
        raise StageError(f"there is no worker {name} to kill")

    def _command(self, *words: str) -> Sequence[str]:
        options = [f"--data={self.data}", f"--app={self._application}"]
        return [sys.executable, "-m", "saga.cli", *options, *words]


def _kill(processes: Sequence[psutil.Process]) -> list[int]:
    """Kill them in this order: a main process that goes first starts no new children."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return [process.pid for process in processes]
