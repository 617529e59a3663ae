"""Where processes of a test come from: forks of a Python that has imported the libraries already.

Each is a process of its own, with its own environment, and imports this project's modules itself;
only what PyPI gives is there before. It leads its own session, and dies, is stopped and waited for
as any child is. Importing the libraries anew takes most of a short process's time.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
_FROM_PYPI = (
    *("celery.app.log", "celery.apps.beat", "celery.apps.worker", "celery.bin.celery"),
    *("celery.concurrency.prefork", "celery.worker.consumer", "celery.worker.strategy"),
    *("kombu.transport.redis", "psycopg2.extras", "sqlalchemy.dialects.postgresql.psycopg2"),
    *("sqlalchemy.orm", "pydantic_settings", "structlog", "typer", "rich.table", "httpx"),
    *("fastapi", "uvicorn", "uvicorn.config", "uvicorn.protocols.http.auto"),
)
_SIZE = 4


class Process:
    """A process that was born here, spoken to as ``subprocess.Popen`` is."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._told = b""
        self.returncode: int | None = None
        self.pid = self._next(30)

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._next(timeout)
            self._line.close()
        return self.returncode

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, what: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, what)

    def _next(self, timeout: float | None) -> int:
        """The next number that is told: its pid at first, its exit code when it has ended."""
        self._line.settimeout(timeout)
        while b"\n" not in self._told:
            try:
                told = self._line.recv(64)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("a forked process", timeout or 0) from None
            assert told, "the nursery has died"
            self._told += told
        number, _, self._told = self._told.partition(b"\n")
        return int(number)


def spawn(
    *words: str, cwd: Path, env: Mapping[str, str], out: IO[Any], err: IO[Any], stdin: IO[Any]
) -> Process:
    """Start ``python WORDS``: ``-m MODULE …`` or a script's path and what follows."""
    ours, theirs = socket.socketpair()
    asked = json.dumps({"words": words, "cwd": str(cwd), "env": dict(env)}).encode()
    with theirs:
        files = [theirs.fileno(), stdin.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(_control(), [len(asked).to_bytes(_SIZE)], files)
        ours.sendall(asked)
    return Process(ours)


def run(
    *words: str, cwd: Path, env: Mapping[str, str], given: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run ``python WORDS`` to its end, with ``given`` as its input."""
    new = tempfile.TemporaryFile
    with new("w+") as stdin, new("w+") as out, new("w+") as err:
        stdin.write(given)
        stdin.seek(0)
        process = spawn(*words, cwd=cwd, env=env, out=out, err=err, stdin=stdin)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


@cache
def _control() -> socket.socket:
    """The line to the nursery, which is started by who asks first and ends with them."""
    ours, theirs = socket.socketpair()
    with theirs:
        nursery = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for who asked
            env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        )

    def end() -> None:
        ours.close()
        nursery.wait(10)

    atexit.register(end)
    return ours


# What runs in the nursery itself


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each who asks; None in the nursery at its end, else what the fork is to be."""
    died, wakes = socket.socketpair()
    for end in (died, wakes):
        end.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    lines: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(died, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if died in ready:
                died.recv(4096)
                _tell_who_ended(lines)
            if control not in ready:
                continue
            size, files, _, _ = socket.recv_fds(control, _SIZE, 4)
            if not size:
                return None
            line = socket.socket(fileno=files[0])
            asked = _exactly(line, int.from_bytes(size))
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for other in (control, died, wakes, *lines.values()):
                    other.close()
                os.setsid()
                for number, file in enumerate(files[1:]):
                    os.dup2(file, number)
                    os.close(file)
                # It leads its session before anybody knows of it.
                line.sendall(f"{os.getpid()}\n".encode())
                line.close()
                return dict(json.loads(asked))
            for file in files[1:]:
                os.close(file)
            lines[pid] = line


def _tell_who_ended(lines: dict[int, socket.socket]) -> None:
    while lines:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with lines.pop(pid) as line:
            try:
                line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            except BrokenPipeError:
                continue  # nobody waits for it


def _exactly(line: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        read += line.recv(size - len(read))
    return read


def _become(asked: dict[str, Any]) -> None:
    """Do what ``python WORDS`` does in this folder, with this environment."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    first, *rest = asked["words"]
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    here = asked["cwd"] if first == "-m" else str(Path(first).parent)
    sys.path[:0] = [here, *added]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    sys.path.pop(0)  # this folder is no place of modules
    for name in _FROM_PYPI:
        importlib.import_module(name)
    # Each fork reads its own settings: what is ours it must import itself.
    ours = {path.stem for path in ROOT.iterdir()} & {name.partition(".")[0] for name in sys.modules}
    assert not ours, f"a library imported {ours}"
    gc.freeze()  # a collection in a fork would copy what they all share
    if (told := _serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        _become(told)
