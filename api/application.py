"""Puts the front together: the engine's own routes and those of this application."""

from fastapi import FastAPI

from api import apps, billing, devices, records, webhooks
from saga import Engine
from saga.api import PendingMigrations
from saga.api import create_app as create_engine_app


def create_app(
    engine: Engine,
    *,
    api_key: str | None,
    pending_migrations: PendingMigrations = lambda _connection: (),
) -> FastAPI:
    """Everything that this application answers over HTTP.

    Without an ``api_key`` every protected route answers 401.
    """
    return create_engine_app(
        engine,
        api_key=api_key,
        pending_migrations=pending_migrations,
        routers=[
            billing.router(engine),
            apps.router(engine),
            devices.router(engine),
            records.router(engine),
        ],
        large_bodies={apps.PATH: apps.LARGEST_BODY},
        webhooks=[webhooks.router(engine)],
    )
