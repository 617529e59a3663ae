"""Worlds for the acceptance tests."""

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from saga.embedded import PostgresServer
from tests.acceptance.world import QUICK, World
from tests.conftest import migrate


@pytest.fixture
def make_world(new_database: Callable[[], str], tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world with a sandbox, recovery and beat, and the workers that are asked for.

    ``api``: with the HTTP API, so that providers call back, too.
    ``own_postgres``: a server of its own, which the test may stop.
    """
    made: list[World] = []

    def make(
        *,
        workers: int = 1,
        concurrency: int = 1,
        app: str = "app",
        settings: Mapping[str, str] | None = None,
        own_postgres: bool = False,
        api: bool = False,
    ) -> World:
        server = PostgresServer(tmp_path / "postgres") if own_postgres else None
        if server is not None:
            server.start()
            migrate(server.url)
        world = World(
            folder=tmp_path,
            postgres=server,
            database_url=new_database() if server is None else server.url,
            settings={**QUICK, **(settings or {})},
        )
        made.append(world)
        world.start_sandbox(_free_port())
        if api:
            world.start_api(_free_port())
        world.start_beat(app)
        names = [f"worker{number}" for number in range(1, workers + 1)]
        world.start_all(names, concurrency=concurrency, app=app)
        if api:
            world.await_api()
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A world with one worker that has one slot: whoever is killed, it is that one."""
    return make_world()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
