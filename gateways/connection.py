"""How a sandbox hangs up: an answer that is no answer, and the protocol that can do it."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_HANG_UP = "sandbox.hang_up"


class SandboxProtocol(H11Protocol):
    """uvicorn's HTTP protocol, whose application may close the connection unanswered.

    ASGI has no word for that: an application that sends nothing gets a 500 sent for it.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: Callable[..., Any] = self.app

        async def with_hang_up(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_HANG_UP] = transport.abort
            await app(scope, receive, send)

        self.app = with_hang_up


class HangUp(Response):
    """No answer at all: the client sees the connection close."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        scope["extensions"][_HANG_UP]()
        # Returning before uvicorn has noticed would make it complain of a missing answer.
        while (await receive())["type"] != "http.disconnect":
            pass
