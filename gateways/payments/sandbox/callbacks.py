"""How the provider tells its callers that a refund has become final."""

import asyncio
import logging
import sqlite3

import httpx

from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import Callback

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 0.1
_AT_ONCE = 20
_TIMEOUT_SECONDS = 5.0


async def send_callbacks(books: Books) -> None:
    """Send what is due, for ever. At least once each, until taken with 2xx or given up."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        while True:
            try:
                due = books.callbacks_due(limit=_AT_ONCE)
                await asyncio.gather(*(_send(client, books, callback) for callback in due))
            except sqlite3.OperationalError as error:
                # A full disk or another's lock passes; callbacks must not end with it.
                _log.warning("callbacks wait: %s", error)
            await asyncio.sleep(_EVERY_SECONDS)


async def _send(client: httpx.AsyncClient, books: Books, callback: Callback) -> None:
    try:
        answer = await client.post(callback.url, json=callback.refund.as_json())
        delivered = answer.is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        delivered = False
    books.callback_ended(callback.refund.refund_no, delivered=delivered)
