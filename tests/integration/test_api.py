"""The HTTP API, served for real, over a real database; the broker is a list."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import Request
from httpx import Client, Response
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database
from structlog.testing import capture_logs

from api import create_app
from models import PaymentStatus
from saga import Engine, connect
from saga.api import create_app as create_engine_app
from saga.api import health
from saga.followup import BrokerAway, Lane, Publication
from tests.integration.paid import paid
from tests.integration.reception import until
from tests.integration.served import assert_problem, calling, served
from workflows import refund

pytestmark = pytest.mark.integration

KEY = "the key of these tests"
ASKED = {"amount": "40.00", "reason": "broken"}


@dataclass
class Broker:
    """Keeps what is published; ``away`` takes nothing."""

    published: list[Publication] = field(default_factory=list)
    away: bool = False

    def publish(self, publication: Publication) -> None:
        if self.away:
            raise BrokerAway("nobody there")
        self.published.append(publication)

    def messages_of(self, saga_id: str) -> int:
        """How many it has by now; they come after the answer."""
        return sum(str(publication.saga_id) == saga_id for publication in self.published)

    def waiting(self, lane: Lane) -> int:  # noqa: ARG002
        if self.away:
            raise BrokerAway("nobody there")
        return 0


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> Iterator[Database]:
    """One for all tests here: each makes the payments that it asks about."""
    database = connect(new_database(), pool_size=20)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def shared() -> Broker:
    return Broker()


@pytest.fixture
def broker(shared: Broker) -> Broker:
    shared.published.clear()
    shared.away = False
    return shared


@pytest.fixture(scope="module")
def address(database: Database, shared: Broker) -> Iterator[str]:
    engine = Engine(database=database, sagas=[refund], publisher=shared)
    with served(create_app(engine, api_key=KEY)) as address:
        yield address


@pytest.fixture
def stranger(address: str, broker: Broker) -> Iterator[Client]:  # noqa: ARG001 - reset
    """Somebody without a key."""
    with calling(address) as client:
        yield client


@pytest.fixture
def client(address: str, broker: Broker) -> Iterator[Client]:  # noqa: ARG001 - reset
    with calling(address, KEY) as client:
        yield client


@pytest.fixture
def fresh(database_url: str) -> Iterator[tuple[Client, Database]]:
    """An API over a database that nobody else uses."""
    database = connect(database_url)
    engine = Engine(database=database, sagas=[refund], publisher=Broker())
    with served(create_app(engine, api_key=KEY)) as address, calling(address, KEY) as client:
        yield client, database
    database.dispose()


@pytest.fixture
def payment(database: Database) -> str:
    return a_payment(database)


def a_payment(database: Database, *, status: PaymentStatus = PaymentStatus.SUCCESS) -> str:
    return paid(database, status=status).id


def ask(client: Client, payment: str, asked: Any = None, key: str | None = None) -> Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/api/billing/payments/{payment}/refund"
    return client.post(path, json=ASKED if asked is None else asked, headers=headers)


def send(client: Client, payment: str, body: str | bytes) -> Response:
    headers = {"Content-Type": "application/json"}
    path = f"/api/billing/payments/{payment}/refund"
    return client.post(path, content=body, headers=headers)


def sagas_of(database: Database, payment: str) -> list[dict[str, Any]]:
    """What the sagas of a payment remember."""
    sql = text("SELECT state FROM saga_state WHERE business_key = :key")
    with database.connect() as connection:
        return list(connection.execute(sql, {"key": f"payment:{payment}"}).scalars())


def test_a_refund_is_accepted_published_and_told_with_its_payment(
    client: Client, broker: Broker, payment: str
) -> None:
    response = ask(client, payment)

    assert response.status_code == 202
    told = response.json()
    until(lambda: broker.messages_of(told["sagaId"]) == 1)
    assert told["payment"] == client.get(f"/api/payments/{payment}").json()
    assert told["payment"]["amount"] == "100.00"
    assert told["payment"]["refundedAmount"] == "0.00"
    assert told["payment"]["status"] == "success"
    assert set(told["payment"]) == {
        *("id", "paymentNo", "orderId", "userId", "method", "currency"),
        *("amount", "refundedAmount", "status"),
    }


def test_an_order_is_told(client: Client, payment: str) -> None:
    order_id = client.get(f"/api/payments/{payment}").json()["orderId"]

    assert client.get(f"/api/orders/{order_id}").json() == {
        "id": order_id,
        "userId": "user",
        "currency": "CNY",
        "amount": "100.00",
        "status": "paid",
    }


def test_a_start_is_one_transaction(client: Client, database: Database, payment: str) -> None:
    with database.connect() as connection:
        before = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        connection.commit()
        ask(client, payment)
        after = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()

    assert after - before == 2  # the start's, and our own question


def test_while_the_broker_is_away_a_refund_is_accepted_all_the_same(
    client: Client, broker: Broker, database: Database, payment: str
) -> None:
    broker.away = True

    assert ask(client, payment).status_code == 202
    assert len(sagas_of(database, payment)) == 1


def test_the_same_key_and_body_are_the_same_saga(
    client: Client, database: Database, broker: Broker, payment: str
) -> None:
    first = ask(client, payment, key=f"refund of {payment}")
    with database.begin() as connection:
        refunding = text("UPDATE payments SET status = 'refunding' WHERE id = :payment")
        connection.execute(refunding, {"payment": payment})
    again = ask(client, payment, key=f"refund of {payment}")

    assert again.status_code == 202
    assert again.json()["sagaId"] == first.json()["sagaId"]
    assert again.json()["payment"]["status"] == "refunding"
    until(lambda: broker.messages_of(first.json()["sagaId"]) == 1)
    assert len(sagas_of(database, payment)) == 1


def test_the_same_amount_written_otherwise_is_the_same_body(client: Client, payment: str) -> None:
    first = ask(
        client, payment, {"amount": "40.00", "reason": "broken"}, key=f"refund of {payment}"
    )
    again = ask(client, payment, {"amount": 40, "reason": "broken"}, key=f"refund of {payment}")

    assert again.json() == first.json()


def test_the_same_key_with_another_body_is_refused(client: Client, payment: str) -> None:
    first = ask(client, payment, key=f"refund of {payment}")
    other = ask(
        client, payment, {"amount": "40.01", "reason": "broken"}, key=f"refund of {payment}"
    )

    told = assert_problem(other, 422, "Idempotency-Key")
    assert told["sagaId"] == first.json()["sagaId"]


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_its_bounds(client: Client, payment: str, key: str) -> None:
    assert_problem(ask(client, payment, key=key), 422, "Idempotency-Key")


def test_a_second_refund_is_told_which_one_is_under_way(client: Client, payment: str) -> None:
    first = ask(client, payment)

    told = assert_problem(ask(client, payment), 409)
    assert told["sagaId"] == first.json()["sagaId"]
    assert first.json()["sagaId"] in told["detail"]


def test_of_twenty_refunds_at_once_one_is_accepted(
    client: Client, database: Database, payment: str
) -> None:
    with ThreadPoolExecutor(20) as askers:
        answers = list(askers.map(lambda _: ask(client, payment), range(20)))

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 19
    assert len({answer.json()["sagaId"] for answer in answers}) == 1
    assert len(sagas_of(database, payment)) == 1


def test_of_twenty_calls_with_one_key_all_are_the_same_saga(
    client: Client, database: Database, payment: str
) -> None:
    with ThreadPoolExecutor(20) as askers:
        answers = list(askers.map(lambda _: ask(client, payment, key=payment), range(20)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["sagaId"] for answer in answers}) == 1
    assert len(sagas_of(database, payment)) == 1


@pytest.mark.parametrize("status", [one for one in PaymentStatus if one != "success"])
def test_what_is_not_a_successful_payment_is_not_refundable(
    client: Client, database: Database, status: PaymentStatus
) -> None:
    payment = a_payment(database, status=status)

    told = assert_problem(ask(client, payment), 409)

    assert status in told["detail"]
    assert "sagaId" not in told
    assert not sagas_of(database, payment)


@pytest.mark.parametrize(
    "amount",
    [
        *('"0"', "0", "0.00", "-1", '"-0.01"', "0.001", '"1.005"', "1.000", '"40.000"'),
        *("NaN", "Infinity", "-Infinity", '"NaN"', '"inf"', '"ten"', '""', '" 1"', '"1_0"'),
        *('"\u0661"', '"1e2"', "1e9", "1000000.01", "100.01", "1e999999999", "9" * 5000, "1e-400"),
        *("true", "null", "[1]", "{}", '"1\\u0000"', '"\\ud800"'),
    ],
)
def test_an_amount_that_cannot_be_names_its_field_and_starts_nothing(
    client: Client, database: Database, payment: str, amount: str
) -> None:
    response = send(client, payment, f'{{"amount": {amount}, "reason": "broken"}}')

    assert_problem(response, 422, "amount")
    assert not sagas_of(database, payment)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "must be at least 0.01"),
        ("1000000.01", "must be at most 1000000"),
        ("null", "must be a number"),
        ("NaN", "must be a finite number"),
    ],
)
def test_what_is_wrong_with_an_amount_is_said_in_plain_words(
    client: Client, payment: str, amount: str, said: str
) -> None:
    response = send(client, payment, f'{{"amount": {amount}, "reason": "broken"}}')

    assert response.json()["errors"] == [{"field": "amount", "message": said}]


@pytest.mark.parametrize("amount", ["0.01", "100", "99.99", "1e2", '"0.1"', "40.10", "0.29"])
def test_an_amount_is_what_was_written(
    client: Client, database: Database, payment: str, amount: str
) -> None:
    response = send(client, payment, f'{{"amount": {amount}, "reason": "broken"}}')

    assert response.status_code == 202
    (state,) = sagas_of(database, payment)
    assert state["amount_minor"] == round(float(amount.strip('"')) * 100)


def test_a_number_is_never_read_as_a_binary_float(client: Client, payment: str) -> None:
    response = send(client, payment, '{"amount": 40.000000000000000001, "reason": "broken"}')

    assert_problem(response, 422, "amount")


@pytest.mark.parametrize(
    "reason", ['""', '"a\\u0000b"', '"\\ud800"', "5", "null", json.dumps("x" * 501)]
)
def test_a_reason_that_cannot_be_names_its_field(client: Client, payment: str, reason: str) -> None:
    response = send(client, payment, f'{{"amount": 1, "reason": {reason}}}')

    assert_problem(response, 422, "reason")


def test_a_reason_may_be_500_characters_of_any_script(client: Client, payment: str) -> None:
    assert ask(client, payment, {"amount": 1, "reason": "退" * 500}).status_code == 202


def test_every_field_that_is_wrong_is_named(client: Client, payment: str) -> None:
    asked = {"amount": "x", "paymentId": "another"}

    response = ask(client, payment, asked)

    assert response.status_code == 422
    fields = {error["field"] for error in response.json()["errors"]}
    assert fields == {"amount", "reason", "paymentId"}


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "5", '"text"', "null", "[" * 100_000, b"\xff\xfe{}", "{'a': 1}"]
)
def test_a_body_that_is_no_json_object_is_refused(
    client: Client, payment: str, body: str | bytes
) -> None:
    assert_problem(send(client, payment, body), 422, "body")


def test_a_body_of_another_kind_is_refused(client: Client, payment: str) -> None:
    response = client.post(f"/api/billing/payments/{payment}/refund", data=ASKED)

    assert_problem(response, 422, "body")


def test_a_body_over_the_limit_is_refused_announced_or_not(client: Client, payment: str) -> None:
    body = json.dumps({"amount": 1, "reason": "x" * 1_000_000}).encode()

    assert_problem(send(client, payment, body), 413)
    chunks = iter([body[:500_000], body[500_000:]])
    response = client.post(f"/api/billing/payments/{payment}/refund", content=chunks)
    assert_problem(response, 413)


def test_a_larger_body_is_taken_where_the_application_says_so_and_nowhere_else(
    database: Database,
) -> None:
    most = 2_000_000
    engine = Engine(database=database, sagas=[refund], publisher=Broker())
    app = create_engine_app(engine, api_key=KEY, large_bodies={"/echo": most})

    @app.post("/echo")
    @app.put("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    body = b"x" * most
    with served(app) as address, calling(address, KEY) as client:
        assert client.post("/echo", content=body).json() == most
        for refused in (
            client.post("/echo", content=body + b"x"),
            client.post("/echo", content=iter([body, b"x"])),
            client.put("/echo", content=body),
        ):
            assert_problem(refused, 413)


ODD_IDS = [
    "no-such-id",
    "%00",
    "a%00b",
    "x" * 10_000,
    "%ED%A0%80",
    "..%2F..",
    "'%20OR%201=1",
    "%20",
]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_what_does_not_exist_is_not_found(client: Client, odd: str) -> None:
    for path in ("/api/payments/{}", "/api/orders/{}", "/api/sagas/{}"):
        response = client.get(path.format(odd))
        assert response.status_code == 404, path
        assert response.headers["content-type"] == "application/problem+json"
        assert len(response.text) < 2000
    assert ask(client, odd).status_code == 404


def test_a_path_that_is_none_and_a_method_that_is_none_are_problems(client: Client) -> None:
    assert_problem(client.get("/api/nothing"), 404)
    told = client.delete("/api/sagas")
    assert_problem(told, 405)
    assert told.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", KEY],
)
@pytest.mark.parametrize(
    "path", ["/api/sagas", "/api/payments/1", "/api/nothing", "/openapi.json", "/docs"]
)
def test_without_the_key_nobody_gets_in(
    stranger: Client, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    response = stranger.get(path, headers=headers)

    assert_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert_problem(stranger.post(path, headers=headers), 401)


@pytest.mark.parametrize("key", [None, ""])
def test_an_api_without_a_key_lets_nobody_in(database: Database, key: str | None) -> None:
    engine = Engine(database=database, sagas=[refund], publisher=Broker())
    with served(create_app(engine, api_key=key)) as address, calling(address) as client:
        for given in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer None"}):
            assert_problem(client.get("/api/sagas", headers=given), 401)
        assert client.get("/healthz").status_code == 200


def test_health_is_open_to_everybody(stranger: Client, broker: Broker) -> None:
    assert stranger.get("/healthz").json() == {"status": "ok"}
    ready = stranger.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "checks": {
            "database": {"ok": True},
            "migrations": {"ok": True},
            "recovery": {"lastScan": None, "secondsAgo": None},
            "broker": {"ok": True},
        },
    }

    broker.away = True
    ready = stranger.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["broker"] == {"ok": False}


def test_readiness_tells_when_recovery_last_ran(fresh: tuple[Client, Database]) -> None:
    client, database = fresh
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO saga_pulse VALUES ('recovery', now() - interval '90 seconds')")
        )

    recovery = client.get("/readyz").json()["checks"]["recovery"]

    assert recovery["lastScan"].endswith("Z")
    assert 90 <= recovery["secondsAgo"] < 120


def test_an_old_schema_is_not_ready(fresh: tuple[Client, Database]) -> None:
    client, database = fresh
    with database.begin() as connection:
        connection.execute(text("DELETE FROM saga_schema"))

    ready = client.get("/readyz")

    assert ready.status_code == 503
    assert ready.json()["checks"]["migrations"] == {"ok": False}


def test_a_database_that_is_frozen_is_not_ready_and_holds_nobody_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)
    engine = Engine(database=database, sagas=[refund], publisher=Broker())
    thawed = threading.Event()

    def frozen(_connection: Connection) -> list[str]:
        thawed.wait(30)
        return []

    app = create_engine_app(engine, api_key=KEY, pending_migrations=frozen)
    with served(app) as address, calling(address, KEY) as client:
        try:
            for _ in range(3):
                ready = client.get("/readyz")
                assert ready.status_code == 503
                assert ready.json()["checks"]["migrations"] == {"ok": False}
        finally:
            thawed.set()
        assert client.get("/readyz").status_code == 200


def test_while_the_database_is_away_every_answer_says_so_and_when_to_come_back() -> None:
    nowhere = connect("postgresql://saga@127.0.0.1:1/saga")
    engine = Engine(database=nowhere, sagas=[refund], publisher=Broker())
    with served(create_app(engine, api_key=KEY)) as address, calling(address, KEY) as client:
        for response in (client.get("/api/sagas"), client.get("/api/orders/1"), ask(client, "1")):
            assert_problem(response, 503)
            assert int(response.headers["retry-after"]) > 0
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
    nowhere.dispose()


def test_an_error_of_ours_is_told_without_what_is_inside(fresh: tuple[Client, Database]) -> None:
    client, database = fresh
    with database.begin() as connection:
        connection.execute(text("DROP TABLE saga_event, saga_state CASCADE"))

    with capture_logs() as logged:
        response = client.get("/api/sagas")

    told = assert_problem(response, 500)
    assert [entry["event"] for entry in logged if "request_id" in entry] == ["request failed"]
    assert "saga_state" not in json.dumps(told)
    assert "Traceback" not in response.text


def test_sagas_are_listed_by_pages_and_filters(fresh: tuple[Client, Database]) -> None:
    client, database = fresh
    started = [ask(client, a_payment(database)).json()["sagaId"] for _ in range(3)]

    first = client.get("/api/sagas", params={"limit": 2, "status": "RUNNING"}).json()
    second = client.get("/api/sagas", params={"limit": 2, "cursor": first["nextCursor"]}).json()

    pages = [[item["sagaId"] for item in page["items"]] for page in (first, second)]
    assert pages == [[started[2], started[1]], [started[0]]]
    assert second["nextCursor"] is None
    assert set(first["items"][0]) == {
        *("sagaId", "sagaType", "status", "currentStep", "stepIndex", "retryCount", "maxRetries"),
        *("businessKey", "version", "errorMessage", "startedAt", "timeoutAt", "completedAt"),
    }


def test_a_list_is_narrowed_by_each_filter_of_the_query(
    fresh: tuple[Client, Database],
) -> None:
    client, database = fresh
    refused, paused, plain = (ask(client, a_payment(database)).json()["sagaId"] for _ in range(3))
    changes = {
        refused: "retry_count = 2, error_message = 'Refused: not today', "
        "created_at = created_at - interval '1 hour'",
        paused: "paused = 'saga', paused_at = now()",
    }
    for saga_id, sets in changes.items():
        with database.begin() as connection:
            sql = text(f"UPDATE saga_state SET {sets} WHERE saga_id = :saga_id")
            connection.execute(sql, {"saga_id": saga_id})

    def found(query: str) -> set[str]:
        return {item["sagaId"] for item in client.get(f"/api/sagas?{query}").json()["items"]}

    assert found("error=Refused") == {refused}
    assert found("retries=2&type=payment_refund") == {refused}
    assert found("retries=3") == set()
    assert found("paused=yes") == {paused}
    assert found("olderThan=30m") == {refused}
    assert found("olderThan=0s") == {refused, paused, plain}
    assert found("status=FAILED&status=RUNNING") == {refused, paused, plain}
    assert found("status=FAILED,COMPLETED") == set()
    assert found("q=NOT%20today") == {refused}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "LOST"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "many"),
        ("cursor", "nonsense"),
        ("since", "yesterday"),
        ("q", "a\0b"),
        ("colour", "red"),
        ("older_than", "15m"),
        ("olderThan", "-15m"),
        ("olderThan", "9" * 5_000 + "d"),
        ("retries", "0"),
        ("retries", "-1"),
        ("retries", "9" * 30),
        ("paused", "no"),
        ("error", "x" * 10_000),
        ("error", "a\0b"),
        ("status", "RUNNING,LOST"),
    ],
)
def test_a_filter_that_cannot_be_is_named(client: Client, name: str, value: str) -> None:
    assert_problem(client.get("/api/sagas", params={name: value}), 422, name)


def test_a_saga_is_shown_with_its_steps_and_its_story(client: Client, payment: str) -> None:
    saga_id = ask(client, payment).json()["sagaId"]

    told = client.get(f"/api/sagas/{saga_id}").json()

    assert set(told) == {"saga", "steps", "events", "allowedActions", "why"}
    assert told["saga"]["businessKey"] == f"payment:{payment}"
    assert [step["name"] for step in told["steps"]] == [step.name for step in refund.steps]
    assert [event["kind"] for event in told["events"]] == ["started"]
    assert told["why"].startswith("payment_refund.set_refunding_status is with the workers; ")


def test_openapi_tells_what_is_answered(client: Client) -> None:
    described = client.get("/openapi.json").json()

    start = described["paths"]["/api/billing/payments/{paymentId}/refund"]["post"]
    usual = {"401", "403", "500", "503"}
    assert set(start["responses"]) == {"202", "404", "409", "413", "422", *usual}
    for status in set(start["responses"]) - {"202"}:
        content = start["responses"][status]["content"]
        assert list(content) == ["application/problem+json"]
    assert "Problem" in described["components"]["schemas"]
    assert "HTTPValidationError" not in described["components"]["schemas"]
    assert start["security"] == [{"HTTPBearer": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]


def test_openapi_tells_which_request_starts_each_saga(client: Client) -> None:
    described = client.get("/openapi.json").json()

    starts = {
        said["x-saga-type"]: f"{method} {path}"
        for path, methods in described["paths"].items()
        for method, said in methods.items()
        if "x-saga-type" in said
    }
    assert starts == {
        "payment_refund": "post /api/billing/payments/{paymentId}/refund",
        "app_upload": "post /api/apps",
        "device_creation": "post /api/devices",
        "device_deletion": "delete /api/devices/{id}",
    }


def test_sagas_are_counted_by_type_and_status(client: Client, payment: str) -> None:
    before = client.get("/api/sagas/counts").json()["counts"].get("payment_refund", {})
    ask(client, payment)

    told = client.get("/api/sagas/counts").json()

    running = told["counts"]["payment_refund"]["RUNNING"]
    assert running == before.get("RUNNING", 0) + 1
    assert told["since"].endswith("Z")
