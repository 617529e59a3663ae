"""The wheel alone, in somebody else's empty project."""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from saga.embedded import PostgresServer, RedisServer
from tests.integration.test_start_from_python import WRITTEN

ROOT = Path(__file__).resolve().parents[2]

SHOP = '''
"""A shop with a saga of two steps."""

import os
from datetime import timedelta

from celery import Celery
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import Engine, Saga, connect, pivot, retriable, transactional
from saga.worker import CeleryPublisher, producer, register


class Sale(BaseModel):
    item: str


@transactional("sale.take_from_stock")
def take_from_stock(sale: Sale, session: Session) -> Sale:
    taken = text("UPDATE stock SET left_over = left_over - 1 WHERE item = :item")
    session.execute(taken, {"item": sale.item})
    return sale


@transactional("sale.send_invoice")
def send_invoice(sale: Sale, session: Session) -> Sale:
    session.execute(text("INSERT INTO invoice VALUES (:item)"), {"item": sale.item})
    return sale


sale = Saga(
    name="sale",
    version=1,
    state=Sale,
    timeout=timedelta(minutes=5),
    steps=[pivot(take_from_stock), retriable(send_invoice)],
)

celery = Celery("shop", broker=os.environ["BROKER"])
celery.config_from_object("saga.celeryconfig")
engine = Engine(
    database=connect(os.environ["DATABASE"]),
    sagas=[sale],
    publisher=CeleryPublisher(producer(celery)),
)
register(celery, engine)
'''

SELL = """
import saga, saga.schema
from sqlalchemy import text
from sqlalchemy.orm import Session
from shop import Sale, engine, sale

print(saga.__file__)
with engine.database.begin() as connection:
    saga.schema.upgrade(connection)
    connection.execute(text("CREATE TABLE stock (item text, left_over int)"))
    connection.execute(text("CREATE TABLE invoice (item text)"))
    connection.execute(text("INSERT INTO stock VALUES ('lamp', 3)"))
with Session(engine.database) as session:
    print(engine.start(session, sale, Sale(item="lamp"), business_key="sale:1").saga_id)
    session.commit()
"""

LOOK = """
from sqlalchemy import text
from shop import engine

with engine.database.connect() as connection:
    sql = "SELECT status, (SELECT left_over FROM stock), (SELECT count(*) FROM invoice) "
    sql += "FROM saga_state"
    print(*connection.execute(text(sql)).one())
"""


CONFIG = """
[mypy]
strict = true

[mypy-celery.*]
ignore_missing_imports = true
"""

# What mypy must find wrong is on the lines that say so.
WRONG = """
from collections.abc import Callable

import psycopg2
from sqlalchemy.orm import Session

from saga import borrowed
from sales import Note, engine, sale

lender = psycopg2.connect("")
later: list[Callable[[], None]] = []
with Session() as session:
    engine.start(session, sale, Note(text="no state of a sale"))  # wrong
    engine.start(session, sale)  # wrong
with borrowed(lender) as session:  # wrong
    pass
with borrowed(lender, on_commit=later.append) as session:
    engine.start(session, "sale", None)  # wrong
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, str]]:
    postgres, redis = PostgresServer(tmp_path / "postgres"), RedisServer(tmp_path / "redis")
    postgres.start()
    redis.start()
    yield {"DATABASE": postgres.url, "BROKER": redis.url}
    redis.kill()
    postgres.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of a virtual environment that has our wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    wheels, environment = folder / "wheels", folder / "venv"
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(wheels), str(ROOT))
    [wheel] = wheels.glob("*.whl")
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    [site] = environment.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "--no-index", "--no-deps", "--target", str(site), str(wheel))
    return site


def test_the_wheel_alone_runs_a_saga_of_two_steps_in_an_empty_project(
    tmp_path: Path, site: Path, servers: dict[str, str]
) -> None:
    project = tmp_path / "project"
    assert {entry.name for entry in site.iterdir() if "-" not in entry.name} <= {"saga", "bin"}
    assert (site / "saga" / "py.typed").exists()
    project.mkdir()
    (project / "shop.py").write_text(dedent(SHOP))
    environment = {**os.environ, **servers, "PYTHONPATH": str(site)}

    where, saga_id = _run(sys.executable, "-c", SELL, cwd=project, env=environment).stdout.split()
    assert Path(where).is_relative_to(site)
    assert saga_id
    with (project / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "shop", "worker", "-B"],
            cwd=project,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 60
        found = ""
        while found != "COMPLETED 2 1" and time.monotonic() < end:
            found = _run(sys.executable, "-c", LOOK, cwd=project, env=environment).stdout.strip()
    finally:
        worker.terminate()
        worker.wait(20)
    assert found == "COMPLETED 2 1", (project / "worker.log").read_text()


def test_who_installs_the_wheel_has_its_types(tmp_path: Path, site: Path) -> None:
    # Behind our wheel, the packages of the tests' own environment; an editable one is not followed.
    (site / "the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("sales.py", "orders.py", "web_fastapi.py", "web_flask.py"):
        (tmp_path / name).write_text(WRITTEN[name])
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    python = site.parents[2] / "bin" / "python"

    mypy = [sys.executable, "-m", "mypy", "--python-executable", str(python), "--no-pretty"]
    done = subprocess.run(
        [*mypy, *(file.name for file in tmp_path.glob("*.py"))],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    found = {line.partition(": error")[0] for line in done.stdout.splitlines() if "error:" in line}
    lines = enumerate(WRONG.splitlines(), start=1)
    wrong = {f"wrong.py:{number}" for number, line in lines if line.endswith("# wrong")}
    assert found == wrong, done.stdout + done.stderr


def _run(*command: str, **more: object) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return done
