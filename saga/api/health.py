"""``/healthz``: the process lives. ``/readyz``: it can do its work. Both are open to everybody."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from saga import schema
from saga.engine import Engine
from saga.followup import BrokerAway, Lane
from saga.recovery import PULSE
from saga.tables import saga_pulse
from saga.views import iso

log = structlog.get_logger("saga")

PATHS = ("/healthz", "/readyz")

# A database that is frozen, not gone, keeps its connections open and says nothing on them.
PATIENCE_SECONDS = 3.0

_READY = {
    "status": "ready",
    "checks": {
        "database": {"ok": True},
        "migrations": {"ok": True},
        "recovery": {"lastScan": "2026-07-01T12:00:00.000000Z", "secondsAgo": 0.8},
        "broker": {"ok": True},
    },
}

PendingMigrations = Callable[[Connection], Iterable[str]]


def router(engine: Engine, pending_migrations: PendingMigrations) -> APIRouter:
    """Health, with what is missing; nothing secret."""
    routes = APIRouter(tags=["health"])
    # One thread: checks that hang may not take the connections and threads that requests need.
    checking = ThreadPoolExecutor(1, "readyz")

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answer as long as the process can answer at all."""
        return {"status": "ok"}

    @routes.get(
        "/readyz",
        responses={
            200: {"content": {"application/json": {"example": _READY}}},
            503: {"description": "Database or migrations are missing."},
        },
    )
    async def readyz() -> JSONResponse:
        """Tell whether sagas can be started. The broker is told of, and not needed for that."""
        checks = _nothing_known()
        check = checking.submit(_check, checks, engine, pending_migrations)
        try:
            await asyncio.wait_for(asyncio.wrap_future(check), PATIENCE_SECONDS)
        except TimeoutError:
            log.warning("not ready", why=f"no answer for {PATIENCE_SECONDS} s")
        ready = checks["database"]["ok"] and checks["migrations"]["ok"]
        body = {"status": "ready" if ready else "not ready", "checks": checks}
        return JSONResponse(body, status_code=200 if ready else 503)

    return routes


def _nothing_known() -> dict[str, Any]:
    return {
        "database": {"ok": False},
        "migrations": {"ok": False},
        "recovery": {"lastScan": None, "secondsAgo": None},
        "broker": {"ok": False},
    }


def _check(checks: dict[str, Any], engine: Engine, pending_migrations: PendingMigrations) -> None:
    """Write into ``checks`` what is well, as it comes to light."""
    checks["broker"] = {"ok": _broker_answers(engine)}
    try:
        with engine.database.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
            checks["database"] = {"ok": True}
            if schema.version(connection) >= schema.LATEST:
                checks["migrations"] = {"ok": not list(pending_migrations(connection))}
                checks["recovery"] = _last_scan(connection)
    except SQLAlchemyError as error:
        log.warning("not ready", why=str(error))


def _last_scan(connection: Connection) -> dict[str, Any]:
    found = connection.execute(
        select(saga_pulse.c.at, func.clock_timestamp()).where(saga_pulse.c.name == PULSE)
    ).one_or_none()
    if found is None:
        return {"lastScan": None, "secondsAgo": None}
    at, now = found
    assert isinstance(at, datetime)
    return {"lastScan": iso(at), "secondsAgo": round((now - at).total_seconds(), 1)}


def _broker_answers(engine: Engine) -> bool:
    try:
        engine.publisher.waiting(Lane.NEW)
    except BrokerAway:
        return False
    return True
