"""Server-sent events, served for real: what changes is told, and nothing is left of who went."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from httpx import Client
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from saga.access import Role, keys
from saga.api import streams
from saga.api.application import create_app
from saga.operator import Operator
from saga.streams import Pace
from tests.integration.served import assert_problem, calling, served
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

KEY = "the key of these tests"
QUICK = Pace(
    look=timedelta(milliseconds=20),
    sign=timedelta(milliseconds=100),
    key=timedelta(milliseconds=60),
    longest=timedelta(seconds=20),
    most=3,
)


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Callable[[Pace], None]:
    def set_pace(pace: Pace) -> None:
        monkeypatch.setattr(streams.router, "__defaults__", (pace,))

    return set_pace


@pytest.fixture
def address(shop: Shop, pace: Callable[[Pace], None]) -> Iterator[str]:
    pace(QUICK)
    with served(create_app(shop.engine, api_key=KEY)) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with calling(address, KEY) as client:
        yield client


class Heard:
    """What a stream tells, piece by piece."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def block(self) -> dict[str, str]:
        """The next block: its fields; a comment's name is empty."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line and fields:
                return fields
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        raise StopIteration

    def message(self) -> tuple[str | None, Any]:
        """The next message's id and data."""
        while True:
            fields = self.block()
            if "data" in fields:
                assert fields["event"] == "saga"
                return fields.get("id"), json.loads(fields["data"])

    def comment(self) -> str:
        while True:
            fields = self.block()
            if "" in fields:
                return fields[""]

    def ends(self) -> bool:
        return all(line.startswith((":", "retry:")) or not line for line in self._lines)


@contextmanager
def listening(client: Client, path: str, **headers: str) -> Iterator[Heard]:
    with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Heard(answer.iter_lines())


def pause(shop: Shop, saga_id: UUID) -> None:
    Operator(shop.engine, actor="Ann").pause(saga_id, reason="to look on")


def test_a_saga_is_told_as_it_stands_and_again_when_it_moves(shop: Shop, client: Client) -> None:
    saga_id = shop.start()
    with listening(client, f"/api/sagas/{saga_id}/stream") as heard:
        number, first = heard.message()
        pause(shop, saga_id)
        then, second = heard.message()

    assert set(first) == {"saga", "steps", "events", "allowedActions", "why"}
    assert (number, first["saga"]["version"]) == ("1", 1)
    assert [event["kind"] for event in first["events"]] == ["started"]
    assert (then, second["saga"]["version"]) == ("2", 2)
    assert [event["kind"] for event in second["events"]] == ["paused"]
    assert "resume" in second["allowedActions"]


def test_nothing_is_lost_or_told_twice_however_quickly_a_saga_moves(
    shop: Shop, client: Client
) -> None:
    saga_id = shop.start()
    with listening(client, f"/api/sagas/{saga_id}/stream") as heard:
        told = [heard.message()[1]]
        threading.Thread(target=shop.work_off).start()
        while told[-1]["saga"]["status"] != "COMPLETED":
            told.append(heard.message()[1])

    numbers = [event["seq"] for message in told for event in message["events"]]
    assert numbers == list(range(1, told[-1]["saga"]["version"] + 1))


def test_who_comes_back_is_told_only_what_came_meanwhile(shop: Shop, client: Client) -> None:
    saga_id = shop.start()
    pause(shop, saga_id)

    with listening(client, f"/api/sagas/{saga_id}/stream", **{"Last-Event-ID": "1"}) as heard:
        _, told = heard.message()

    assert [event["kind"] for event in told["events"]] == ["paused"]


@pytest.mark.parametrize("nonsense", ["", "x", "-1", "9" * 40, "1e3"])
def test_who_comes_back_with_nonsense_is_told_all(
    shop: Shop, client: Client, nonsense: str
) -> None:
    saga_id = shop.start()

    path = f"/api/sagas/{saga_id}/stream"
    with listening(client, path, **{"Last-Event-ID": nonsense}) as heard:
        _, told = heard.message()

    assert [event["kind"] for event in told["events"]] == ["started"]


