"""Devices over HTTP: asked for, looked at, deleted; and what is left of a quota."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Client
from sqlalchemy import Engine as Database

from api import create_app
from saga import Engine, connect
from settings import settings
from tests.integration.dock import Dock
from tests.integration.fleet import Fleet
from tests.integration.served import assert_problem, calling, served
from workflows import creation, deletion

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

KEY = "a key for tests"
ASKED: dict[str, Any] = {"userId": "user", "name": "My first"}


@pytest.fixture(scope="module")
def opened(fleet_database: Database) -> Iterator[tuple[Fleet, Client]]:
    """One server for all tests here; each finds its database and its dock empty."""
    fleet = Fleet(fleet_database, Dock(settings.device_image))
    app = create_app(fleet.engine, api_key=KEY)
    with served(app) as address, calling(address, KEY) as client:
        yield fleet, client


@pytest.fixture
def fleet(opened: tuple[Fleet, Client], dock: Dock) -> Fleet:
    fleet, _ = opened
    fleet.begin_anew(dock)
    fleet.user()
    return fleet


@pytest.fixture
def client(opened: tuple[Fleet, Client], fleet: Fleet) -> Client:  # noqa: ARG001 - empties it all
    return opened[1]


def create(client: Client, **others: Any) -> UUID:
    answer = client.post("/api/devices", json={**ASKED, **others})
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["sagaId"])


def test_a_device_is_creating_then_idle_and_gone_once_it_is_deleted(
    client: Client, fleet: Fleet
) -> None:
    answer = client.post("/api/devices", json={**ASKED, "cpu": 4, "memoryMb": 512, "dpi": 320})

    assert answer.status_code == 202
    told = answer.json()
    assert told["device"] == {
        "id": told["sagaId"],
        "userId": "user",
        "name": "My first",
        "status": "creating",
        "cpu": 4,
        "memoryMb": 512,
        "storageMb": 10_240,
        "width": 1920,
        "height": 1080,
        "dpi": 320,
        "androidVersion": 11,
        "adbAddress": None,
        "adbPort": None,
        "heartbeatAt": None,
    }
    place = f"/api/devices/{told['sagaId']}"
    assert client.get(place).json() == told["device"], "before it has a record"
    assert fleet.ends(UUID(told["sagaId"])) == "COMPLETED"
    device = client.get(place).json()
    assert (device["status"], device["adbAddress"]) == ("idle", "127.0.0.1")
    assert device["adbPort"] == fleet.port(UUID(told["sagaId"]))
    assert device["heartbeatAt"] is not None

    deleted = client.delete(place)

    assert deleted.status_code == 202
    assert deleted.json()["device"] == device
    again = client.delete(place)
    assert (again.status_code, again.json()) == (202, deleted.json()), "the same"
    assert fleet.ends(UUID(deleted.json()["sagaId"])) == "COMPLETED"
    assert_problem(client.get(place), 404, "id")
    assert_problem(client.delete(place), 404, "id")


def test_deletions_that_race_are_one(client: Client, fleet: Fleet) -> None:
    device_id = fleet.created()

    with ThreadPoolExecutor(8) as racers:
        answers = list(racers.map(lambda _: client.delete(f"/api/devices/{device_id}"), range(8)))

    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["sagaId"] for answer in answers}) == 1


def test_a_device_that_is_being_created_cannot_be_deleted(client: Client, fleet: Fleet) -> None:
    device_id = create(client)

    told = assert_problem(client.delete(f"/api/devices/{device_id}"), 409)

    assert told["sagaId"] == str(device_id)
    assert fleet.ends(device_id) == "COMPLETED"


def test_a_deletion_that_waits_for_a_person_is_in_the_way(
    client: Client, fleet: Fleet, dock: Dock
) -> None:
    device_id = fleet.created()
    dock.is_away = True
    deletion = fleet.delete(device_id)
    assert fleet.ends(deletion) == "FAILED"

    told = assert_problem(client.delete(f"/api/devices/{device_id}"), 409)

    assert told["sagaId"] == str(deletion)


def test_of_a_saga_that_went_back_there_is_no_device(
    client: Client, fleet: Fleet, dock: Dock
) -> None:
    dock.images.clear()
    key = {"Idempotency-Key": "one"}
    first = client.post("/api/devices", json=ASKED, headers=key)
    device_id = UUID(first.json()["sagaId"])
    assert fleet.ends(device_id) == "COMPENSATED"

    assert_problem(client.get(f"/api/devices/{device_id}"), 404, "id")
    again = client.post("/api/devices", json=ASKED, headers=key)
    assert again.json() == {"sagaId": str(device_id), "device": None}


def test_the_same_key_is_the_same_device_and_another_body_is_refused(client: Client) -> None:
    key = {"Idempotency-Key": "one"}

    first, second = (client.post("/api/devices", json=ASKED, headers=key) for _ in range(2))

    assert first.json() == second.json()
    other = client.post("/api/devices", json={**ASKED, "cpu": 3}, headers=key)
    assert_problem(other, 422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"devices": 0}, "0 of 0 devices"),
        ({"status": "suspended"}, "suspended"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
        ({"device_cpu": 1}, "1 cores, not 2"),
        ({"total_memory_mb": 4095}, "4095 of 4095 MB of memory are left"),
    ],
)
def test_what_the_quota_does_not_allow_is_refused_at_once(
    client: Client, fleet: Fleet, limits: dict[str, Any], why: str
) -> None:
    fleet.user("other", **limits)

    answer = client.post("/api/devices", json={**ASKED, "userId": "other"})

    assert why in assert_problem(answer, 409, "userId")["detail"]
    assert fleet.ask("SELECT 1 FROM saga_state") == []


WRONG: dict[str, list[Any]] = {
    "cpu": [0, 17, "4", 2.5, True, None, [2], 10**30],
    "memoryMb": [511, 32_769],
    "storageMb": [1023, 1_048_577],
    "width": [239, 4097],
    "height": [239, 4097],
    "dpi": [119, 641],
    "androidVersion": [10, 14, "11"],
    "name": ["", " \t", "x" * 101, "x" * 10_000, "a\nb", "a\0b", 7, None, ["a"]],
    "userId": ["", "nobody", "a\0b", {}],
    "ram": [4096],
}


@pytest.mark.parametrize(
    ("field", "wrong"), [(field, wrong) for field in WRONG for wrong in WRONG[field]]
)
def test_what_can_never_be_is_told_by_its_field(client: Client, field: str, wrong: Any) -> None:
    answer = client.post("/api/devices", json={**ASKED, field: wrong})

    assert_problem(answer, 422, field)


@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "7", "null", '{"userId": "user"', "[" * 50_000),
        *(r'{"userId": "user", "name": "\ud800"}', r'{"userId": "\ud800", "name": "a"}'),
        *(f'{{"userId": "user", "name": "a", "cpu": {odd}}}' for odd in ("NaN", "1e400", "-0.0")),
    ],
    ids=lambda body: body[:20],
)
def test_a_body_that_is_no_device_is_told(client: Client, body: str) -> None:
    headers = {"Content-Type": "application/json"}

    assert_problem(client.post("/api/devices", content=body, headers=headers), 422)


def test_a_body_without_end_is_not_read(client: Client) -> None:
    body = json.dumps({**ASKED, "name": "x" * 2_000_000})

    answer = client.post("/api/devices", content=body, headers={"Content-Type": "application/json"})

    assert_problem(answer, 413)


@pytest.mark.parametrize("odd", ["nothing", str(UUID(int=7)), "x" * 10_000, "%00", "{x}", "a%20b"])
def test_an_id_that_no_device_has_is_told(client: Client, odd: str) -> None:
    for ask in (client.get, client.delete):
        assert_problem(ask(f"/api/devices/{odd}"), 404)


@pytest.mark.parametrize("spell", [str.upper, "{{{}}}".format, "urn:uuid:{}".format])
def test_a_device_is_one_however_its_id_is_spelled(
    client: Client, fleet: Fleet, spell: Callable[[str], str]
) -> None:
    device_id = fleet.created()
    place = f"/api/devices/{spell(str(device_id))}"

    assert client.get(place).json()["id"] == str(device_id)
    first, again = client.delete(place), client.delete(f"/api/devices/{device_id}")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()


def test_while_the_broker_is_away_devices_are_accepted_and_come_later(
    client: Client, fleet: Fleet
) -> None:
    fleet.broker.is_away = True
    device_id = create(client)

    fleet.broker.is_away = False
    assert fleet.ends(device_id) == "COMPLETED"


def test_while_the_database_is_away_nothing_is_accepted_nor_its_place_told(fleet: Fleet) -> None:
    away = connect("postgresql://postgres:s3cret@127.0.0.1:1/none")
    engine = Engine(database=away, sagas=[creation, deletion], publisher=fleet.broker)
    with served(create_app(engine, api_key=KEY)) as address, calling(address, KEY) as client:
        answers = [
            client.post("/api/devices", json=ASKED),
            *(ask(f"/api/devices/{uuid4()}") for ask in (client.get, client.delete)),
            client.get("/api/users/user/quota"),
        ]
    for answer in answers:
        assert_problem(answer, 503)
        assert answer.headers["retry-after"]
        assert not any(secret in answer.text for secret in ("s3cret", "postgres", "127.0.0.1"))


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_its_bounds(client: Client, fleet: Fleet, key: str) -> None:
    device, headers = fleet.created(), {"Idempotency-Key": key}

    for answer in (
        client.post("/api/devices", json=ASKED, headers=headers),
        client.delete(f"/api/devices/{device}", headers=headers),
    ):
        assert_problem(answer, 422, "Idempotency-Key")
    assert fleet.wrong(device) == []


def test_the_same_key_is_the_same_deletion_also_when_the_device_is_gone(
    client: Client, fleet: Fleet
) -> None:
    one, other = (f"/api/devices/{fleet.created()}" for _ in range(2))
    key = {"Idempotency-Key": "one"}
    first = client.delete(one, headers=key).json()
    assert fleet.ends(UUID(first["sagaId"])) == "COMPLETED"

    again = client.delete(one, headers=key)

    assert (again.status_code, again.json()) == (202, first | {"device": None})
    assert_problem(client.delete(other, headers=key), 422, "Idempotency-Key")
    assert client.get(other).json()["status"] == "idle"


def test_a_quota_tells_what_is_taken_of_it(client: Client, fleet: Fleet) -> None:
    fleet.created(cpu=4)
    create(client, cpu=1)
    fleet.deliver()

    told = client.get("/api/users/user/quota").json()

    assert (told["userId"], told["status"], told["devices"]) == ("user", "active", 10)
    assert told["taken"] == {
        "devices": 2,
        "reserved": 1,
        "cpu": 5,
        "memoryMb": 8192,
        "storageMb": 20_480,
    }
    for nobody in ("nobody", "%00", "x" * 10_000):
        assert_problem(client.get(f"/api/users/{nobody}/quota"), 404, "userId")


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        *(("POST", "/api/devices"), ("GET", "/api/devices/x")),
        *(("DELETE", "/api/devices/x"), ("GET", "/api/users/x/quota")),
    ],
)
def test_nobody_without_a_key_is_answered(client: Client, verb: str, path: str) -> None:
    answer = client.request(verb, path, json=ASKED, headers={"Authorization": "Bearer wrong"})

    assert_problem(answer, 401)
