"""Puts the HTTP face together."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

from saga.access.keyring import Keyring
from saga.access.refusals import Refusals
from saga.api import (
    audits,
    document,
    health,
    interventions,
    metrics,
    pauses,
    sagas,
    signals,
    streams,
)
from saga.api.caller import permission_of
from saga.api.guard import Guard
from saga.api.health import PendingMigrations
from saga.api.problems import handle_errors
from saga.engine import Engine

# The guard asks for the key, on every path; this tells OpenAPI.
_key = HTTPBearer(auto_error=False, description="A key of this API.")


# Paths with a word go before those where any id may stand.
_OWN = (streams, sagas, interventions, signals, pauses, audits)


def create_app(
    engine: Engine,
    *,
    api_key: str | None,
    routers: Iterable[APIRouter] = (),
    webhooks: Iterable[APIRouter] = (),
    large_bodies: Mapping[str, int] | None = None,
    examples: Mapping[str, Any] | None = None,
    fronts: Mapping[str, ASGIApp] | None = None,
    pending_migrations: PendingMigrations = lambda _connection: (),
    title: str = "celery-sagas",
) -> FastAPI:
    """An ASGI application with the engine's routes and ``routers``.

    Keys are those of ``saga.access.keys``; ``api_key`` is one more, an admin's, that needs no
    database. Each route of ``routers`` says what it ``needs``. ``webhooks`` are open, as who calls
    them proves otherwise who they are; their paths have no parameters. ``large_bodies`` gives how
    many bytes a POST on a path may have, where that is more than usual. ``examples`` are values for
    the OpenAPI document, by fields' names. ``fronts`` are applications, by the paths where they
    are served, that ask for keys by themselves, such as that of ``saga.console``.
    ``pending_migrations`` are the application's own, as in SagaApp; ``/readyz`` says no while there
    are any. Raises ValueError for a route that does not say what it needs: it would be open to
    every key.
    """
    app = FastAPI(title=title, separate_input_output_schemas=False, openapi_tags=document.TAGS)
    webhooks = list(webhooks)
    called = {route.path for route in _routes_of(webhooks)}
    own = [module.router(engine) for module in _OWN]
    guarded = [*own, *routers]
    routes = _that_say_what_they_need(guarded)
    app.add_middleware(
        Guard,
        keyring=Keyring(engine.database, api_key=api_key),
        refusals=Refusals(engine.database),
        routes=routes,
        open_paths={*health.PATHS, metrics.PATH, *called},
        fronts=fronts or (),
        large_bodies=large_bodies or {},
    )
    requests = metrics.Requests()
    app.add_middleware(metrics.Measured, requests=requests)
    handle_errors(app)
    app.include_router(health.router(engine, pending_migrations))
    app.include_router(metrics.router(engine, requests))
    for router in guarded:
        app.include_router(router, dependencies=[Security(_key)])
    for hooks in webhooks:
        app.include_router(hooks)
    for path, front in (fronts or {}).items():
        app.mount(path, front)
    document.describe(app, routes, examples or {})
    return app


def _routes_of(routers: Iterable[APIRouter]) -> list[APIRoute]:
    """Their routes. Raises ValueError for what is none, such as a mounted application."""
    routes = [route for router in routers for route in router.routes]
    if others := [route for route in routes if not isinstance(route, APIRoute)]:
        raise ValueError(f"give routers with routes alone, not {others}: others are not guarded")
    return [route for route in routes if isinstance(route, APIRoute)]


def _that_say_what_they_need(routers: Iterable[APIRouter]) -> list[APIRoute]:
    routes = _routes_of(routers)
    if silent := sorted({route.path for route in routes if permission_of(route) is None}):
        raise ValueError(f"say what these need, by needs(Permission.…): {', '.join(silent)}")
    return routes