def test_a_list_tells_who_came_moved_and_went(shop: Shop, client: Client) -> None:
    first = shop.start()
    with listening(client, "/api/sagas/stream?status=RUNNING&type=shop") as heard:
        assert heard.message()[1]["sagaId"] == str(first)
        second = shop.start()
        assert heard.message()[1]["sagaId"] == str(second)
        pause(shop, first)
        assert heard.message()[1]["version"] == 2
        Operator(shop.engine, actor="Ann").cancel(second, reason="gone by then")
        _, gone = heard.message()

    assert (gone["sagaId"], gone["status"]) == (str(second), "COMPENSATED")


def test_there_is_a_sign_of_life_while_nothing_happens(shop: Shop, client: Client) -> None:
    with listening(client, f"/api/sagas/{shop.start()}/stream") as heard:
        heard.message()

        assert heard.comment() == "still here"


def test_what_cannot_be_watched_is_refused_before_anything_is_told(
    shop: Shop, client: Client
) -> None:
    assert_problem(client.get(f"/api/sagas/{uuid4()}/stream"), 404)
    assert_problem(client.get("/api/sagas/nonsense/stream"), 404)
    assert_problem(client.get("/api/sagas/stream?status=LOST"), 422, "status")
    assert_problem(client.get("/api/sagas/stream?statsu=FAILED"), 422, "statsu")
    assert shop.status(shop.start()) == "RUNNING"


def test_a_viewer_is_told_masked_texts(shop: Shop, address: str) -> None:
    with shop.database.begin() as connection:
        key = keys.create(connection, name="screen", role=Role.VIEWER, by="Ann")
    saga_id = shop.start()
    with shop.database.begin() as connection:
        # Of a definition that nobody here knows, no free text is told.
        sql = "UPDATE saga_state SET saga_type = 'unknown', error_message = 'OfBob: 4711'"
        connection.execute(text(sql))

    with calling(address, key.secret) as viewer:
        with listening(viewer, f"/api/sagas/{saga_id}/stream") as heard:
            _, told = heard.message()
        with listening(viewer, "/api/sagas/stream") as heard:
            _, listed = heard.message()

    assert "4711" not in json.dumps([told, listed])
    assert listed["sagaId"] == str(saga_id)
    assert listed["errorMessage"] == told["saga"]["errorMessage"] == "***"


def test_a_revoked_key_ends_its_streams(shop: Shop, address: str) -> None:
    with shop.database.begin() as connection:
        key = keys.create(connection, name="screen", role=Role.VIEWER, by="Ann")
    path = f"/api/sagas/{shop.start()}/stream"
    with calling(address, key.secret) as viewer, listening(viewer, path) as heard:
        heard.message()
        with shop.database.begin() as connection:
            keys.revoke(connection, key.key_id, by="Ann")

        assert heard.ends()


def test_no_more_than_so_many_streams_are_open_and_who_goes_makes_room(
    shop: Shop, client: Client
) -> None:
    path = f"/api/sagas/{shop.start()}/stream"
    with listening(client, path), listening(client, path), listening(client, path):
        refused = client.get(path)
        assert_problem(refused, 503)
        assert refused.headers["retry-after"] == "10"
        assert client.get("/api/sagas").status_code == 200

    deadline = time.monotonic() + 10
    while client.stream("GET", path).__enter__().status_code != 200:
        assert time.monotonic() < deadline, "those that went still have their places"


def test_a_stream_ends_after_a_while_so_that_a_server_may(
    shop: Shop, pace: Callable[[Pace], None]
) -> None:
    pace(Pace(look=timedelta(milliseconds=10), longest=timedelta(milliseconds=50)))
    app: FastAPI = create_app(shop.engine, api_key=KEY)
    with (
        served(app) as address,
        calling(address, KEY) as client,
        listening(client, f"/api/sagas/{shop.start()}/stream") as heard,
    ):
        heard.message()

        assert heard.ends()


def test_a_stream_outlives_the_database_connection(shop: Shop, client: Client) -> None:
    saga_id = shop.start()
    with listening(client, f"/api/sagas/{saga_id}/stream") as heard:
        heard.message()
        with shop.database.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                pause(shop, saga_id)
                break
            except DBAPIError:
                # Its own connection was ended, too.
                assert time.monotonic() < deadline
        _, told = heard.message()

    assert [event["kind"] for event in told["events"]] == ["paused"]
