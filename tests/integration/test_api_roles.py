"""Who may do what over HTTP: every route, asked with every kind of key."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import Client, Response
from sqlalchemy import Engine as Database
from sqlalchemy import text
from starlette.routing import Route

from api import create_app
from saga import Engine, connect
from saga.access import Role, keys, refusals
from saga.access.audit import list_audit
from saga.api.guard import Guard
from tests.integration.served import assert_problem, calling, served
from tests.integration.test_api import Broker
from workflows import creation, deletion, refund, upload

pytestmark = pytest.mark.integration

START = frozenset({"producer", "admin"})
ACT = frozenset({"operator", "admin"})
AUDIT = frozenset({"admin"})
ANY_KEY = frozenset({"producer", "viewer", "operator", "admin"})
OPEN = ANY_KEY | {"no key", "wrong", "expired", "revoked"}

# By hand, and not from the permissions that routes say: what is wrong there is found here.
MAY: Mapping[str, frozenset[str]] = {
    "POST /api/billing/payments/{paymentId}/refund": START,
    "GET /api/payments/{id}": ANY_KEY,
    "GET /api/orders/{id}": ANY_KEY,
    "POST /api/apps": START,
    "GET /api/apps/{id}": ANY_KEY,
    "GET /api/apps/{id}/download": ANY_KEY,
    "POST /api/devices": START,
    "GET /api/devices/{id}": ANY_KEY,
    "DELETE /api/devices/{id}": START,
    "GET /api/users/{userId}/quota": ANY_KEY,
    "POST /api/webhooks/wechat": OPEN,
    "POST /api/webhooks/alipay": OPEN,
    "GET /api/sagas": ANY_KEY,
    "GET /api/sagas/counts": ANY_KEY,
    "GET /api/sagas/{sagaId}": ANY_KEY,
    "GET /api/sagas/{sagaId}/stream": ANY_KEY,
    "GET /api/sagas/stream": ANY_KEY,
    "POST /api/sagas/{sagaId}/retry": ACT,
    "POST /api/sagas/{sagaId}/compensate": ACT,
    "POST /api/sagas/{sagaId}/cancel": ACT,
    "POST /api/sagas/{sagaId}/pause": ACT,
    "POST /api/sagas/{sagaId}/resume": ACT,
    "POST /api/sagas/{sagaId}/resolve": ACT,
    "GET /api/sagas/{sagaId}/compensate/preview": ANY_KEY,
    "POST /api/sagas/{sagaId}/signals/{name}": ACT,
    "GET /api/pauses": ANY_KEY,
    "POST /api/pauses": ACT,
    "DELETE /api/pauses": ACT,
    "GET /api/audit": AUDIT,
    "GET /openapi.json": ANY_KEY,
    "GET /docs": ANY_KEY,
    "GET /docs/oauth2-redirect": ANY_KEY,
    "GET /redoc": ANY_KEY,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
}

WHO = ("no key", "wrong", "expired", "revoked", "producer", "viewer", "operator", "admin")
STRANGERS = ("no key", "wrong", "expired", "revoked")


@dataclass(frozen=True, kw_only=True)
class Door:
    """An API, and a key of each kind."""

    app: FastAPI
    address: str
    database: Database
    secrets: Mapping[str, str | None]

    def knock(self, route: str, who: str) -> Response:
        """Ask the route about what does not exist; of an endless answer only its head is read."""
        method, template = route.split(" ")
        path = re.sub(r"\{\w+\}", str(uuid4()), template)
        asked: dict[str, Any] = {} if method == "GET" else {"json": {}}
        with (
            calling(self.address, self.secrets[who]) as client,
            client.stream(method, path, **asked) as response,
        ):
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                response.read()
        return response

    def entries(self) -> list[dict[str, Any]]:
        with self.database.connect() as connection:
            items: list[dict[str, Any]] = list_audit(connection, limit=500)["items"]
        return items


def make(database: Database) -> dict[str, str | None]:
    secrets: dict[str, str | None] = {"no key": None, "wrong": "saga_" + "A" * 43}
    with database.begin() as connection:
        for role in Role:
            key = keys.create(connection, name=f"a {role}", role=role, by="Ann")
            secrets[role.value] = key.secret
        # Admins' keys: that they are over, and nothing else, keeps them out.
        late = keys.create(
            connection, name="late", role=Role.ADMIN, by="Ann", expires_in=timedelta(days=1)
        )
        connection.execute(
            text("UPDATE saga_key SET expires_at = clock_timestamp() WHERE key_id = :id"),
            {"id": late.key_id},
        )
        lost = keys.create(connection, name="lost", role=Role.ADMIN, by="Ann")
        keys.revoke(connection, lost.key_id, by="Ann")
    return secrets | {"expired": late.secret, "revoked": lost.secret}


@pytest.fixture(scope="module")
def opened(new_database: Callable[[], str]) -> Iterator[Door]:
    database = connect(new_database(), pool_size=12)
    app = create_app(
        Engine(database=database, sagas=[refund, upload, creation, deletion], publisher=Broker()),
        api_key="the key of the environment",
    )
    with pytest.MonkeyPatch.context() as patch, served(app) as address:
        # Strangers are one caller, and here they knock more often than the audit would tell.
        patch.setattr(refusals, "MOST_A_MINUTE", 10_000)
        yield Door(app=app, address=address, database=database, secrets=make(database))
    database.dispose()


@pytest.fixture
def door(opened: Door) -> Door:
    with opened.database.begin() as connection:
        connection.execute(text("TRUNCATE saga_audit"))
    return opened


def test_every_route_has_its_row(opened: Door) -> None:
    described = {
        f"{method.upper()} {path}"
        for path, methods in opened.app.openapi()["paths"].items()
        for method in methods
    }
    passed: dict[Any, Any] = {each.cls: each.kwargs for each in opened.app.user_middleware}
    guard = passed[Guard]
    guarded = {f"{method} {route.path}" for route in guard["routes"] for method in route.methods}
    documents = {f"GET {route.path}" for route in opened.app.routes if isinstance(route, Route)}

    assert described | guarded | documents == MAY.keys()
    assert {route.split(" ")[1] for route, who in MAY.items() if who == OPEN} == guard["open_paths"]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("route", MAY)
def test_a_route_lets_in_whom_it_is_for_and_nobody_else(door: Door, route: str, who: str) -> None:
    answer = door.knock(route, who)
    told = door.entries()

    if who in MAY[route]:
        assert answer.status_code not in (401, 403), answer.text
        # No worker, broker or provider is here to be ready.
        assert answer.status_code < 500 or answer.status_code == 503
        assert not [entry for entry in told if (entry["why"] or "").startswith(("401", "403"))]
        return
    status = 401 if who in STRANGERS else 403
    assert_problem(answer, status)
    [entry] = told
    assert entry["outcome"] == "refused"
    assert entry["action"] == route
    assert entry["target"] == answer.request.url.path
    assert entry["why"].startswith(f"{status}: ")
    named = (None, None) if who in STRANGERS else (f"a {who}", who)
    assert (entry["actor"], entry["role"]) == named
    if (secret := door.secrets[who]) is not None:
        assert secret not in repr(entry) + answer.text


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "QUERY"])
def test_no_other_method_is_a_way_around_a_role(door: Door, method: str) -> None:
    with Client(base_url=door.address, trust_env=False) as stranger:
        assert stranger.request(method, "/api/audit").status_code == 401
    with calling(door.address, door.secrets["viewer"]) as viewer:
        answer = viewer.request(method, "/api/audit")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["//api/audit", "/api/audit/", "/API/AUDIT", "/api/%61udit", "/./api/audit"]
)
def test_no_other_spelling_is_a_way_around_a_role(door: Door, path: str) -> None:
    with calling(door.address, door.secrets["viewer"]) as viewer:
        answer = viewer.send(viewer.build_request("GET", door.address + path))
    assert answer.status_code in (307, 403, 404), answer.text


def test_the_page_tells_the_same_table() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| ([^|]*) \|$", page, flags=re.MULTILINE)

    assert dict(rows) == {route: words(who) for route, who in MAY.items()}
    assert len(rows) == len(MAY)


def words(who: frozenset[str]) -> str:
    """The roles as the page says them."""
    if who == OPEN:
        return "everybody, without a key"
    return "every role" if who == ANY_KEY else ", ".join(role for role in WHO if role in who)
