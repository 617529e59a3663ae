"""The application's API with a stop-watch: ``uvicorn --factory benchmarks.timed_api:create``.

An answer takes from the moment its request is handed to the application, until its last byte is
handed back. Beside the application's, there are two paths: a bare route, which only answers, and
one that tells the times.
"""

import time
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import create_api

BARE = "/benchmark/bare"
TIMES = "/benchmark/times"


@dataclass(frozen=True)
class Timed:
    """An application with a stop-watch; ``TIMES`` tells seconds since it was last asked."""

    app: ASGIApp
    bare: ASGIApp
    taken: list[float] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path == TIMES:
            answer = JSONResponse(self.taken)
            self.taken.clear()
            await answer(scope, receive, send)
            return
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self.taken.append(time.perf_counter() - began)

        await (self.bare if path == BARE else self.app)(scope, receive, watched)


def create() -> Timed:
    return Timed(create_api(), _bare())


def _bare() -> FastAPI:
    """The least that FastAPI can do in a thread, as our own routes do their work."""
    app = FastAPI(openapi_url=None)

    @app.post(BARE, status_code=202)
    def bare() -> None:
        """Answer."""

    return app
