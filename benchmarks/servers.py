"""The servers that all measures share, and sites: a database and a broker of one's own each.

Everything listens on free loopback ports, lives in one temporary folder and is ended by its pid,
also at Ctrl-C, at SIGTERM and after an error.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import httpx
import psycopg2
from sqlalchemy import Engine as Database
from sqlalchemy import text

from benchmarks.family import Family
from commands.payments import make_payments
from gateways.payments.sandbox.merchant import environment
from models import PaymentMethod, PaymentView
from saga import connect
from saga.embedded import PostgresServer, RedisServer

PROJECT = Path(__file__).resolve().parent.parent
_OF_OTHERS = (
    *("DATABASE_URL", "CELERY_BROKER_URL", "SANDBOX_URL", "SAGA_", "PAYMENT_", "PG"),
    *("WECHATPAY_", "ALIPAY_", "STAGING_", "OBJECT_", "APP_"),
)
_WITHIN_SECONDS = 600
_TEMPLATE = "template_of_sites"
AMOUNT_MINOR = 10_000

T = TypeVar("T")


class BenchmarkError(Exception):
    """A benchmark could not be run, or its refunds did not come out right."""


class Servers:
    """PostgreSQL, Redis and the sandbox provider; gone, with all data, when the block ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="saga-bench-"))
        # PostgreSQL does not run as root, and its user must be able to enter.
        self.folder.chmod(0o755)
        # What a killed worker leaves in the temporary folder goes with ours.
        self._temporary = self.folder / "tmp"
        self._temporary.mkdir()
        self._temporary.chmod(0o1777)
        self.postgres = PostgresServer(self.folder / "postgres")
        self.redis = RedisServer(self.folder / "redis")
        self.sandbox_url = ""
        self.keys = self.folder / "keys"
        self.families: dict[str, Family] = {}
        self._sites: list[Site] = []
        self._children: list[Family] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> None:
        self.postgres.start()
        self.redis.start()
        port = free_port()
        self.sandbox_url = f"http://127.0.0.1:{port}"
        books = str(self.folder / "books.sqlite")
        sandbox = self.spawn(
            "sandbox",
            self.environment(),
            *("-m", "gateways.payments.sandbox", "--port", str(port), "--books", books),
            *("--keys", str(self.keys)),
        )
        self.families = {
            "postgres": Family(_running(self.postgres)),
            "redis": Family(_running(self.redis)),
            "sandbox": sandbox,
        }
        self.postgres.create_database(_TEMPLATE)
        environment = self.environment() | {"DATABASE_URL": self.postgres.url_of(_TEMPLATE)}
        self.call(environment, "-m", "alembic", "upgrade", "head")
        until(lambda: answers(f"{self.sandbox_url}/healthz"), "the sandbox answers")

    def _stop(self) -> None:
        # An impatient second Ctrl-C must not leave half of it behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for site in self._sites:
                site.database.dispose()
            for child in self._children:
                child.kill()
            self.redis.kill()
            self.postgres.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)

    def site(self, name: str) -> "Site":
        """A place of its own on these servers: a migrated database and a broker."""
        with closing(psycopg2.connect(self.postgres.url_of("postgres"))) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        site = Site(self, name, number=len(self._sites) + 1)
        self._sites.append(site)
        return site

    def environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHERS)
        }
        return inherited | {"TMPDIR": str(self._temporary), "PYTHONPATH": str(PROJECT)}

    def spawn(self, name: str, environment: Mapping[str, str], *arguments: str) -> Family:
        """Start a Python process that writes to its log."""
        with self.log(name).open("ab") as log:
            return self._popen(log, environment, arguments, stdin=subprocess.DEVNULL, stdout=log)

    def converse(self, name: str, environment: Mapping[str, str], *arguments: str) -> "Speaker":
        """Start a Python process that answers each line with one of JSON."""
        with self.log(name).open("ab") as log:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            return Speaker(self._popen(log, environment, arguments, **pipes), self.log(name))

    def _popen(
        self, log: IO[bytes], environment: Mapping[str, str], arguments: Sequence[str], **io: Any
    ) -> Family:
        # In a session of its own: Ctrl-C reaches only us.
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=environment,
            stderr=log,
            start_new_session=True,
            **io,
        )
        family = Family(process.pid, process)
        self._children.append(family)
        return family

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def call(self, environment: Mapping[str, str], *arguments: str, given: str = "") -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
        return done.stdout


