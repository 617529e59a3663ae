"""A real PostgreSQL for all tests of a run, a fresh database for each test, and what was proved.

A proof counts what it went through. Its sentence is printed when the run ends, and stands in
docs/explanation/promises.md word for word.
"""

import itertools
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
PROMISES = PROJECT / "docs/explanation/promises.md"
_LONGEST = {
    *("test_how_to", "test_pages", "test_bench", "test_demo", "test_crash_points", "test_cost"),
    *("test_compose", "test_stack"),
}
# Where tests of real processes are.
_WAITING = {"acceptance", "browser", "containers"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--prove", action="store_true", help="run proofs in full, not their short selection"
    )
    parser.addoption(
        "--radosgw", action="store_true", help="try object stores on a Ceph of Debian's, too"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what asks for a Ceph, unless a run asks for that; deal the rest to its workers."""
    if not config.getoption("--radosgw"):
        left_out = [item for item in items if item.get_closest_marker("radosgw")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("radosgw")]
    items[:] = dealt(items, workers=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def dealt(items: list[pytest.Item], *, workers: int) -> list[pytest.Item]:
    """In the order in which ``workers`` that each begin with their part are least idle at the end.

    Tests of real processes take long and mostly wait. All but the last worker begin with them, the
    longest first; beside them the last one has work for the other core. What is short comes last,
    as only what nobody has begun can be taken over.
    """
    if workers == 1:
        return items
    waits = [item for item in items if _WAITING & {*item.path.parts}]
    works = [item for item in items if not _WAITING & {*item.path.parts}]
    files = [list(found) for _, found in itertools.groupby(waits, _together)]
    files.sort(key=lambda found: found[0].path.stem not in _LONGEST)
    hands = [list(itertools.chain(*files[hand :: workers - 1])) for hand in range(workers - 1)]
    hands.append([])
    order = []
    for turn, hand in enumerate(hands):
        end = len(items) * (turn + 1) // workers
        room = max(end - len(order) - len(hand), 0)
        order += [*hand, *works[:room]]
        works = works[room:]
    return order + works


def _together(item: pytest.Item) -> Path:
    """A file's tests may share what they start, and all that need Docker share its engine."""
    return item.path.parent if "containers" in item.path.parts else item.path


@pytest.fixture
def in_full(pytestconfig: pytest.Config) -> bool:
    """Whether a proof is to leave nothing out, however long that takes: ``make prove``."""
    return bool(pytestconfig.getoption("--prove"))


@pytest.fixture
def proved(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Print what was gone through when the run ends: ``proved("12 states, 0 violations")``.

    A count that is the same in every run must stand in the promises' page, as documents say what
    is true now. Random ones are ``documented=False``.
    """

    def say(sentence: str, *, documented: bool = True) -> None:
        record_property("proved", sentence)
        page = " ".join(PROMISES.read_text().split())
        assert not documented or sentence in page, f"write into {PROMISES.name}: {sentence}"

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)
    ]
    said = [
        str(value)
        for report in reports
        for name, value in report.user_properties
        if name == "proved" and report.when == "call"
    ]
    if said:
        terminalreporter.section("proved")
        for sentence in said:
            terminalreporter.line(sentence)


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

    They live on the server that DATABASE_URL names, else on the bundled one. DATABASE_TEMPLATE may
    name a database of that server which is migrated already.
    """
    own = os.environ.get("DATABASE_URL") or request.getfixturevalue("postgres").url
    made: list[str] = []

    def make(template: str = "template0") -> str:
        name = f"saga_test_{uuid4().hex}"
        administer(own, f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        url = make_url(own).set(drivername="postgresql", database=name)
        return url.render_as_string(hide_password=False)

    template = os.environ.get("DATABASE_TEMPLATE")
    if template is None:
        migrated = make()
        migrate(migrated)
        template = str(make_url(migrated).database)
    yield lambda: make(template)
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
