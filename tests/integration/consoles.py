"""The console as somebody without a browser sees it: pages are read, forms are sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any, Self

from fastapi import FastAPI
from httpx import Client, Response

from saga import Engine
from saga.access import Role, keys
from saga.api import create_app
from saga.console import create_console
from tests.integration.served import served

KEY = "the key of these tests"

_TOKEN = re.compile(r'name="token" value="([^"]+)"')
_TAG = re.compile(r"<[^>]*>")


class Guest:
    """Somebody at the console. Pages are asked for as browsers do, and forms carry their token."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str, **options: Any) -> Response:
        return self.client.get(f"/console{path}", **options)

    def send(self, path: str, *, token: str | None = None, **fields: Any) -> Response:
        """Send a form from a page of this session."""
        data = {"token": self.token if token is None else token, **fields}
        return self.client.post(f"/console{path}", data=data)

    @property
    def token(self) -> str:
        found = _TOKEN.search(self.get("/sagas").text)
        assert found is not None, "nobody is logged in"
        return found[1]

    def log_in(self, key: str = KEY) -> Self:
        answer = self.client.post("/console/login", data={"key": key})
        assert answer.status_code == 303, text_of(answer)
        return self


def text_of(page: Response) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(_TAG.sub(" ", page.text)).split())


@contextmanager
def at(address: str) -> Iterator[Guest]:
    """A guest of their own, with their own cookies."""
    headers = {"accept": "text/html"}
    with Client(base_url=address, headers=headers, trust_env=False, timeout=30) as client:
        yield Guest(client)


def front(engine: Engine, **options: Any) -> FastAPI:
    """The console beside the engine's own API."""
    console = create_console(engine, **{"api_key": KEY, **options})
    return create_app(engine, api_key=KEY, fronts={"/console": console})


@contextmanager
def opened(engine: Engine, **options: Any) -> Iterator[str]:
    """The console, served; tells where."""
    with served(front(engine, **options)) as address:
        yield address


def key_of(engine: Engine, role: Role, name: str) -> keys.NewKey:
    """A key of somebody who has the role."""
    with engine.database.begin() as connection:
        return keys.create(connection, name=name, role=role, by="these tests")
