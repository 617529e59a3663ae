"""The composition root: imports all, nothing imports it. ``celery -A app`` starts here."""

import gc
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from celery import Celery, signals

from gateways.payments.sandbox.merchant import environment as sandbox_environment
from saga import Engine, ExtraProcess, Producer, SagaApp, connect
from saga.logs import configure
from saga.worker import CeleryPublisher, producer, register
from settings import settings
from workflows import (
    AppInput,
    DeviceDeletionInput,
    DeviceInput,
    RefundInput,
    creation,
    deletion,
    refund,
    request_deletion,
    request_device,
    request_refund,
    start_upload,
    upload,
)
from workflows.reconciliation import LIMIT, RECONCILE, Reconciler
from workflows.sweeping import (
    CONTAINERS_LIMIT,
    SWEEP,
    TIDY,
    TIDY_CONTAINERS,
    TIDY_LIMIT,
    LateContainers,
    Sweeper,
    Tidier,
)
from workflows.sweeping import LIMIT as SWEEP_LIMIT

if TYPE_CHECKING:
    import typer
    from alembic.config import Config
    from fastapi import FastAPI
    from sqlalchemy import Connection

    from saga.doctor import Finding

# What workers, recovery and beat never use is imported where it is used: they start in half the
# time without it.
# ruff: noqa: PLC0415

configure()

celery = Celery("saga")
celery.config_from_object("celeryconfig")

engine = Engine(
    database=connect(settings.database_url.get_secret_value()),
    sagas=[refund, upload, creation, deletion],
    publisher=CeleryPublisher(producer(celery)),
    timing=settings.timing,
)
register(celery, engine)


def expect_doors(**_: object) -> None:
    """End this process, with all that is wrong, unless it could do its work as the settings say."""
    from gateways.account import AccountFaulty
    from tasks import doors

    try:
        doors.check()
    except AccountFaulty as faulty:
        sys.exit("\n".join(f"saga: {fault}" for fault in faulty.faults))


def answer_doctor(**_: object) -> None:
    """Let ``saga doctor`` ask this worker what it sees."""
    from tasks import staging_token

    staging_token.answer()


# Before its processes fork, and before any message is taken.
signals.worker_init.connect(expect_doors)
signals.worker_init.connect(answer_doctor)


def reconcile() -> None:
    """Compare some refunds with their providers' books."""
    Reconciler(engine).scan()


def sweep() -> None:
    """Call a person for what nobody owns."""
    Sweeper(engine).scan()


def tidy_staging() -> None:
    """Remove what waited for sagas that rest now."""
    Tidier(engine).scan()


def tidy_containers() -> None:
    """Remove containers that came to light when nobody wanted them any more."""
    LateContainers(engine).scan()


# Lost with its worker, one is lost: beat sends the next one.
for work, name, limit in (
    (reconcile, RECONCILE, LIMIT),
    (sweep, SWEEP, SWEEP_LIMIT),
    (tidy_staging, TIDY, TIDY_LIMIT),
    (tidy_containers, TIDY_CONTAINERS, CONTAINERS_LIMIT),
):
    celery.task(work, name=name, shared=False, acks_late=False, time_limit=limit.total_seconds())


def _migrations() -> "Config":
    from alembic.config import Config

    return Config(str(Path(__file__).with_name("alembic.ini")))


def migrate() -> None:
    """Bring the database to the newest schema; a second call does nothing."""
    from alembic import command

    command.upgrade(_migrations(), "head")


def pending_migrations(connection: "Connection") -> Iterable[str]:
    """Name the migrations that the database does not have yet."""
    from commands import health

    return health.pending(_migrations(), connection)


def findings() -> Iterable["Finding"]:
    """What ``saga doctor`` should know of this application."""
    from commands import device_health, health, upload_health

    yield from health.findings()
    yield from upload_health.findings(celery)
    yield from device_health.findings(engine)


def register_commands(cli: "typer.Typer") -> None:
    """Add the application's own commands."""
    import commands

    commands.register(cli)


def create_api() -> "FastAPI":
    """What ``uvicorn --factory app:create_api`` serves."""
    from api import create_app
    from saga.roll import Roll

    expect_doors()
    key, secret = settings.saga_api_key, settings.saga_console_secret
    api = create_app(
        engine,
        api_key=None if key is None else key.get_secret_value(),
        pending_migrations=pending_migrations,
        console_secret=None if secret is None else secret.get_secret_value(),
        flower_url=settings.flower_url,
        workers=Roll(celery).workers,
    )
    # What is loaded by now stays. A collection that went through all of it would let every request
    # of that moment wait for 100 ms.
    gc.collect()
    gc.freeze()
    return api


saga_app = SagaApp(
    celery=celery,
    engine=engine,
    migrate=migrate,
    pending_migrations=pending_migrations,
    findings=findings,
    api_target="app:create_api",
    producers={
        refund.name: Producer(input=RefundInput, start=request_refund),
        upload.name: Producer(input=AppInput, start=start_upload),
        creation.name: Producer(input=DeviceInput, start=request_device),
        deletion.name: Producer(input=DeviceDeletionInput, start=request_deletion),
    },
    environment={
        "STAGING_FOLDER": "{data}/staging",
        "OBJECT_STORE_FOLDER": "{data}/objects",
    },
    processes=[
        ExtraProcess(
            name="sandbox",
            command=[
                sys.executable,
                *("-m", "gateways.payments.sandbox", "--port", "{port}"),
                *("--books", "{data}/sandbox.sqlite", "--keys", "{data}/sandbox-keys"),
            ],
            url_variable="SANDBOX_URL",
            environment=sandbox_environment("{url}", Path("{data}/sandbox-keys")),
        ),
        ExtraProcess(
            name="devices",
            command=[
                sys.executable,
                *("-m", "gateways.devices.sandbox", "--port", "{port}"),
                *("--data", "{data}/devices"),
            ],
            url_variable="DEVICE_HOST_URL",
        ),
    ],
    commands=register_commands,
    fingerprints=Path(__file__).parent / "workflows" / "fingerprints.json",
)
