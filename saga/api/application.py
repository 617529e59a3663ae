"""Puts the HTTP face together."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer
from sqlalchemy import Connection

from saga.api import health, sagas
from saga.api.guard import Guard
from saga.api.health import engine_is_migrated
from saga.api.problems import Problem, handle_errors
from saga.engine import Engine

# The guard asks for the key, on every path; this tells OpenAPI.
_key = HTTPBearer(auto_error=False, description="A key of this API.")


def create_app(
    engine: Engine,
    *,
    api_key: str | None,
    routers: Iterable[APIRouter] = (),
    is_migrated: Callable[[Connection], bool] = engine_is_migrated,
    title: str = "celery-sagas",
) -> FastAPI:
    """An ASGI application with the engine's routes and ``routers``.

    Without an ``api_key`` every protected route answers 401. ``is_migrated`` is asked by
    ``/readyz``.
    """
    app = FastAPI(title=title, separate_input_output_schemas=False)
    app.add_middleware(Guard, api_key=api_key, open_paths=health.PATHS)
    handle_errors(app)
    app.include_router(health.router(engine, is_migrated))
    for router in (sagas.router(engine), *routers):
        app.include_router(router, dependencies=[Security(_key)])
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """FastAPI knows no other media type for errors than application/json; put ours in."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        described = describe()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(shape.pop("$defs"))
            schemas["Problem"] = shape
        return described

    app.openapi = openapi  # type: ignore[method-assign]
