"""The OpenAPI document: our problems, who may ask, and an example of everything."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from saga.access import granted
from saga.api.caller import permission_of
from saga.api.examples import exemplify
from saga.api.problems import Problem

TAGS = [
    {"name": "sagas", "description": "What becomes of sagas: lists, one of them, streams."},
    {"name": "operators", "description": "What operators do to sagas. Each act is audited."},
    {"name": "audit", "description": "Who did what, and what was refused to whom."},
    {"name": "health", "description": "For those who watch the process; open to everybody."},
    {"name": "webhooks", "description": "Where providers call back; each call is signed."},
]


def describe(app: FastAPI, routes: Iterable[APIRoute], examples: Mapping[str, Any]) -> None:
    """Let the document tell what this application does, and not what FastAPI would by itself."""
    told, routes = app.openapi, list(routes)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = told()
        _tell_problems(document)
        for route in routes:
            _tell_roles(document, route)
        exemplify(document, examples)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_problems(document: dict[str, Any]) -> None:
    """Tell our problems, and not FastAPI's own errors, which nobody is ever sent."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= shape.pop("$defs")
    schemas["Problem"] = shape
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]


def _tell_roles(document: dict[str, Any], route: APIRoute) -> None:
    """Say whose keys may ask, in words and for programs."""
    asked = permission_of(route)
    assert asked is not None, "a silent route is not served"
    roles = [role.value for role in granted(asked)]
    for method in route.methods or ():
        operation = document["paths"][route.path][method.lower()]
        said = operation.get("description", "")
        operation["description"] = f"{said}\n\nFor keys of role {' or '.join(roles)}.".strip()
        operation["x-roles"] = roles
