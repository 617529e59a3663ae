"""What operators do over HTTP, served for real, on a saga that is worked by hand."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from httpx import Client, Response

from saga import Refused, Wait
from saga.api import create_app
from tests.integration.served import assert_problem, calling, served
from tests.integration.shop import Shop
from tests.integration.test_pauses import MINUTE

pytestmark = pytest.mark.integration

KEY = "the key of these tests"


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    with served(create_app(shop.engine, api_key=KEY)) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with calling(address, KEY) as client:
        yield client


def failed(shop: Shop, **options: Any) -> UUID:
    """A saga that is FAILED past its pivot."""
    shop.script.say("book", *[ValueError("no ink")] * 4)
    saga_id = shop.start(**options)
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    return saga_id


def waiting(shop: Shop) -> UUID:
    shop.script.say("book", Wait(signal="paid", timeout=MINUTE))
    saga_id = shop.start()
    shop.work_off()
    return saga_id


def version(shop: Shop, saga_id: UUID) -> int:
    return int(shop.row(saga_id)["version"])


def act(client: Client, shop: Shop, saga_id: UUID, what: str, **more: Any) -> Response:
    body = {"reason": "looked into it", "version": version(shop, saga_id), **more}
    return client.post(f"/api/sagas/{saga_id}/{what}", json=body)


def test_a_saga_tells_what_is_allowed(client: Client, shop: Shop) -> None:
    other = failed(shop)
    saga_id = shop.start()

    running = client.get(f"/api/sagas/{saga_id}").json()
    parked = client.get(f"/api/sagas/{other}").json()

    assert running["allowedActions"] == ["retry", "cancel", "pause"]
    assert parked["allowedActions"] == ["retry", "compensate", "resolve"]


def test_a_retried_saga_is_told_as_it_is_and_goes_on(client: Client, shop: Shop) -> None:
    saga_id = failed(shop)

    told = act(client, shop, saga_id, "retry")

    assert told.status_code == 202, told.text
    assert told.json() == client.get("/api/sagas").json()["items"][0]
    assert (told.json()["status"], told.json()["version"]) == ("RUNNING", version(shop, saga_id))
    [event] = [one for one in shop.events(saga_id) if one["kind"] == "retried"]
    assert (event["actor"], event["detail"]["because"]) == ("api", "looked into it")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_each_action_has_its_route(client: Client, shop: Shop) -> None:
    saga_id = shop.start()
    shop.deliver()
    for what, status in [
        ("pause", "RUNNING"),
        ("resume", "RUNNING"),
        ("cancel", "COMPENSATING"),
    ]:
        told = act(client, shop, saga_id, what)
        assert (told.status_code, told.json()["status"]) == (202, status), what

    other = failed(shop)
    told = act(client, shop, other, "compensate")
    assert told.json()["status"] == "FAILED", "book has no compensation: a person must"
    step = told.json()["currentStep"]
    found = {"step": step, "outcome": "not_done", "evidence": "asked the bank"}
    told = act(client, shop, other, "resolve", **found)
    assert (told.status_code, told.json()["status"]) == (202, "COMPENSATING"), told.text
    whole = act(client, shop, failed(shop), "resolve", outcome="done", evidence="all is there")
    assert (whole.status_code, whole.json()["status"]) == (202, "COMPLETED")


def test_what_is_not_allowed_says_what_is(client: Client, shop: Shop) -> None:
    saga_id = failed(shop)

    told = assert_problem(act(client, shop, saga_id, "cancel"), 409)
    assert (told["sagaId"], told["allowed"]) == (str(saga_id), ["retry", "compensate", "resolve"])

    told = assert_problem(act(client, shop, saga_id, "retry", version=1), 409, "version")
    assert (told["sagaId"], told["allowed"]) == (str(saga_id), ["retry", "compensate", "resolve"])
    assert shop.status(saga_id) == "FAILED"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"reason": None}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 10_000}, "reason"),
        ({"reason": "a\0b"}, "reason"),
        ({"version": None}, "version"),
        ({"version": "3"}, "version"),
        ({"version": 2.5}, "version"),
        ({"version": 0}, "version"),
        ({"colour": "red"}, "colour"),
        ({"outcome": "maybe"}, "outcome"),
        ({"evidence": "a\0b"}, "evidence"),
        ({"evidence": "x" * 10_000}, "evidence"),
        ({"step": "shop.nothing"}, "step"),
        ({"step": "a\0b"}, "step"),
        ({"state": {"item": "tea"}}, "state"),
        ({"step": "shop.book", "outcome": "done", "state": {"item": 5}}, "state.item"),
        ({"step": "shop.book", "outcome": "done", "state": {"item": "a\0b"}}, "state"),
    ],
)
def test_a_field_that_cannot_be_is_named_and_nothing_is_done(
    client: Client, shop: Shop, change: dict[str, Any], field: str
) -> None:
    saga_id = failed(shop)
    before = shop.row(saga_id)
    body = {"reason": "so", "version": before["version"], "outcome": "not_done", "evidence": "so"}

    response = client.post(f"/api/sagas/{saga_id}/resolve", json=body | change)

    assert_problem(response, 422, field)
    assert shop.row(saga_id) == before


def test_nothing_may_be_left_out(client: Client, shop: Shop) -> None:
    response = client.post(f"/api/sagas/{shop.start()}/pause", json={})

    assert_problem(response, 422, "reason", "version")


@pytest.mark.parametrize("odd", [str(UUID(int=7)), "no-such-id", "%00", "x" * 5_000, "%20"])
def test_what_does_not_exist_is_not_found(client: Client, odd: str) -> None:
    asked = {"reason": "so", "version": 1}
    told = {"signalId": "1"}
    for what in ("retry", "compensate", "cancel", "pause", "resume"):
        assert_problem(client.post(f"/api/sagas/{odd}/{what}", json=asked), 404, "sagaId")
    found = asked | {"outcome": "done", "evidence": "so"}
    assert_problem(client.post(f"/api/sagas/{odd}/resolve", json=found), 404)
    assert_problem(client.get(f"/api/sagas/{odd}/compensate/preview"), 404)
    assert_problem(client.post(f"/api/sagas/{odd}/signals/paid", json=told), 404)


def test_a_preview_does_nothing(client: Client, shop: Shop) -> None:
    saga_id = failed(shop)
    before = shop.row(saga_id)

    told = client.get(f"/api/sagas/{saga_id}/compensate/preview").json()

    assert [(run["step"], run["compensation"], run["by"]) for run in told["runs"]] == [
        ("shop.pay", None, "person"),
        ("shop.ship", "shop.recall", "worker"),
        ("shop.reserve", "shop.release", "worker"),
    ]
    assert (told["action"], told["allowed"], told["whyNot"]) == ("compensate", True, None)
    assert told["ends"] == "FAILED"
    assert told["effects"][2] == {"step": "shop.pay", "role": "pivot", "effect": "done"}
    assert shop.row(saga_id) == before


def test_of_what_is_at_rest_the_preview_says_why_not(client: Client, shop: Shop) -> None:
    shop.script.say("reserve", Refused("sold out"))
    saga_id = shop.start()
    shop.work_off()

    told = client.get(f"/api/sagas/{saga_id}/compensate/preview").json()

    assert (told["allowed"], told["whyNot"]) == (False, "only a FAILED saga can be")
    assert (told["runs"], told["ends"], told["then"]) == ([], None, None)


def test_a_signal_is_taken_once(client: Client, shop: Shop) -> None:
    saga_id = waiting(shop)
    url = f"/api/sagas/{saga_id}/signals/paid"
    body = {"signalId": "callback 1", "payload": {"by": "Ann"}}

    first, second = client.post(url, json=body), client.post(url, json=body)

    assert first.status_code == 202, first.text
    assert first.json() == {"sagaId": str(saga_id), "signalId": "callback 1", "new": True}
    assert second.json()["new"] is False
    assert_problem(client.post(url, json=body | {"payload": {"by": "Bob"}}), 422, "signalId")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert_problem(client.post(url, json=body | {"signalId": "callback 2"}), 409)


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("gone", {}, "name"),
        ("x" * 5_000, {}, "name"),
        ("paid", {"payload": {}}, "payload.by"),
        ("paid", {"payload": {"by": 5}}, "payload.by"),
        ("paid", {"payload": {"by": "a\0b"}}, "payload"),
        ("paid", {"payload": [1]}, "payload"),
        ("paid", {"signalId": ""}, "signalId"),
        ("paid", {"signalId": "a\0b"}, "signalId"),
        ("paid", {"signalId": "x" * 10_000}, "signalId"),
        ("paid", {"signalId": None}, "signalId"),
    ],
)
def test_a_signal_that_cannot_be_is_refused(
    client: Client, shop: Shop, name: str, change: dict[str, Any], field: str
) -> None:
    saga_id = waiting(shop)
    body = {"signalId": "1", "payload": {"by": "Ann"}} | change

    assert_problem(client.post(f"/api/sagas/{saga_id}/signals/{name}", json=body), 422, field)


def test_types_and_steps_are_paused_and_resumed(client: Client) -> None:
    asked = {"sagaType": "shop", "step": "shop.pay", "reason": "the bank is down"}

    paused = client.post("/api/pauses", json=asked)
    assert paused.status_code == 202, paused.text
    assert paused.json() == {"sagaType": "shop", "step": "shop.pay", "paused": True}
    assert_problem(client.post("/api/pauses", json=asked), 409)
    [item] = client.get("/api/pauses").json()["items"]
    assert item.pop("at").endswith("Z")
    assert item == asked | {"actor": "api"}

    resumed = client.request("DELETE", "/api/pauses", json=asked)
    assert resumed.json() == {"sagaType": "shop", "step": "shop.pay", "paused": False}
    assert_problem(client.request("DELETE", "/api/pauses", json=asked), 409)
    assert client.get("/api/pauses").json() == {"items": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sagaType": "market", "reason": "so"}, "sagaType"),
        ({"sagaType": "shop", "step": "shop.nothing", "reason": "so"}, "step"),
        ({"sagaType": "shop"}, "reason"),
        ({"sagaType": "shop", "reason": "a\0b"}, "reason"),
        ({"sagaType": "shop", "reason": "so", "stepp": "shop.pay"}, "stepp"),
    ],
)
def test_a_pause_that_cannot_be_is_refused(client: Client, body: Any, field: str) -> None:
    assert_problem(client.post("/api/pauses", json=body), 422, field)
    assert_problem(client.request("DELETE", "/api/pauses", json=body), 422, field)
    assert client.get("/api/pauses").json() == {"items": []}


def test_plain_curl_can_resume(client: Client, address: str) -> None:
    body = json.dumps({"sagaType": "shop", "reason": "so"})
    assert client.post("/api/pauses", json=json.loads(body)).status_code == 202

    asked = ["curl", "-sS", "-X", "DELETE", "-d", body, f"{address}/api/pauses"]
    done = subprocess.run(
        [*asked, "-H", f"Authorization: Bearer {KEY}"], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == {"sagaType": "shop", "step": None, "paused": False}


def test_openapi_tells_what_operators_may_send(client: Client) -> None:
    described = client.get("/openapi.json").json()

    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if operation.get("tags") == ["operators"] and method != "get":
                assert "requestBody" in operation, path
                assert {"202", "409", "422"} <= set(operation["responses"]), path
    names = [one["operationId"] for ways in described["paths"].values() for one in ways.values()]
    assert len(names) == len(set(names))
