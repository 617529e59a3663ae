"""Keys let in whom they are for, and nobody once they are revoked or have expired."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter
from httpx import Client
from sqlalchemy import Engine as Database
from sqlalchemy import text

from api import create_app
from saga import Engine, connect
from saga.access import Role, keys
from saga.access.audit import list_audit
from saga.access.refusals import MOST_A_MINUTE, Refusals
from saga.api import create_app as create_engine_app
from saga.errors import AlreadySo
from tests.integration.paid import paid
from tests.integration.served import assert_problem, calling, served
from tests.integration.test_api import Broker
from workflows import refund

pytestmark = pytest.mark.integration

OF_ENVIRONMENT = "the key of the environment"


@pytest.fixture(scope="module")
def keyed(new_database: Callable[[], str]) -> Iterator[Database]:
    database = connect(new_database(), pool_size=12)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def address(keyed: Database) -> Iterator[str]:
    engine = Engine(database=keyed, sagas=[refund], publisher=Broker())
    with served(create_app(engine, api_key=OF_ENVIRONMENT)) as address:
        yield address


@pytest.fixture
def database(keyed: Database) -> Database:
    with keyed.begin() as connection:
        connection.execute(text("TRUNCATE saga_key, saga_audit"))
    return keyed


def make(database: Database, role: Role, **asked: Any) -> keys.NewKey:
    with database.begin() as connection:
        return keys.create(connection, name=f"a {role}", role=role, by="Ann", **asked)


def entries(database: Database) -> list[dict[str, Any]]:
    with database.connect() as connection:
        items: list[dict[str, Any]] = list_audit(connection)["items"]
    return items


def call(address: str, secret: str) -> Client:
    return calling(address, secret)


def test_a_key_is_told_once_and_kept_as_a_digest(database: Database) -> None:
    key = make(database, Role.VIEWER)

    with database.connect() as connection:
        kept = connection.execute(text("SELECT saga_key::text FROM saga_key")).scalar_one()
        found = keys.find(connection, key.secret)
    assert key.secret not in kept
    assert found is not None
    assert found.principal.name == "a viewer"
    assert key.secret not in repr(entries(database))


def test_a_key_lets_in_and_signs_what_is_done_with_it(database: Database, address: str) -> None:
    payment = paid(database).id
    key = make(database, Role.PRODUCER)
    with call(address, key.secret) as client:
        asked = {"amount": "1.00", "reason": "broken"}
        started = client.post(f"/api/billing/payments/{payment}/refund", json=asked)
        saga_id = started.json()["sagaId"]
        seen = client.get(f"/api/sagas/{saga_id}").json()

    assert started.status_code == 202
    assert [(event["kind"], event["actor"]) for event in seen["events"]] == [
        ("started", "a producer")
    ]


def test_who_may_not_is_told_who_may(database: Database, address: str) -> None:
    key = make(database, Role.VIEWER)
    with call(address, key.secret) as client:
        refused = client.post("/api/devices", content=b"not even JSON")

    told = assert_problem(refused, 403)
    assert "one of role producer or admin" in told["detail"]
    [entry] = [entry for entry in entries(database) if entry["outcome"] == "refused"]
    assert (entry["actor"], entry["role"]) == ("a viewer", "viewer")
    assert entry["action"] == "POST /api/devices"
    assert entry["why"].startswith("403: a key of role viewer may not do this")


def test_a_revoked_key_lets_nobody_in_from_then_on(database: Database, address: str) -> None:
    key = make(database, Role.VIEWER)
    with call(address, key.secret) as client:
        before = client.get("/api/sagas")
        with database.begin() as connection:
            keys.revoke(connection, key.key_id, by="Ann")
        after = client.get("/api/sagas")

    assert before.status_code == 200
    assert "revoked" in assert_problem(after, 401)["detail"]


def test_an_expired_key_lets_nobody_in(database: Database, address: str) -> None:
    key = make(database, Role.VIEWER, expires_in=timedelta(days=1))
    with call(address, key.secret) as client:
        before = client.get("/api/sagas")
        with database.begin() as connection:
            connection.execute(text("UPDATE saga_key SET expires_at = clock_timestamp()"))
        after = client.get("/api/sagas")

    assert before.status_code == 200
    assert "expired" in assert_problem(after, 401)["detail"]


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer saga_guessed")],
        [("Authorization", f"Bearer {OF_ENVIRONMENT}"), ("Authorization", "Bearer another")],
        [("Authorization", "Bearer " + "x" * 5_000)],
        [("Authorization", b"Bearer \xff\xfe")],
    ],
    ids=["none", "empty", "basic", "guessed", "two", "long", "bytes"],
)
def test_without_a_good_key_nobody_is_let_in(
    database: Database, address: str, sent: list[tuple[str, Any]]
) -> None:
    with calling(address) as client:
        refused = client.get("/api/sagas", headers=sent)

    told = assert_problem(refused, 401)
    assert refused.headers["www-authenticate"].startswith("Bearer")
    [entry] = entries(database)
    assert (entry["actor"], entry["role"], entry["outcome"]) == (None, None, "refused")
    assert "guessed" not in told["detail"] + entry["why"]


def test_revoking_twice_says_so(database: Database) -> None:
    key = make(database, Role.ADMIN)
    with database.begin() as connection:
        keys.revoke(connection, key.key_id, by="Ann")

    with pytest.raises(AlreadySo, match="revoked by Ann already"), database.begin() as connection:
        keys.revoke(connection, key.key_id, by="Bob")
    with pytest.raises(keys.KeyNotFound), database.begin() as connection:
        keys.revoke(connection, "key_none", by="Bob")


@pytest.mark.parametrize("name", ["", " a", "a\nb", "a\0b", "x" * 101])
def test_a_name_that_cannot_sign_is_refused(database: Database, name: str) -> None:
    with pytest.raises(keys.BadKeyAsked), database.begin() as connection:
        keys.create(connection, name=name, role=Role.VIEWER, by="Ann")


def test_what_operators_do_and_are_refused_is_in_the_audit(
    database: Database, address: str
) -> None:
    payment = paid(database).id
    key = make(database, Role.OPERATOR)
    with call(address, OF_ENVIRONMENT) as admin, call(address, key.secret) as operator:
        asked = {"amount": "1.00", "reason": "broken"}
        saga_id = admin.post(f"/api/billing/payments/{payment}/refund", json=asked).json()["sagaId"]
        said = {"reason": "the provider is down", "version": 1}
        paused = operator.post(f"/api/sagas/{saga_id}/pause", json=said)
        again = operator.post(f"/api/sagas/{saga_id}/pause", json=said)
        page = admin.get("/api/audit", params={"limit": 2}).json()
        rest = admin.get("/api/audit", params={"cursor": page["nextCursor"]}).json()

    assert (paused.status_code, again.status_code) == (202, 409)
    assert [(entry["action"], entry["outcome"], entry["sagaId"]) for entry in page["items"]] == [
        ("pause", "refused", saga_id),
        ("pause", "done", saga_id),
    ]
    assert {entry["actor"] for entry in page["items"]} == {"a operator"}
    assert page["items"][1]["why"] == "the provider is down"
    assert [entry["action"] for entry in rest["items"]] == ["keys.create"]
    assert rest["nextCursor"] is None


def test_only_an_admin_reads_the_audit(database: Database, address: str) -> None:
    key = make(database, Role.OPERATOR)
    with call(address, key.secret) as client:
        assert_problem(client.get("/api/audit"), 403)


@pytest.mark.parametrize("cursor", ["x", "LTE", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA", "é", "a" * 500])
def test_a_page_of_the_audit_that_cannot_be_is_refused(
    database: Database, address: str, cursor: str
) -> None:
    assert entries(database) == []
    with call(address, OF_ENVIRONMENT) as client:
        assert_problem(client.get("/api/audit", params={"cursor": cursor}), 422, "cursor")


def test_whoever_is_refused_all_the_time_does_not_fill_the_audit(database: Database) -> None:
    now = 0.0
    refusals = Refusals(database, clock=lambda: now)

    def refuse() -> None:
        refusals.record(
            action="GET /api/sagas",
            path="/api/sagas",
            status=401,
            why="no key",
            principal=None,
            saga_id=None,
        )

    for _ in range(MOST_A_MINUTE + 7):
        refuse()
    now += 60
    refuse()

    with database.connect() as connection:
        newest, *others = list_audit(connection, limit=500)["items"]
    assert len(others) == MOST_A_MINUTE
    assert newest["why"] == "401: no key (7 more refusals before this one are not written down)"


def test_the_key_of_the_environment_needs_no_database() -> None:
    nowhere = connect("postgresql://127.0.0.1:1/none")
    engine = Engine(database=nowhere, sagas=[refund], publisher=Broker())
    with served(create_app(engine, api_key=OF_ENVIRONMENT)) as address:
        with call(address, OF_ENVIRONMENT) as known:
            described = known.get("/openapi.json")
        with call(address, "saga_of_the_database") as unknown:
            away = unknown.get("/openapi.json")

    assert described.status_code == 200
    assert assert_problem(away, 503)["detail"].endswith("try again")
    assert away.headers["retry-after"] == "2"


def test_a_route_that_does_not_say_what_it_needs_is_not_served(database: Database) -> None:
    engine = Engine(database=database, sagas=[refund], publisher=Broker())
    routes = APIRouter()

    @routes.get("/api/everything")
    def everything() -> None:
        """What nobody may see."""

    with pytest.raises(ValueError, match="say what these need"):
        create_engine_app(engine, api_key=None, routers=[routes])
