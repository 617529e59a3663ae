"""Which workers answer is asked of a real broker, and no page waits long for it."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from saga.embedded import RedisServer
from saga.followup import Lane
from saga.roll import Roll, Worker

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("roll") / "redis")
    server.start()
    yield server
    server.kill()


def app(url: str) -> Celery:
    celery = Celery("roll", broker=url, set_as_current=False)
    celery.conf.update(worker_redirect_stdouts=False)
    return celery


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_workers_are_told_with_their_queues_until_they_are_gone(redis: RedisServer) -> None:
    celery, clock = app(redis.url), Clock()
    roll = Roll(celery, clock=clock)
    queues = [lane.value for lane in Lane]
    worker = start_worker(
        celery, pool="solo", perform_ping_check=False, queues=queues, hostname="ann@home"
    )
    with worker:
        assert roll.workers() == [Worker(name="ann@home", queues=tuple(sorted(queues)), active=0)]

    clock.seconds = 4
    kept = roll.workers()
    clock.seconds = 31
    while (asked_again := roll.workers()) is None:
        pass  # Who answered before is given time.

    assert kept is not None
    assert [one.name for one in kept] == ["ann@home"]
    assert asked_again == []


def test_a_broker_that_is_away_is_no_answer_and_holds_nobody_up() -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        for url in (silent_url, "redis://127.0.0.1:1/0"):
            roll = Roll(app(url))
            began = time.monotonic()

            assert roll.workers() is None

            assert time.monotonic() - began < 1.7, url
