"""Puts the front together: the engine's own routes and those of this application."""

from fastapi import FastAPI

from api import apps, billing, devices, records, webhooks
from saga import Engine
from saga.api import PendingMigrations
from saga.api import create_app as create_engine_app
from saga.console import Workers, create_console

TAGS = [
    {"name": "billing", "description": "Refunds of payments."},
    {"name": "applications", "description": "Upload an APK, look at it, download it."},
    {"name": "devices", "description": "Create a device, look at it, delete it; users' quotas."},
    {"name": "records", "description": "Payments and their orders, as they are now."},
]

# Of fields that the engine does not know.
EXAMPLES = {
    "amount": "12.50",
    "refundedAmount": "0.00",
    "currency": "CNY",
    "method": "wechat",
    "status": "success",
    "paymentNo": "PAY202607011200",
    "orderId": "order-1",
    "userId": "user-1",
    "packageName": "com.example.notes",
    "versionName": "1.4.0",
    "versionCode": 14,
    "description": "Takes notes",
    "tag": "office",
    "sizeBytes": 8_388_608,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "minSdk": 24,
    "targetSdk": 34,
    "cpu": 2,
    "memoryMb": 4096,
    "storageMb": 10240,
    "width": 1920,
    "height": 1080,
    "dpi": 240,
    "adbAddress": "127.0.0.1",
    "adbPort": 5555,
    "id": "5b1f0c52-6a1c-4e0f-8f3e-2f9c1d7a4b60",
}


def create_app(
    engine: Engine,
    *,
    api_key: str | None,
    pending_migrations: PendingMigrations = lambda _connection: (),
    console_secret: str | None = None,
    flower_url: str | None = None,
    workers: Workers | None = None,
) -> FastAPI:
    """Everything that this application answers over HTTP, the console for operators included.

    Without an ``api_key`` only keys of the database are let in. ``console_secret`` signs the
    sessions of the console, else ``api_key`` does; without both it is closed. ``flower_url`` is
    where people's browsers reach Flower; ``workers`` tells which workers answer.
    """
    app = create_engine_app(
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
        examples=EXAMPLES,
        webhooks=[webhooks.router(engine)],
        fronts={
            "/console": create_console(
                engine,
                api_key=api_key,
                secret=console_secret,
                flower_url=flower_url,
                workers=workers,
            )
        },
    )
    app.openapi_tags = [*TAGS, *(app.openapi_tags or ())]
    return app
