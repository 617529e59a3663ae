"""The provider's HTTP server: both wires for refunds, and what steers it under /control."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from gateways.payments.sandbox.alipay import alipay_routes
from gateways.payments.sandbox.answers import invalid
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.callbacks import send_callbacks
from gateways.payments.sandbox.control import control_routes
from gateways.payments.sandbox.counter import Counter
from gateways.payments.sandbox.faults import FaultQueue
from gateways.payments.sandbox.keys import KeyRing
from gateways.payments.sandbox.wechat import wechat_routes


def sandbox(books: Books, keys: KeyRing) -> FastAPI:
    """Return the provider over these books, which it closes at its end."""

    @contextlib.asynccontextmanager
    async def open_hours(_: FastAPI) -> AsyncIterator[None]:
        clerk = asyncio.create_task(send_callbacks(books, keys))
        try:
            yield
        finally:
            clerk.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clerk
            books.close()

    app = FastAPI(title="Sandbox payment provider", lifespan=open_hours)
    app.add_exception_handler(RequestValidationError, invalid)
    faults = FaultQueue()
    counter = Counter(books, faults)
    app.include_router(wechat_routes(counter, keys.wechatpay))
    app.include_router(alipay_routes(counter, books, keys.alipay))
    app.include_router(control_routes(books, faults))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app
