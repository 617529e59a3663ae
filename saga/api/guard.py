"""What every request passes first: the key, the size of its body, and the last net for errors."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga.api.problems import problem

log = structlog.get_logger("saga")

LARGEST_BODY = 1_000_000


class Guard:
    """Asks for the key, everywhere but on the open paths; without a key set, nobody gets in.

    Bodies over ``LARGEST_BODY`` bytes are refused, announced or not; a POST on a path of
    ``large_bodies`` may have as many as that says. An error that nobody expected
    is logged under the request's id and told without any of it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_key: str | None,
        open_paths: Collection[str],
        large_bodies: Mapping[str, int],
    ) -> None:
        self._app = app
        self._key = _digest(api_key) if api_key else None
        self._open_paths = frozenset(open_paths)
        self._large_bodies = dict(large_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["path"] not in self._open_paths and not self._may_enter(headers):
            await self._refuse(scope, receive, send)
            return
        await self._serve(scope, headers, receive, send)

    def _may_enter(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._key is None or scheme.lower() != "bearer":
            return False
        # Digests are of one length, so that not even the key's length shows in the time taken.
        return hmac.compare_digest(_digest(given.strip()), self._key)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = "send Authorization: Bearer KEY with a key of this API"
        if self._key is None:
            detail = "this API has no key yet and lets nobody in: set SAGA_API_KEY"
        answer = problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="saga"'})
        await answer(scope, receive, send)

    async def _serve(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        request_id = uuid4().hex
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            most = self._most(scope)
            announced = headers.get("content-length", "")
            if announced.isdecimal() and int(announced[:20]) > most:
                raise _too_large(most)  # noqa: TRY301
            await self._app(scope, _bounded(receive, most), watched)
        except HTTPException as refusal:
            answer = problem(refusal.status_code, refusal.detail, headers=refusal.headers)
            await answer(scope, receive, watched)
        except Exception:
            path, method = scope["path"][:200], scope["method"]
            log.exception("request failed", request_id=request_id, method=method, path=path)
            if began:
                raise
            answer = problem(500, "something went wrong on our side; it has been written down")
            await answer(scope, receive, watched)

    def _most(self, scope: Scope) -> int:
        """How many bytes the request's body may have."""
        usual = LARGEST_BODY
        return self._large_bodies.get(scope["path"], usual) if scope["method"] == "POST" else usual


def _bounded(receive: Receive, most: int) -> Receive:
    """The request's body up to ``most`` bytes; one that is longer ends in 413."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise _too_large(most)
        return message

    return bounded


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"the body may have at most {most} bytes")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
