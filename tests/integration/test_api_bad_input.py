"""Whatever is sent, to every route: the right status, a problem, and nothing half-done."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from sqlalchemy import Engine as Database
from sqlalchemy import text

from api import create_app
from saga import Engine, connect
from tests.integration.served import assert_problem, calling, served
from tests.integration.test_api import Broker
from workflows import creation, deletion, refund, upload

pytestmark = pytest.mark.integration

KEY = "the key of these tests"
TABLES = ("saga_state", "saga_event", "saga_pause", "saga_signal", "devices", "applications")
MEGABYTES = 10_000_000
DEPTH = 10_000


def made(database: Database) -> FastAPI:
    engine = Engine(
        database=database, sagas=[refund, upload, creation, deletion], publisher=Broker()
    )
    return create_app(engine, api_key=KEY)


# Every route, as it is described: a new one is asked, too.
DESCRIBED = made(connect("postgresql://127.0.0.1:1/none")).openapi()
ROUTES = [
    (method.upper(), path, operation)
    for path, methods in DESCRIBED["paths"].items()
    for method, operation in methods.items()
    if not path.endswith("/stream")
]
JSON_ROUTES = [
    pytest.param(method, path, id=f"{method} {path}")
    for method, path, operation in ROUTES
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]
IN_PATH = [
    pytest.param(method, path, id=f"{method} {path}") for method, path, _ in ROUTES if "{" in path
]
IN_QUERY = [
    pytest.param(path, parameter["name"], id=f"{path} {parameter['name']}")
    for method, path, operation in ROUTES
    for parameter in operation.get("parameters", ())
    if method == "GET" and parameter["in"] == "query"
]
PATHS = sorted({path for _, path, _ in ROUTES})

ODD = {
    "U+0000": "\0",
    "SQL": "'; DROP TABLE saga_state; --",
    "HTML": "<script>alert(1)</script>",
    "long": "x" * 100_000,
    "direction": "\u202e\u2066",
    "surrogate": "\ud800",
}


@dataclass(frozen=True, kw_only=True)
class Front:
    address: str
    client: Client
    database: Database

    def rows(self) -> list[list[Any]]:
        with self.database.connect() as connection:
            return [
                list(connection.execute(text(f"SELECT {table}::text FROM {table}")).scalars())
                for table in TABLES
            ]

    def send(self, method: str, path: str, body: bytes, **headers: str) -> Response:
        given = {"Content-Type": "application/json", **headers}
        return self.client.request(method, path, content=body, headers=given)

    def speak(self, written: bytes) -> bytes:
        """What is answered to a request written by hand, until the server ends or falls silent."""
        where = urlsplit(self.address)
        with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
            connection.sendall(written)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        return answer


@pytest.fixture(scope="module")
def front(new_database: Callable[[], str]) -> Iterator[Front]:
    database = connect(new_database(), pool_size=12)
    with served(made(database)) as address, calling(address, KEY) as client:
        yield Front(address=address, client=client, database=database)
    database.dispose()


def at(path: str, value: str | None = None) -> str:
    return re.sub(r"\{\w+\}", lambda _: value or str(uuid4()), path)


def refused(front: Front, response: Response, *statuses: int) -> None:
    assert response.status_code in statuses, response.text
    assert_problem(response, response.status_code)
    assert not re.search(r"Traceback|psycopg|sqlalchemy|/work/|\.py\b", response.text)
    assert front.rows() == [[] for _ in TABLES]


BODIES = {
    "deep list": (b"[" * DEPTH + b"]" * DEPTH, 422),
    "deep field": (b'{"payload":' + b'{"a":' * DEPTH + b"1" + b"}" * DEPTH + b"}", 422),
    "deep state": (b'{"state":' + b"[" * DEPTH + b"]" * DEPTH + b"}", 422),
    "no UTF-8": (b'{"reason": "\xff\xfe"}', 422),
    "cut in a letter": (b'{"reason": "\xe5\xba', 422),
    "UTF-16": ('{"reason": "x"}'.encode("utf-16"), 422),
    "not a number": (b'{"amount": NaN, "version": Infinity}', 422),
    "huge number": (b'{"amount": 1e999999999, "version": 1' + b"0" * 5_000 + b"}", 422),
    "ten megabytes": (b'{"reason": "' + b"x" * MEGABYTES + b'"}', 413),
    "nothing": (b"", 422),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("method", "path"), JSON_ROUTES)
def test_no_body_breaks_a_route(front: Front, method: str, path: str, body: str) -> None:
    sent, status = BODIES[body]
    refused(front, front.send(method, at(path), sent), status)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("method", "path"), JSON_ROUTES)
def test_no_text_in_any_field_breaks_a_route(
    front: Front, method: str, path: str, odd: str
) -> None:
    content = DESCRIBED["paths"][path][method.lower()]["requestBody"]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    for field in DESCRIBED["components"]["schemas"][name]["properties"]:
        body = json.dumps({field: ODD[odd]}).encode()
        refused(front, front.send(method, at(path), body), 404, 422)


@pytest.mark.parametrize("odd", ["%00", "%ff%fe", "%ed%a0%80", "%27%3B--", "%3Cb%3E", "x" * 5_000])
@pytest.mark.parametrize(("method", "path"), IN_PATH)
def test_no_path_breaks_a_route(front: Front, method: str, path: str, odd: str) -> None:
    refused(front, front.client.request(method, at(path, odd)), 404, 415, 422)


@pytest.mark.parametrize("odd", ["%00", "%ff%fe", "%ed%a0%80", "%27%3B--", "9" * 5_000, "-1", ""])
@pytest.mark.parametrize(("path", "name"), IN_QUERY)
def test_no_query_breaks_a_route(front: Front, path: str, name: str, odd: str) -> None:
    answer = front.client.get(f"{at(path)}?{name}={odd}")
    if answer.status_code != 200:
        refused(front, answer, 404, 422)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "TRACE", "QUERY", "BREW"])
@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_is_none_is_a_problem(front: Front, path: str, method: str) -> None:
    refused(front, front.client.request(method, at(path)), 405)


SPOKEN = {
    "another length": (b"Content-Length: 5\r\n\r\n", b"{", b""),
    "two lengths": (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"{}", b"400"),
    "length and chunks": (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", b"{}", b""),
    "no number": (b"Content-Length: two\r\n\r\n", b"{}", b"400"),
    "expected": (b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"{}", b"422"),
    "chunks cut off": (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\n{", b""),
}


@pytest.mark.parametrize("said", SPOKEN)
def test_a_request_that_lies_or_ends_early_does_nothing(front: Front, said: str) -> None:
    head, body, status = SPOKEN[said]
    start = b"POST /api/devices HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
    key = b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n" % KEY.encode()

    answer = front.speak(start + key + head + body)

    assert status in answer
    assert b" 500 " not in answer
    assert b"Traceback" not in answer
    assert front.rows() == [[] for _ in TABLES]
    assert front.client.get("/healthz").status_code == 200
