"""The bundled servers are started for real; each test has a folder of its own."""

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
from redis import Redis

from saga.embedded import EmbeddedError, PostgresServer, RedisServer, identity

pytestmark = pytest.mark.integration

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run as somebody else")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are for their owner alone."""
    path = Path(tempfile.mkdtemp(prefix="saga-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def postgres(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder / "postgres")
    yield server
    server.kill()


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder / "redis")
    yield server
    server.kill()


def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


def test_what_postgres_holds_survives_its_restart(postgres: PostgresServer) -> None:
    postgres.start()
    url = postgres.url
    ask(url, "CREATE TABLE kept (number int)")
    ask(url, "INSERT INTO kept VALUES (42)")

    postgres.restart()

    assert postgres.url == url
    assert ask(url, "SELECT number FROM kept") == [(42,)]


def test_what_postgres_holds_survives_a_crash(postgres: PostgresServer) -> None:
    postgres.start()
    ask(postgres.url, "CREATE TABLE kept AS SELECT 42 AS number")

    postgres.kill()
    postgres.start()

    assert ask(postgres.url, "SELECT number FROM kept") == [(42,)]


def test_postgres_is_durable_and_reached_by_loopback_and_password_alone(
    postgres: PostgresServer,
) -> None:
    postgres.start()

    assert ask(postgres.url, "SHOW fsync") == [("on",)]
    assert ask(postgres.url, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert ask(postgres.url, "SHOW unix_socket_directories") == [("",)]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=postgres.port, user="saga", password="wrong")


def test_a_stale_pid_file_with_somebody_elses_number_does_not_keep_postgres_down(
    postgres: PostgresServer,
) -> None:
    postgres.start()
    notes = next(postgres.folder.glob("data/postmaster.pid"))
    lines = notes.read_text().split("\n")
    postgres.kill()
    notes.write_text("\n".join([str(os.getpid()), *lines[1:]]))

    assert postgres.pid is None
    postgres.start()

    assert postgres.pid not in {None, os.getpid()}


def test_a_second_start_on_the_same_folder_is_refused(postgres: PostgresServer) -> None:
    postgres.start()
    second = PostgresServer(postgres.folder)

    with pytest.raises(EmbeddedError, match=f"already runs .* {postgres.pid}"):
        second.start()

    assert second.pid == postgres.pid


def test_a_database_is_made_once_and_asking_again_gives_the_same(postgres: PostgresServer) -> None:
    postgres.start()

    url = postgres.create_database("other")
    ask(url, "CREATE TABLE mine ()")

    assert postgres.create_database("other") == url
    assert ask(url, "SELECT count(*) FROM mine") == [(0,)]


def test_what_redis_holds_survives_restart_and_crash(redis: RedisServer) -> None:
    redis.start()
    url = redis.url
    with Redis.from_url(url) as client:
        client.rpush("queue", "first")
    redis.restart()
    with Redis.from_url(url) as client:
        client.rpush("queue", "second")
    redis.kill()
    redis.start()

    assert redis.url == url
    with Redis.from_url(url) as client:
        assert client.lrange("queue", 0, -1) == [b"first", b"second"]
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_a_stale_pid_file_with_another_redis_number_does_not_end_that_one(
    redis: RedisServer, folder: Path
) -> None:
    redis.start()
    other = RedisServer(folder / "other")
    other.start()
    redis.kill()
    (redis.folder / "pid").write_text((other.folder / "pid").read_text())

    redis.start()

    assert other.pid is not None
    assert other.ready()
    other.kill()


def test_a_port_that_was_taken_meanwhile_is_replaced(redis: RedisServer) -> None:
    redis.start()
    port = redis.port
    redis.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        redis.start()

    assert redis.port != port


def test_passwords_are_for_their_owner_alone(postgres: PostgresServer, redis: RedisServer) -> None:
    postgres.start()
    redis.start()

    for file in (
        postgres.folder / "password",
        redis.folder / "password",
        redis.folder / "redis.conf",
    ):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for server in (postgres, redis):
        assert server.pid is not None
        shown = " ".join(psutil.Process(server.pid).cmdline())
        assert (server.folder / "password").read_text() not in shown


def test_a_stopped_server_leaves_no_process(postgres: PostgresServer, redis: RedisServer) -> None:
    for server in (postgres, redis):
        server.start()
        assert server.pid is not None
        process = psutil.Process(server.pid)
        family = [process, *process.children(recursive=True)]

        server.stop()

        assert server.pid is None
        assert not [member for member in family if member.is_running()]


@as_root
def test_root_runs_postgres_where_only_root_may_enter(
    folder: Path, postgres: PostgresServer
) -> None:
    folder.chmod(0o700)

    postgres.start()

    assert (postgres.folder / "data" / "PG_VERSION").exists()
    assert postgres.pid is not None
    # Inside it is somebody else: what it calls number 0 is not the number it runs under.
    assert int(Path(f"/proc/{postgres.pid}/uid_map").read_text().split()[0]) != 0


@as_root
def test_without_user_namespaces_postgres_runs_as_another_user(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_namespaces(monkeypatch)

    postgres.start()

    assert postgres.pid is not None
    assert psutil.Process(postgres.pid).uids().real != 0
    assert (postgres.folder / "data" / "PG_VERSION").exists()


@as_root
def test_where_nobody_else_may_enter_postgres_goes_to_the_temporary_folder_and_says_so(
    folder: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_namespaces(monkeypatch)
    folder.chmod(0o700)

    with pytest.warns(UserWarning, match="which the system may clear"):
        postgres.start()
    elsewhere = Path((postgres.folder / "elsewhere").read_text())
    try:
        ask(postgres.url, "CREATE TABLE kept AS SELECT 42 AS number")
        postgres.stop()
        again = PostgresServer(postgres.folder)
        again.start()

        assert ask(again.url, "SELECT number FROM kept") == [(42,)]
        assert again.pid is not None
        assert psutil.Process(again.pid).uids().real != 0
        again.stop()
    finally:
        postgres.kill()
        shutil.rmtree(elsewhere)


@as_root
def test_data_made_as_another_user_is_still_there_in_a_user_namespace(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_namespaces(patch)
        first = PostgresServer(folder / "postgres")
        first.start()
        ask(first.url, "CREATE TABLE kept AS SELECT 42 AS number")
        first.stop()

    second = PostgresServer(folder / "postgres")
    second.start()
    try:
        assert ask(second.url, "SELECT number FROM kept") == [(42,)]
    finally:
        second.kill()


def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(
        identity.shutil, "which", lambda name: None if name == "unshare" else found(name)
    )


def test_any_character_may_stand_in_the_folders_name(folder: Path) -> None:
    odd = folder / 'it\'s "mine" \\ & yours $HOME'
    odd.mkdir()
    for server in (PostgresServer(odd / "postgres"), RedisServer(odd / "redis")):
        server.start()
        try:
            assert server.pid is not None
            assert not (server.folder / "elsewhere").exists()
        finally:
            server.kill()