class Speaker:
    """A process that answers each line with one of JSON."""

    def __init__(self, family: Family, log: Path) -> None:
        self._family = family
        self._log = log

    def ask(self, line: str) -> dict[str, Any]:
        """Raises BenchmarkError when it dies instead of answering."""
        with suppress(BrokenPipeError):
            self._family.write(f"{line}\n")
        said = self._family.read_line()
        if not said:
            raise BenchmarkError(f"no answer:\n{self._log.read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def stop(self) -> None:
        self._family.stop()


class Site:
    """A database and a broker of one's own; what runs here has the default settings."""

    def __init__(self, servers: Servers, name: str, *, number: int) -> None:
        self.servers = servers
        self.name = name
        url = servers.postgres.url_of(name)
        self.database: Database = connect(url)
        self._workers: dict[str, Family] = {}
        self.environment = servers.environment() | {
            "DATABASE_URL": url,
            "CELERY_BROKER_URL": f"{servers.redis.url.removesuffix('/0')}/{number}",
            "SANDBOX_URL": servers.sandbox_url,
            **environment(servers.sandbox_url, servers.keys),
        }

    def start_worker(self, name: str, *, app: str, queues: str, concurrency: int) -> Family:
        """Start a worker as ``saga up`` does; ``await_worker`` waits until it is ready."""
        worker = self._workers[name] = self.servers.spawn(
            f"{self.name}-{name}",
            self.environment,
            *("-m", "celery", "-A", app, "worker", f"--hostname={name}@{self.name}"),
            *(f"--queues={queues}", f"--concurrency={concurrency}", "--pool=prefork"),
            *("--without-mingle", "--without-gossip", "--loglevel=INFO"),
        )
        return worker

    def await_worker(self, name: str) -> None:
        log = self.servers.log(f"{self.name}-{name}")
        worker = self._workers[name]
        until(lambda: worker.has_ended() or " ready." in log.read_text(), f"{name} is ready")
        if worker.has_ended():
            raise BenchmarkError(f"{name} did not start:\n{log.read_text()[-2000:]}")

    def start_beat(self) -> Family:
        schedule = f"--schedule={self.servers.folder / self.name}-schedule"
        return self.servers.spawn(
            f"{self.name}-beat",
            self.environment,
            *("-m", "celery", "-A", "app", "beat", schedule, "--pidfile="),
        )

    def payments(self, count: int) -> list[PaymentView]:
        """Successful payments, known to the sandbox."""
        return make_payments(
            self.database,
            sandbox_url=self.servers.sandbox_url,
            count=count,
            amount_minor=AMOUNT_MINOR,
            method=PaymentMethod.WECHAT,
        )

    def producer(self, flow: str) -> Speaker:
        """A producer that starts a refund of each payment whose id it is told."""
        arguments = ("-m", "benchmarks.producer", flow)
        return self.servers.converse(f"{self.name}-producer", self.environment, *arguments)

    def run(self, module: str, *arguments: str, given: str) -> dict[str, Any]:
        """Run one of our modules as a process of its own; what it printed."""
        said = self.servers.call(self.environment, "-m", module, *arguments, given=given)
        found: dict[str, Any] = json.loads(said)
        return found

    def rows(self, sql: str, **params: Any) -> list[Any]:
        with self.database.connect() as connection:
            return list(connection.execute(text(sql), params).all())


def until(is_so: Callable[[], T], what: str, *, pause: float = 0.05) -> T:
    """Wait for something to be so. Raises BenchmarkError when it never is."""
    end = time.monotonic() + _WITHIN_SECONDS
    while not (found := is_so()):
        if time.monotonic() > end:
            raise BenchmarkError(f"in {_WITHIN_SECONDS} s it never came that {what}")
        time.sleep(pause)
    return found


def _running(server: PostgresServer | RedisServer) -> int:
    pid = server.pid
    assert pid is not None, "it has just been started"
    return pid


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
