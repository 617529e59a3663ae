"""The composition root: imports all, nothing imports it. ``celery -A app`` starts here."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from celery import Celery

import commands
from commands import health
from saga import Engine, ExtraProcess, Producer, SagaApp, connect
from saga.logs import configure
from saga.worker import CeleryPublisher, producer, register
from settings import settings
from workflows import RefundInput, refund, request_refund

if TYPE_CHECKING:
    from fastapi import FastAPI

configure()

celery = Celery("saga")
celery.config_from_object("celeryconfig")

engine = Engine(
    database=connect(settings.database_url.get_secret_value()),
    sagas=[refund],
    publisher=CeleryPublisher(producer(celery)),
    timing=settings.timing,
)
register(celery, engine)


migrations = Config(str(Path(__file__).with_name("alembic.ini")))


def migrate() -> None:
    """Bring the database to the newest schema; a second call does nothing."""
    command.upgrade(migrations, "head")


pending_migrations = partial(health.pending, migrations)


def create_api() -> "FastAPI":
    """What ``uvicorn --factory app:create_api`` serves."""
    from api import create_app  # noqa: PLC0415 - workers and the command line need no web server

    key = settings.saga_api_key
    return create_app(
        engine,
        api_key=None if key is None else key.get_secret_value(),
        pending_migrations=pending_migrations,
    )


saga_app = SagaApp(
    celery=celery,
    engine=engine,
    migrate=migrate,
    pending_migrations=pending_migrations,
    findings=health.findings,
    api_target="app:create_api",
    producers={refund.name: Producer(input=RefundInput, start=request_refund)},
    processes=[
        ExtraProcess(
            name="sandbox",
            command=[
                sys.executable,
                *("-m", "gateways.payments.sandbox", "--port", "{port}"),
                *("--books", "{data}/sandbox.sqlite"),
            ],
            url_variable="SANDBOX_URL",
        )
    ],
    commands=commands.register,
)
