"""A real PostgreSQL for all tests of a run, and a fresh, migrated database for each that asks."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy.engine import make_url

from saga import connect
from saga.embedded import PostgresServer

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The bundled server, shared by the whole run: do not stop it, start one of your own."""
    folder = Path(tempfile.mkdtemp(prefix="saga-test-"))
    # PostgreSQL does not run as root, and another user must be able to enter.
    folder.chmod(0o755)
    server = PostgresServer(folder / "postgres")
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Make a migrated database and give its URL; all are dropped when the run ends.

    They live on the server that DATABASE_URL names, else on the bundled one.
    """
    own = os.environ.get("DATABASE_URL") or request.getfixturevalue("postgres").url
    made: list[str] = []

    def make(template: str = "template0") -> str:
        name = f"saga_test_{uuid4().hex}"
        administer(own, f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        url = make_url(own).set(drivername="postgresql", database=name)
        return url.render_as_string(hide_password=False)

    template = make()
    migrate(template)
    yield lambda: make(str(make_url(template).database))
    for name in made:
        administer(own, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A fresh, migrated database for one test."""
    return new_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The fresh database, connected to as the engine's processes do."""
    database = connect(database_url)
    yield database
    database.dispose()


def administer(url: str, statement: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


def migrate(url: str) -> None:
    """Bring the database to the newest schema, in a process with settings of its own."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
        capture_output=True,
    )
