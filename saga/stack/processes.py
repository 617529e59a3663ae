"""What a stack is made of: each of its processes, how it is started and known to be ready."""

import http.client
import importlib.util
import os
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from celery import Celery
from celery.utils.nodenames import gethostname

from saga.application import ExtraProcess, SagaApp
from saga.embedded.place import kept_port, noted_port
from saga.embedded.server import Server
from saga.stack.supervisor import Process

# What takes orders is stopped first and what stores them last.
_SERVERS, _EXTRAS, _WORKERS, _FRONT = range(4)

# What Flower's list shows of a task: among its arguments is the saga's id.
_COLUMNS = "name,args,state,received,runtime,worker,uuid"

_QUEUES = "saga.compensation,saga.continuing,saga.new"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all processes of a stack stand on: the project's folder and the stack's own."""

    project: Path
    data: Path
    environment: Mapping[str, str]

    def process(
        self,
        name: str,
        command: Sequence[str],
        *,
        role: str | None = None,
        stage: int,
        ready: Callable[[float], bool],
        stop_within: timedelta = timedelta(seconds=10),
    ) -> Process:
        return Process(
            name=name,
            role=role or name,
            command=lambda: command,
            environment=self.environment,
            folder=self.project,
            stage=stage,
            ready=ready,
            stop_within=stop_within,
        )

    def url(self, name: str) -> str:
        """Give where the process of that name listens: a loopback port kept over restarts."""
        return f"http://127.0.0.1:{noted_port(self._port_file(name)) or self.take_port(name)}"

    def take_port(self, name: str) -> int:
        return kept_port(self._port_file(name))

    def fill(self, text: str, name: str) -> str:
        """Fill in what the process of that name says of itself: its port, URL and data folder."""
        url = self.url(name)
        port = str(urllib.parse.urlsplit(url).port)
        return text.replace("{port}", port).replace("{url}", url).replace("{data}", str(self.data))

    def _port_file(self, name: str) -> Path:
        return self.data / "ports" / name


def server(name: str, what: Server, data: Path) -> Process:
    environment = {key: text for key, text in os.environ.items() if not key.startswith("PG")}
    return Process(
        name=name,
        role=name,
        command=what.command,
        environment=environment,
        folder=data,
        stage=_SERVERS,
        ready=lambda _since: what.ready(),
        # After a crash, what is left of the old server may still be on its way out.
        first_tries=6,
        stop_signal=what.stop_signal,
        stop_within=timedelta(seconds=20),
    )


def extra_process(ground: Ground, process: ExtraProcess) -> Process:
    url = ground.url(process.name)
    command = [ground.fill(part, process.name) for part in process.command]
    return ground.process(
        process.name,
        command,
        stage=_EXTRAS,
        ready=lambda _since: status_of(url + process.ready_path) == http.client.OK,
    )


def workers(ground: Ground, app: SagaApp, count: int, concurrency: int) -> list[Process]:
    names = [f"worker{number}" for number in range(1, count + 1)]
    return [
        _worker(ground, app, name, role="worker", queues=_QUEUES, concurrency=concurrency)
        for name in names
    ]


def recovery(ground: Ground, app: SagaApp) -> Process:
    """Give the worker that runs recovery alone, so that it runs while all others are busy."""
    return _worker(ground, app, "recovery", role="recovery", queues="saga.recovery", concurrency=1)


def beat(ground: Ground, app: SagaApp) -> Process:
    schedule = ground.data / "beat-schedule"
    command = _celery(app, "beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=INFO")

    def ready(since: float) -> bool:
        # Beat writes its schedule down once it is set up. The name's ending depends on the system.
        written = [file.stat().st_mtime for file in ground.data.glob("beat-schedule*")]
        return bool(written) and max(written) >= since - 1

    return ground.process("beat", command, stage=_FRONT, ready=ready)


def api(ground: Ground, target: str) -> Process:
    url = ground.url("api")
    port = str(urllib.parse.urlsplit(url).port)
    factory = ["--factory"] if target.rpartition(":")[2].startswith("create_") else []
    listen = ["--host=127.0.0.1", f"--port={port}", "--timeout-graceful-shutdown=5"]
    command = [sys.executable, "-m", "uvicorn", target, *factory, *listen]

    def ready(_since: float) -> bool:
        status = status_of(url + "/readyz")
        if status == http.client.NOT_FOUND:
            status = status_of(url + "/healthz")
        return status == http.client.OK

    return ground.process("api", command, stage=_FRONT, ready=ready)


def has_flower(*, key: str) -> bool:
    """Whether Flower can be had: a stack without it is a stack all the same.

    It takes what is before and behind a comma for two logins, so that part of a key would do.
    """
    return importlib.util.find_spec("flower") is not None and "," not in key


def flower(ground: Ground, app: SagaApp, *, key: str) -> Process:
    """Give Flower, which may look and change nothing. One logs in as ``admin``, with ``key``."""
    url = ground.url("flower")
    port = str(urllib.parse.urlsplit(url).port)
    others = {
        name: text for name, text in ground.environment.items() if not name.startswith("FLOWER_")
    }
    # Not among the arguments: everybody on the machine sees those. No other of its options is
    # passed on: one made for elsewhere, such as a prefix, would hide it from us.
    options = {
        "FLOWER_BASIC_AUTH": f"admin:{key}",
        "FLOWER_READ_ONLY": "true",
        "FLOWER_TASKS_COLUMNS": _COLUMNS,
    }
    ground = replace(ground, environment=others | options)
    command = _celery(app, "flower", "--address=127.0.0.1", f"--port={port}")
    return ground.process(
        "flower",
        command,
        stage=_FRONT,
        ready=lambda _since: status_of(f"{url}/healthcheck") == http.client.OK,
    )


def status_of(url: str) -> int | None:
    """Ask a loopback URL and give the answer's status; None when there is no answer.

    Not by urllib: that would ask the proxy which the environment names.
    """
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    with closing(connection):
        try:
            connection.request("GET", parts.path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def _worker(
    ground: Ground,
    app: SagaApp,
    name: str,
    *,
    role: str,
    queues: str,
    concurrency: int,
) -> Process:
    node = f"{name}@{gethostname()}"
    command = _celery(
        app,
        "worker",
        f"--hostname={node}",
        f"--queues={queues}",
        f"--concurrency={concurrency}",
        "--pool=prefork",
        "--without-mingle",
        "--without-gossip",
        "--loglevel=INFO",
    )
    return ground.process(
        name, command, role=role, stage=_WORKERS, ready=lambda _since: answers(app.celery, node)
    )


def answers(app: Celery, node: str) -> bool:
    """Tell whether the worker of that name answers within a second."""
    with app.connection_for_write() as connection:
        replies = app.control.ping(destination=[node], timeout=1, connection=connection)
    return bool(replies)


def _celery(app: SagaApp, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", app.celery_target, *arguments]
