"""What docker-compose.yml asks of a container's process says no when it must."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text

from saga.embedded import RedisServer

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).resolve().parents[2] / "ops/docker/health.py"


def _ended(*words: str, **environment: str) -> int:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
    ).returncode


@pytest.fixture
def server() -> Iterator[str]:
    """Answer 200 at /well, and 503 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_url_is_well_when_it_answers_200(server: str) -> None:
    assert _ended("url", f"{server}/well") == 0
    assert _ended("url", f"{server}/ill") != 0


def test_a_proxy_is_not_asked_for_the_container_s_own_url(server: str) -> None:
    assert _ended("url", f"{server}/well", http_proxy="http://127.0.0.1:1", no_proxy="") == 0


def test_scans_are_well_while_recovery_runs(database: Database, database_url: str) -> None:
    assert _ended("scans", DATABASE_URL=database_url) != 0, "it never ran"

    for age, is_well in (("1 second", True), ("1 hour", False)):
        with database.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO saga_pulse (name, at) "
                    "VALUES ('recovery', clock_timestamp() - CAST(:age AS interval)) "
                    "ON CONFLICT (name) DO UPDATE SET at = excluded.at"
                ),
                {"age": age},
            )
        assert (_ended("scans", DATABASE_URL=database_url) == 0) is is_well, age


def test_a_node_is_not_well_when_nobody_answers(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()

    assert _ended("node", "worker", CELERY_BROKER_URL=redis.url) == 1

    redis.kill()


def test_a_check_that_nobody_knows_fails() -> None:
    assert _ended("everything") != 0
