"""How the provider tells its merchant that a refund has changed."""

import asyncio
import logging
import sqlite3

import httpx

from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import Callback
from gateways.payments.sandbox.keys import KeyRing
from gateways.payments.sandbox.notices import is_taken, notice

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 0.1
_AT_ONCE = 20
_TIMEOUT_SECONDS = 5.0


async def send_callbacks(books: Books, keys: KeyRing) -> None:
    """Send what is due, for ever. At least once each, until taken or given up."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        while True:
            try:
                due = books.callbacks_due(limit=_AT_ONCE)
                await asyncio.gather(*(_send(client, books, keys, callback) for callback in due))
            except sqlite3.OperationalError as error:
                # A full disk or another's lock passes; callbacks must not end with it.
                _log.warning("callbacks wait: %s", error)
            await asyncio.sleep(_EVERY_SECONDS)


async def _send(client: httpx.AsyncClient, books: Books, keys: KeyRing, callback: Callback) -> None:
    told = notice(callback, keys)
    if told is None:
        books.callback_ended(callback.event_id, delivered=True)
        return
    try:
        answer = await client.post(callback.url, content=told.body, headers=told.headers)
        delivered = is_taken(callback, answer)
    except (httpx.HTTPError, httpx.InvalidURL):
        delivered = False
    books.callback_ended(callback.event_id, delivered=delivered)
