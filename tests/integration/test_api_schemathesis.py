"""OpenAPI tells the truth: Schemathesis sends what it allows, and more, to every route."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from api import create_app
from gateways.objects.folder import FolderStore
from gateways.staging import Staging
from models import DeviceQuota
from saga import Engine, connect
from tests.integration.paid import paid
from tests.integration.served import calling, served
from tests.integration.test_api import Broker
from workflows import creation, deletion, refund, upload

pytestmark = pytest.mark.integration

KEY = "the key of these tests"
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def made(database: Database) -> FastAPI:
    engine = Engine(
        database=database, sagas=[refund, upload, creation, deletion], publisher=Broker()
    )
    return create_app(engine, api_key=KEY)


# Described without a database; streams have no end and are left to their own tests.
described = made(connect("postgresql://127.0.0.1:1/none")).openapi()
schema = schemathesis.openapi.from_dict(described).exclude(path_regex="stream$")
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """An API at ``address``, and ids that lead somewhere, by the path's parameter."""

    address: str
    ids: Mapping[str, list[str]]


@pytest.fixture(scope="module")
def seeded(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeded]:
    database = connect(new_database(), pool_size=12)
    folder = tmp_path_factory.mktemp("files")
    (folder / "objects").mkdir()
    staging = Staging(folder / "staging", largest=1024 * 1024)
    store = FolderStore(folder / "objects")
    patch = pytest.MonkeyPatch()
    patch.setattr("api.apps.staging", lambda: staging)
    patch.setattr("api.apps.object_store", lambda: store)
    with Session(database) as session, session.begin():
        names = ("cpu", "memory_mb", "storage_mb")
        most = {f"{whose}_{name}": 10**8 for whose in ("device", "total") for name in names}
        session.add(DeviceQuota(user_id="u", devices=100, **most))
    with served(made(database)) as address, calling(address, KEY) as client:
        payments = [paid(database).id for _ in range(8)]
        sagas = []
        for payment in payments[:4]:
            body = {"amount": "1.00", "reason": "broken"}
            answer = client.post(f"/api/billing/payments/{payment}/refund", json=body)
            sagas.append(answer.json()["sagaId"])
        said = {"version": 1, "reason": "a look at it first"}
        assert client.post(f"/api/sagas/{sagas[0]}/pause", json=said).status_code == 202
        assert client.post(f"/api/sagas/{sagas[1]}/cancel", json=said).status_code == 202
        device = client.post("/api/devices", json={"userId": "u", "name": "d"}).json()["sagaId"]
        sagas.append(device)
        order = client.get(f"/api/payments/{payments[0]}").json()["orderId"]
        ids = {
            "paymentId": payments,
            "sagaId": sagas,
            "userId": ["u"],
            "id": [*payments, order, device],
        }
        yield Seeded(address=address, ids=ids)
    patch.undo()
    database.dispose()


def somewhere(parameters: Mapping[str, Any] | None, ids: Mapping[str, list[str]]) -> dict[str, Any]:
    """The path's parameters, of which most now lead somewhere."""
    led = dict(parameters or {})
    for name, value in led.items():
        number = crc32(str(value).encode(errors="replace"))
        if name in ids and number % 4:
            led[name] = ids[name][number % len(ids[name])]
    return led


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_route_answers_as_openapi_says(case: Case[Any], seeded: Seeded) -> None:
    case.path_parameters = somewhere(case.path_parameters, seeded.ids)
    case.call_and_validate(
        base_url=seeded.address, headers={"Authorization": f"Bearer {KEY}"}, checks=CHECKS
    )
