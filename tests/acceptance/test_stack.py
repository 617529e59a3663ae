"""A tiny application goes up and down by the ``saga`` command, with real processes."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from saga.stack.holding import supervised
from saga.stack.standing import running

pytestmark = pytest.mark.acceptance

SHOP = '''
import os
import sys

import psycopg2
import typer
from celery import Celery

from saga.application import ExtraProcess, SagaApp
from saga.cli import connect, current, print_json

celery = Celery("shop", broker=os.environ.get("CELERY_BROKER_URL"))
celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


def migrate() -> None:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.cursor().execute("CREATE TABLE IF NOT EXISTS migrated ()")
    connection.commit()
    connection.close()


async def api(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    status = 200 if scope["path"] == "/healthz" else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    told = (os.environ["SANDBOX_URL"], os.environ["SHOP_ACCOUNT"], os.environ["SAGA_API_URL"])
    await send({"type": "http.response.body", "body": " ".join(told).encode()})


def create_app():
    return api


def commands(root: typer.Typer) -> None:
    @root.command()
    def where() -> None:
        """Tell where the shop is."""
        connect()
        told = {"database": "DATABASE_URL", "sandbox": "SANDBOX_URL", "api": "SAGA_API_URL"}
        told |= {"account": "SHOP_ACCOUNT", "key": "SHOP_KEY_FILE"}
        told |= {"goods": "SHOP_GOODS", "currency": "SHOP_CURRENCY"}
        print_json({name: os.environ[variable] for name, variable in told.items()})


saga_app = SagaApp(
    celery=celery,
    engine=None,  # type: ignore[arg-type]
    migrate=migrate,
    celery_target="shop:celery",
    environment={"SHOP_GOODS": "{data}/goods", "SHOP_CURRENCY": "none"},
    api_target="shop:create_app",
    commands=commands,
    processes=[
        ExtraProcess(
            name="sandbox",
            command=[sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"],
            url_variable="SANDBOX_URL",
            environment={"SHOP_ACCOUNT": "{url}/account", "SHOP_KEY_FILE": "{data}/key"},
            ready_path="/",
        )
    ],
)
'''


@dataclass
class Shop:
    folder: Path
    flower: bool = False

    @property
    def data(self) -> Path:
        return self.folder / ".saga"

    def saga(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "saga.cli", *arguments],
            cwd=self.folder,
            env=environment(flower=self.flower),
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self) -> dict[str, Any]:
        done = self.saga("up", "--detach", "--json", "--workers", "1", "--concurrency", "1")
        assert done.returncode == 0, done.stderr
        description: dict[str, Any] = json.loads(done.stdout)
        return description

    def processes(self) -> list[psutil.Process]:
        """Give every process whose command or folder is the shop's."""
        return [process for process in psutil.process_iter() if self.owns(process)]

    def owns(self, process: psutil.Process) -> bool:
        try:
            places = [*process.cmdline(), process.cwd()]
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return alive and any(str(self.folder) in place for place in places)


def environment(*, flower: bool = False) -> dict[str, str]:
    """Give an environment as a fresh shell has it, in which ``saga`` can be imported.

    Without ``flower``, stacks start none of their own: there is one elsewhere already.
    """
    ours = ("DATABASE_URL", "CELERY_BROKER_URL", "SANDBOX_URL", "FLOWER_", "SAGA_")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    real = {"SHOP_ACCOUNT": "https://real.test/account", "SHOP_CURRENCY": "CNY"}
    elsewhere = {} if flower else {"FLOWER_URL": "http://flower.test"}
    return clean | {"PYTHONPATH": str(Path(__file__).parents[2])} | real | elsewhere


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "pyproject.toml").write_text('[tool.saga]\napp = "shop:saga_app"\n')
    shop = Shop(tmp_path)
    yield shop
    shop.saga("down")


def ends_within(seconds: float, process: psutil.Process) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_all_is_ready_when_up_returns_and_a_second_up_tells_the_same(shop: Shop) -> None:
    shop.flower = True
    first = shop.up()

    assert shop.up() == first
    assert first["dataFolder"] == str(shop.data)
    assert first["consoleUrl"] is None
    with urllib.request.urlopen(first["apiUrl"] + "/healthz") as answer:
        sandbox, api = first["sandboxUrl"], first["apiUrl"]
        assert answer.read().decode() == f"{sandbox} {sandbox}/account {api}"
    parts = {"worker", "recovery", "beat", "postgres", "redis", "sandbox", "api", "supervisor"}
    assert set(first["pids"]) == {*parts, "flower"}
    for pid in [*first["pids"].pop("worker"), *first["pids"].values()]:
        assert psutil.pid_exists(pid)
    assert stat.S_IMODE((shop.data / "stack.json").stat().st_mode) == 0o600
    shown = shop.saga("up", "--detach").stdout
    assert first["apiUrl"] in shown
    assert len([line for line in shown.splitlines() if " flower " in line]) == 1
    for secret in (first["apiKey"], *map(_password, (first["databaseUrl"], first["brokerUrl"]))):
        assert secret not in shown, "what stands on a screen is looked at over shoulders"


