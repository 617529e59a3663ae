"""The page about starting sagas from Python: its programs, word by word, each in a process."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.engine import make_url

from saga import connect, schema
from saga.embedded import RedisServer
from tests.conftest import administer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/start-from-python.md").read_text()
SHOWN = re.compile(r"^Write `([\w/.]+)`[^\n]*:\n\n```python\n(.*?)```", re.MULTILINE | re.DOTALL)
WRITTEN: dict[str, str] = dict(SHOWN.findall(PAGE))
LOOK = PAGE[PAGE.index("from saga import views\n") :].partition("```")[0]

# What each program is asked: an order, the same again, and one that must leave nothing.
FASTAPI = """
from orders import make_tables
from tests.integration.served import calling, served
from web_fastapi import app

make_tables()

with served(app) as address, calling(address) as client:
    def ask(path, body):
        answer = client.post(path, json=body, headers={"Idempotency-Key": "one"})
        return [answer.status_code, answer.json()]

    first, again = ask("/orders", {"item": "lamp"}), ask("/orders", {"item": "lamp"})
    saga_id = first[1]["sagaId"]
    answers = [
        *(first, again, ask("/orders", {"item": "chair"})),
        ask(f"/orders/{saga_id}/note", {"text": "wrap it"}),
        ask("/orders/00000000-0000-0000-0000-000000000000/note", {"text": "wrap it"}),
    ]
"""

FLASK = """
from orders import make_tables
from web_flask import app

make_tables()
client = app.test_client()

def ask(item, key):
    answer = client.post("/orders", json={"item": item}, headers={"Idempotency-Key": key})
    return [answer.status_code, answer.json]

answers = [ask("lamp", "one"), ask("lamp", "one"), ask("chair", "one"), ask("lamp", "two")]
answers.append(ask(None, "three"))

# A preloaded application forks, and its children forget the parent's connections.
import os, runpy
from sqlalchemy import text
from sales import engine

def backend():
    with engine.database.connect() as connection:
        return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

before = backend()
child = os.fork()
if child == 0:
    runpy.run_path("gunicorn.conf.py")["post_fork"](None, None)
    os._exit(3 if backend() == before else 0)
assert os.waitpid(child, 0)[1] == 0
assert backend() == before
"""

DJANGO = """
import os
os.environ.update(DJANGO_SETTINGS_MODULE="site_settings", SECRET_KEY="for a test")

import django
django.setup()

from django.core.management import call_command
from django.db import transaction
from django.test import Client
from sales import engine
from shop.models import Order

call_command("migrate", verbosity=0)
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
client = Client()

def ask(item, key):
    body = {"item": item}
    headers = {"Idempotency-Key": key}
    answer = client.post("/orders", body, content_type="application/json", headers=headers)
    return [answer.status_code, answer.json()]

def ask_in_vain():
    try:
        with transaction.atomic():
            answer = ask("table", "four")
            raise KeyError
    except KeyError:
        return answer

answers = [ask("lamp", "one"), ask("lamp", "one"), ask("chair", "one"), ask("lamp", "two")]
answers += [ask(None, "three"), ask_in_vain()]
# Django reads JSON as text of its own, on the connection that was borrowed.
assert Order.objects.get().note == {}
"""

THEN = """
from saga.followup import Lane
import json
print(json.dumps({"answers": answers, "queued": engine.publisher.waiting(Lane.NEW)}))
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("broker") / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def empty_database(database_url: str) -> Iterator[str]:
    """A database beside the test's own, without a table."""
    url = make_url(database_url)
    name = f"{url.database}_empty"
    administer(database_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield url.set(database=name).render_as_string(hide_password=False)
    administer(database_url, f"DROP DATABASE {name} WITH (FORCE)")


Told = tuple[list[Any], Database]
Ran = Callable[[str], Told]


@pytest.fixture
def ran(tmp_path: Path, redis: RedisServer, empty_database: str) -> Iterator[Ran]:
    """Run a program in a folder that has what the page writes; what it told, and its database."""
    for name, code in WRITTEN.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    for package in ("shop", "shop/migrations"):
        (tmp_path / package / "__init__.py").touch()
    database = connect(empty_database)
    with Redis.from_url(redis.url) as broker:
        broker.flushall()

    def run(program: str) -> Told:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            env={
                **os.environ,
                "DATABASE_URL": empty_database,
                "CELERY_BROKER_URL": redis.url,
                "PYTHONPATH": str(ROOT),
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1]), database

    yield run
    database.dispose()


def standing(database: Database) -> list[tuple[Any, ...]]:
    """Each saga, with the order that was committed with it."""
    sql = text("""
        SELECT saga_id::text, saga_type, status, state ->> 'item', o.item
        FROM saga_state FULL JOIN "order" o ON o.id = (state ->> 'order_id')::int
    """)
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(sql)]


def test_fastapi_starts_a_saga_as_its_page_says(ran: Ran) -> None:
    told, database = ran(FASTAPI + LOOK + THEN)

    [(saga_id, *rest)] = standing(database)
    assert rest == ["sale", "RUNNING", "lamp", "lamp"]
    first, again, another, noted, unknown = told["answers"]
    assert first == again == [202, {"sagaId": saga_id}]
    assert another[0] == 422
    assert noted == [202, {"isNew": True}]
    assert unknown[0] == 404
    assert told["queued"] == 1


def test_flask_starts_a_saga_as_its_page_says(ran: Ran) -> None:
    told, database = ran(FLASK + THEN)

    [(saga_id, *rest)] = standing(database)
    assert rest == ["sale", "RUNNING", "lamp", "lamp"]
    first, again, another, taken, wrong = told["answers"]
    assert first == again == [202, {"sagaId": saga_id}]
    assert (another[0], taken[0], wrong[0]) == (422, 409, 422)
    assert told["queued"] == 1


def test_django_starts_a_saga_as_its_page_says(ran: Ran) -> None:
    told, database = ran(DJANGO + THEN)

    [(saga_id, *rest)] = standing(database)
    assert rest == ["sale", "RUNNING", "lamp", "lamp"]
    first, again, another, taken, wrong, in_vain = told["answers"]
    assert first == again == [202, {"sagaId": saga_id}]
    assert (another[0], taken[0], wrong[0]) == (422, 409, 422)
    # Its own atomic block was a savepoint of one that ended badly: nothing is left or sent of it.
    assert in_vain[0] == 202
    assert told["queued"] == 1


def test_the_page_names_the_newest_version_of_the_engines_tables() -> None:
    assert f"to={schema.LATEST})" in PAGE
