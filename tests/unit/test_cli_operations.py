"""Which request starts a saga, by what the API's OpenAPI document says."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from api import create_app
from app import saga_app
from saga import Engine
from saga.cli.errors import UsageError
from saga.cli.inputs import json_object
from saga.cli.operations import Operation, operations
from saga.cli.wire import written
from tests.unit.test_docs import NoBroker

pytestmark = pytest.mark.unit


def asked(saga_type: str, **given: Any) -> Any:
    database = create_engine("postgresql+psycopg2://")
    engine = Engine(database=database, sagas=[], publisher=NoBroker())
    document = create_app(engine, api_key=None).openapi()
    return operations(document)[saga_type].request(given)


def test_each_saga_that_a_command_starts_is_started_by_a_route_too() -> None:
    database = create_engine("postgresql+psycopg2://")
    engine = Engine(database=database, sagas=[], publisher=NoBroker())

    found = operations(create_app(engine, api_key=None).openapi())

    assert found.keys() == saga_app.producers.keys()


def test_inputs_of_the_command_line_become_what_the_routes_take() -> None:
    refund = asked("payment_refund", paymentId="p 1", amount="1.00", reason="why")
    device = asked("device_creation", userId="ann", cpu=2)
    ended = asked("device_deletion", deviceId="d/1")
    upload = asked("app_upload", file="folder/a.apk", name="Tiny", tags=["a", "b"])

    assert refund.path == "/api/billing/payments/p%201/refund"
    assert refund.body == {"amount": "1.00", "reason": "why"}
    assert (device.path, device.body) == ("/api/devices", {"userId": "ann", "cpu": 2})
    assert (ended.path, ended.body) == ("/api/devices/d%2F1", None)
    assert (upload.path, upload.form) == ("/api/apps", {"name": ["Tiny"], "tags": ["a", "b"]})
    assert upload.files == {"file": Path("folder/a.apk")}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "thingId: is missing"),
        ({"thingId": 7}, "thingId: must be text"),
        ({"thingId": ".."}, "is no id"),
        ({"thingId": "7", "more": 1}, "more: is not known"),
    ],
)
def test_an_input_that_fits_no_request_is_refused(given: dict[str, Any], said: str) -> None:
    one = Operation(method="DELETE", path="/things/{thingId}", names=("thingId",), takes=None)

    with pytest.raises(UsageError, match=said):
        one.request(given)


def test_numbers_are_sent_as_they_were_written() -> None:
    text = '{"a":[0.10,1e400,12345678901234567890123],"b":{"c":null,"d":"\\u0000é"}}'

    assert written(json_object("the input", text)).replace("E+", "e") == text.replace(
        "é", "\\u00e9"
    )