def _password(url: str) -> str:
    password = urllib.parse.urlsplit(url).password
    assert password
    return password


def test_what_is_killed_is_started_again_and_told_with_its_new_number(shop: Shop) -> None:
    before = shop.up()["pids"]
    children = psutil.Process(before["worker"][0]).children(recursive=True)

    for part in (before["worker"][0], before["postgres"], before["redis"], before["beat"]):
        os.kill(part, signal.SIGKILL)
    after = shop.up()

    for part in ("worker", "postgres", "redis", "beat"):
        assert after["pids"][part]
        assert after["pids"][part] != before[part]
    for part in ("supervisor", "api", "sandbox", "recovery"):
        assert after["pids"][part] == before[part]
    assert children
    assert not [child for child in children if child.is_running() and shop.owns(child)]


def test_down_leaves_no_process_and_up_finds_the_same_servers_again(shop: Shop) -> None:
    before = shop.up()
    assert len(shop.processes()) > 8

    done = shop.saga("down", "--json")

    assert (done.returncode, json.loads(done.stdout)["stopped"]) == (0, True)
    assert not shop.processes()
    assert running(shop.data) is None
    after = shop.up()
    same = ("databaseUrl", "brokerUrl", "sandboxUrl", "apiUrl", "apiKey")
    assert [after[name] for name in same] == [before[name] for name in same]


def test_what_a_killed_supervisor_left_is_ended_by_the_next_up_and_by_down(shop: Shop) -> None:
    before = shop.up()["pids"]
    os.kill(before["supervisor"], signal.SIGKILL)

    after = shop.up()["pids"]

    for part in ("recovery", "beat", "postgres", "redis", "sandbox", "api", "supervisor"):
        assert after[part] != before[part]
        assert not psutil.pid_exists(before[part]) or not shop.owns(psutil.Process(before[part]))
    os.kill(after["supervisor"], signal.SIGKILL)
    assert shop.saga("down").returncode == 0
    assert not shop.processes()


def test_ctrl_c_in_the_foreground_stops_all(shop: Shop) -> None:
    output = shop.folder / "output"
    with output.open("w") as stream:
        foreground = subprocess.Popen(
            [sys.executable, "-m", "saga.cli", "up", "--workers", "1"],
            cwd=shop.folder,
            env=environment(),
            stdout=stream,
            stderr=stream,
        )
    # Who comes second finds it, and does not start one of its own before.
    deadline = time.monotonic() + 60
    while not supervised(shop.data):
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)
    assert shop.up()["pids"]["supervisor"] == foreground.pid

    foreground.send_signal(signal.SIGINT)

    assert foreground.wait(60) == 0
    assert not shop.processes()
    assert "postgres" in output.read_text()


def test_a_part_that_does_not_start_is_named_with_the_end_of_its_log(shop: Shop) -> None:
    text = (shop.folder / "shop.py").read_text()
    (shop.folder / "shop.py").write_text(text.replace('"shop:create_app"', '"shop:no_such_app"'))

    done = shop.saga("up", "--detach", "--json")

    assert done.returncode == 1
    assert "api ended with code" in done.stderr
    assert "no_such_app" in done.stderr
    assert not shop.processes()


def test_a_migration_that_fails_stops_all_and_says_why(shop: Shop) -> None:
    text = (shop.folder / "shop.py").read_text()
    (shop.folder / "shop.py").write_text(text.replace("CREATE TABLE", "CREATE FABLE"))

    done = shop.saga("up", "--detach")

    assert done.returncode == 1
    assert "FABLE" in done.stderr
    assert not shop.processes()


def test_the_applications_commands_find_the_stack_of_the_folder(shop: Shop) -> None:
    assert shop.saga("where").returncode == 5
    assert "saga up" in shop.saga("where").stderr
    stack = shop.up()

    done = shop.saga("where", "--json")
    named = shop.saga("--data", str(shop.data), "where")

    assert json.loads(done.stdout) == {
        "database": stack["databaseUrl"],
        "sandbox": stack["sandboxUrl"],
        "api": stack["apiUrl"],
        "account": f"{stack['sandboxUrl']}/account",
        "key": f"{stack['dataFolder']}/key",
        "goods": f"{stack['dataFolder']}/goods",
        "currency": "CNY",
    }
    assert json.loads(named.stdout) == json.loads(done.stdout)
    assert "where" in shop.saga("--help").stdout


def test_an_unknown_command_or_application_is_a_wrong_usage(shop: Shop) -> None:
    assert shop.saga("nonsense").returncode == 2
    assert shop.saga("up", "--detach", "--app", "nowhere:saga_app").returncode == 2
    (shop.folder / "pyproject.toml").unlink()
    nameless = shop.saga("up")
    assert nameless.returncode == 2
    assert "--app" in nameless.stderr
    assert shop.saga("down").returncode == 0
