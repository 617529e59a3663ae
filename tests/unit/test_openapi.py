"""The OpenAPI document has an example of everything, and says whose keys may ask."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
from sqlalchemy import create_engine

from api import create_app
from saga import Engine
from saga.followup import Lane, Publication

pytestmark = pytest.mark.unit

OPEN = {"/healthz", "/readyz", "/metrics"}


class NoBroker:
    def publish(self, publication: Publication) -> None:
        raise AssertionError(publication)

    def waiting(self, lane: Lane) -> int:
        raise AssertionError(lane)


@cache
def document() -> dict[str, Any]:
    database = create_engine("postgresql+psycopg2://127.0.0.1:1/none")
    engine = Engine(database=database, sagas=[], publisher=NoBroker())
    return create_app(engine, api_key=None).openapi()


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """All but the providers' own: their bodies are the providers'."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            if not path.startswith("/api/webhooks/"):
                yield f"{method.upper()} {path}", operation


OPERATIONS = dict(operations())


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for answer in operation["responses"].values():
        yield from answer.get("content", {}).items()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_has_examples_that_fit_its_own_schemas(name: str) -> None:
    for kind, content in contents(OPERATIONS[name]):
        if kind == "application/vnd.android.package-archive":
            continue
        assert "example" in content, f"{name}: {kind}"
        schema = {**content.get("schema", {}), "components": document()["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_says_what_it_does_and_whose_keys_may_ask(name: str) -> None:
    operation = OPERATIONS[name]

    assert operation["summary"]
    assert operation["description"]
    if name.partition(" ")[2] in OPEN:
        assert "x-roles" not in operation
    else:
        assert operation["x-roles"], name
        assert f"For keys of role {' or '.join(operation['x-roles'])}." in operation["description"]
        assert {"401", "403"} <= operation["responses"].keys()


def test_every_tag_is_described() -> None:
    described = {tag["name"]: tag["description"] for tag in document()["tags"]}

    used = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}
    assert all(described.values())
    assert used <= described.keys()
