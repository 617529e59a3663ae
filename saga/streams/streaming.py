"""Server-sent events, as every face sends them: something is told again whenever it changed.

The database is asked once a second, by few threads of the streams' own: a hundred who look on take
neither a connection nor a thread from whoever acts. While nothing changes, and while the
database is away, a comment is sent now and then. A stream ends after some minutes: who wants to go
on asks again, as browsers do by themselves, with the ``Last-Event-ID`` that came last.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from saga.access import Principal, keys
from saga.database import is_away
from saga.engine import Engine
from saga.errors import SagaNotFound
from saga.streams.watching import Watch

T = TypeVar("T")

_THREADS = 2
# How soon a browser asks again when a stream has ended.
_BEGINNING = "retry: 2000\n\n"
_ALIVE = ": still here\n\n"
_AWAY = ": the database is away\n\n"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a stream looks, says that it is there, and asks whether its key is still good."""

    look: timedelta = timedelta(seconds=1)
    sign: timedelta = timedelta(seconds=15)
    key: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(minutes=5)
    most: int = 100


PACE = Pace()


class Streams:
    """All streams of this process; ``open`` of them are under way, at most ``pace.most``."""

    def __init__(self, engine: Engine, pace: Pace) -> None:
        self._database = engine.database
        self._pace = pace
        self._threads = ThreadPoolExecutor(_THREADS, "streams")
        self.open = 0

    async def answer(self, watch: Watch, principal: Principal) -> Response:
        """The stream. What its first look raises, such as SagaNotFound, is raised before it begins.

        Raises HTTPException 503 where too many are open.
        """
        if self.open >= self._pace.most:
            detail = f"{self._pace.most} streams are open, as many as may be; ask again later"
            raise HTTPException(503, detail, {"Retry-After": "10"})
        self.open += 1
        try:
            first = await self._ask(watch.look)
        except BaseException:
            self._ended()
            raise
        return _Stream(self._told(watch, principal, first), self._ended)

    def _ended(self) -> None:
        self.open -= 1

    async def _told(
        self, watch: Watch, principal: Principal, first: list[str]
    ) -> AsyncIterator[str]:
        yield _BEGINNING + "".join(first)
        began = asked = spoke = time.monotonic()
        while time.monotonic() - began < self._pace.longest.total_seconds():
            await asyncio.sleep(self._pace.look.total_seconds())
            now, told = time.monotonic(), ""
            try:
                if now - asked >= self._pace.key.total_seconds():
                    asked = now
                    if not await self._is_good(principal):
                        return
                told = "".join(await self._ask(watch.look))
            except SagaNotFound:  # purged
                return
            except (DBAPIError, NoConnectionFree) as error:
                if isinstance(error, DBAPIError) and not is_away(error):
                    raise
                told = _AWAY if now - spoke >= self._pace.sign.total_seconds() else ""
            if not told and now - spoke >= self._pace.sign.total_seconds():
                told = _ALIVE
            if told:
                yield told
                # Of when it was taken: who reads slowly is not told at once that we are there.
                spoke = time.monotonic()

    async def _is_good(self, principal: Principal) -> bool:
        key_id = principal.key_id
        if key_id is None:
            return True
        return await self._ask(lambda connection: keys.is_good(connection, key_id))

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        """The answer, asked in a thread of the streams' own."""

        def ask() -> T:
            with self._database.connect() as connection:
                return question(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)


class _Stream(StreamingResponse):
    """Ends with its client, however that goes away, and says so."""

    def __init__(self, messages: AsyncIterator[str], ended: Callable[[], None]) -> None:
        # A proxy that keeps an answer until it is whole would keep this one for ever.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(messages, media_type="text/event-stream", headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
