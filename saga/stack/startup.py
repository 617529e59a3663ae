"""Starting a stack: servers, schema, and then all that works on them, at once."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from saga.application import SagaApp
from saga.embedded import PostgresServer, RedisServer
from saga.embedded.place import kept_secret
from saga.stack import processes
from saga.stack.processes import Ground
from saga.stack.standing import Stack, await_whole, running
from saga.stack.supervisor import Process, Supervisor

# An API that asks everybody for a key also does so where nothing is.
_NO_CONSOLE = {None, HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED}


class StackFailedError(Exception):
    """The stack did not come up; the message says which part, with the end of its log.

    ``exit_code`` is what ``saga up`` in the foreground would have ended with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start. ``application`` is what ``--app`` names, ``project`` the folder it is in."""

    application: str
    project: Path
    data: Path
    workers: int = 2
    concurrency: int = 2


def serve(
    plan: Plan,
    load: Callable[[], SagaApp],
    *,
    stop: threading.Event,
    on_up: Callable[[Stack], None],
) -> None:
    """Start the stack, call ``on_up`` when all is ready, keep it until ``stop`` is set.

    Servers named by DATABASE_URL and CELERY_BROKER_URL are used instead of own ones. ``load`` is
    called once the environment names the servers. Raises AlreadySupervisedError where the folder's
    stack runs, StartFailedError when a part does not start; whatever was started is stopped again.
    """
    supervisor = Supervisor(plan.data)
    try:
        _keep_out_of_git(plan.data)
        servers = _servers(plan)
        with ThreadPoolExecutor(1) as starter:
            started = starter.submit(supervisor.start, servers, give_up=stop)
            # Importing takes as long as the servers take to start.
            app = load()
            started.result()
        if stop.is_set():
            return
        app.migrate()
        facts, own, rest = _rest(plan, app)
        # The others may need what the application's own ones make, such as keys.
        supervisor.start(own, give_up=stop)
        supervisor.start(rest, give_up=stop)
        if stop.is_set():
            return
        supervisor.announce(facts | {"consoleUrl": _console(facts["apiUrl"])})
        if (stack := running(plan.data)) is not None:
            on_up(stack)
        while not stop.wait(60):
            pass
    finally:
        supervisor.stop()


def detach(plan: Plan, patience: timedelta = timedelta(minutes=3)) -> Stack:
    """Start the stack in a session of its own; return when all is ready.

    Raises StackFailedError.
    """
    logs = plan.data / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / "supervisor.log"
    before = log.stat().st_size if log.exists() else 0
    numbers = [f"--workers={plan.workers}", f"--concurrency={plan.concurrency}"]
    options = [f"--data={plan.data}", f"--app={plan.application}", *numbers]
    with log.open("ab") as stream:
        supervisor = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "saga.cli", "up", *options],
            cwd=plan.project,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    deadline = time.monotonic() + patience.total_seconds()
    while supervisor.poll() is None and time.monotonic() < deadline:
        if (stack := await_whole(plan.data, timedelta(seconds=1))) and not stack.missing:
            # It lives on without us; nobody will ask for how it ended.
            supervisor.returncode = 0
            return stack
        time.sleep(0.05)
    if supervisor.poll() is None:
        supervisor.terminate()
        supervisor.wait()
    with log.open("rb") as stream:
        stream.seek(before)
        said = stream.read().decode(errors="replace").strip()
    raise StackFailedError(said, supervisor.returncode)


def _servers(plan: Plan) -> list[Process]:
    """Give the servers to start; names all servers in the environment."""
    servers = []
    if not os.environ.get("DATABASE_URL"):
        postgres = PostgresServer(plan.data / "postgres")
        postgres.reserve()
        os.environ["DATABASE_URL"] = postgres.url
        servers.append(processes.server("postgres", postgres, plan.data))
    if not os.environ.get("CELERY_BROKER_URL"):
        redis = RedisServer(plan.data / "redis")
        redis.reserve()
        os.environ["CELERY_BROKER_URL"] = redis.url
        servers.append(processes.server("redis", redis, plan.data))
    os.environ.setdefault("SAGA_API_KEY", kept_secret(plan.data / "api-key"))
    os.environ["SAGA_DATA"] = str(plan.data)
    os.environ["SAGA_APP"] = plan.application
    paths = [str(plan.project), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    return servers


def _rest(plan: Plan, app: SagaApp) -> tuple[dict[str, Any], list[Process], list[Process]]:
    """Give what is told of the stack, the application's own processes, and all that follow."""
    names = ("DATABASE_URL", "CELERY_BROKER_URL", "SAGA_API_KEY")
    told = {name: os.environ[name] for name in names}
    facts: dict[str, Any] = {
        "databaseUrl": told["DATABASE_URL"],
        "brokerUrl": told["CELERY_BROKER_URL"],
        "apiKey": told["SAGA_API_KEY"],
        "apiUrl": None,
    }
    bare = Ground(project=plan.project, data=plan.data, environment={})
    for name, text in app.environment.items():
        told[name] = os.environ.get(name) or text.replace("{data}", str(plan.data))
        os.environ[name] = told[name]
        if text.startswith("{data}/") and told[name].startswith(str(plan.data)):
            Path(told[name]).mkdir(mode=0o700, exist_ok=True)
    own = [extra for extra in app.processes if not os.environ.get(extra.url_variable)]
    for extra in own:
        bare.take_port(extra.name)
        given = {
            name: bare.fill(text, extra.name)
            for name, text in ({extra.url_variable: "{url}"} | dict(extra.environment)).items()
        }
        os.environ.update(given)
        told |= given
    for extra in app.processes:
        told[extra.url_variable] = facts[f"{extra.name}Url"] = os.environ[extra.url_variable]
    if app.api_target is not None:
        bare.take_port("api")
        facts["apiUrl"] = bare.url("api")
        # Workers tell it to providers. One that is set is where the world reaches us.
        told["SAGA_API_URL"] = os.environ.get("SAGA_API_URL") or facts["apiUrl"]
        os.environ["SAGA_API_URL"] = told["SAGA_API_URL"]
    has_own_flower = not os.environ.get("FLOWER_URL") and processes.has_flower(
        key=told["SAGA_API_KEY"]
    )
    if has_own_flower:
        bare.take_port("flower")
        os.environ["FLOWER_URL"] = bare.url("flower")
    if os.environ.get("FLOWER_URL"):
        # The console leads there.
        told["FLOWER_URL"] = facts["flowerUrl"] = os.environ["FLOWER_URL"]
    ground = Ground(project=plan.project, data=plan.data, environment=dict(os.environ))
    first = [processes.extra_process(ground, extra) for extra in own]
    rest = processes.workers(ground, app, plan.workers, plan.concurrency)
    rest += [processes.recovery(ground, app), processes.beat(ground, app)]
    if app.api_target is not None:
        rest.append(processes.api(ground, app.api_target))
    if has_own_flower:
        rest.append(processes.flower(ground, app, key=told["SAGA_API_KEY"]))
    return {**facts, "environment": told}, first, rest


def _console(api_url: str | None) -> str | None:
    if api_url is None:
        return None
    status = processes.status_of(f"{api_url}/console")
    return None if status in _NO_CONSOLE else f"{api_url}/console"


def _keep_out_of_git(data: Path) -> None:
    (data / ".gitignore").write_text("*\n")
