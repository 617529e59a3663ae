"""What every request passes first: its key, what it may, its body's size, and the last net."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

import structlog
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga.access import Principal, granted
from saga.access.keyring import Keyring, NotAdmitted, secret_of
from saga.access.refusals import Refusals
from saga.api.caller import Found, admit, match, met, permission_of
from saga.api.problems import problem
from saga.database import is_away
from saga.logs import log_error

log = structlog.get_logger("saga")

LARGEST_BODY = 1_000_000

_LONGEST_PATH = 200
_LATER = {"Retry-After": "2"}


class Guard:
    """Asks for a key, everywhere but on the open paths, and for what its role may do there.

    The ``fronts`` are applications at paths of their own, which ask for keys by themselves.

    All of it before the body is read. Bodies over ``LARGEST_BODY`` bytes are refused, announced or
    not; a POST on a path of ``large_bodies`` may have as many as that says. An error that nobody
    expected is logged under the request's id and told without any of it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keyring: Keyring,
        refusals: Refusals,
        routes: Iterable[APIRoute],
        open_paths: Collection[str],
        fronts: Collection[str],
        large_bodies: Mapping[str, int],
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._refusals = refusals
        self._routes = routes
        self._open_paths = frozenset(open_paths)
        self._fronts = tuple(fronts)
        self._large_bodies = dict(large_bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = _path(scope)
        if path in self._open_paths:
            met(scope, path)
        elif (front := self._front(path)) is not None:
            met(scope, front)
        elif (refusal := await self._refusal(scope, headers)) is not None:
            await refusal(scope, receive, send)
            return
        await self._serve(scope, headers, receive, send)

    async def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        """The answer to a request that may not go on; None: it may."""
        found = match(self._routes, scope)
        if found is not None:
            met(scope, found[0].path)
        try:
            principal = await self._principal(secret_of(headers))
        except NotAdmitted as refusal:
            await self._note(scope, found, None, 401, refusal.why)
            return problem(401, refusal.why, headers={"WWW-Authenticate": 'Bearer realm="saga"'})
        except (DBAPIError, NoConnectionFree) as error:
            # Nothing was begun: whoever asks again may be let in.
            detail = "the database is away, and with it the keys; try again"
            if isinstance(error, DBAPIError) and not is_away(error):
                log_error(log, "key not looked up", error)
                detail = "the keys cannot be looked up: is the database migrated (saga migrate)?"
            return problem(503, detail, headers=_LATER)
        admit(scope, principal)
        # Paths that lead nowhere, and the documents, ask only for a key.
        asked = None if found is None else permission_of(found[0])
        if asked is None or principal.may(asked):
            return None
        may = " or ".join(granted(asked))
        why = f"a key of role {principal.role} may not do this: it takes one of role {may}"
        await self._note(scope, found, principal, 403, why)
        return problem(403, why)

    def _front(self, path: str) -> str | None:
        """Where the application that a path belongs to begins; None: it is one of the API's."""
        for front in self._fronts:
            if path == front or path.startswith(f"{front}/"):
                return front
        return None

    async def _principal(self, secret: str) -> Principal:
        if (known := self._keyring.of_environment(secret)) is not None:
            return known
        return await run_in_threadpool(self._keyring.of_database, secret)

    async def _note(
        self,
        scope: Scope,
        found: Found | None,
        principal: Principal | None,
        status: int,
        why: str,
    ) -> None:
        path, params = (found[0].path, found[1]) if found else (scope["path"], {})
        await run_in_threadpool(
            self._refusals.record,
            action=f"{scope['method']} {path}"[:_LONGEST_PATH],
            path=scope["path"][:_LONGEST_PATH],
            status=status,
            why=why,
            principal=principal,
            saga_id=_saga_id(params),
        )

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
        except Exception as error:
            path, method = scope["path"][:200], scope["method"]
            log_error(log, "request failed", error, request_id=request_id, method=method, path=path)
            if began:
                raise
            answer = problem(500, "something went wrong on our side; it has been written down")
            await answer(scope, receive, watched)

    def _most(self, scope: Scope) -> int:
        """How many bytes the request's body may have."""
        usual = LARGEST_BODY
        return self._large_bodies.get(_path(scope), usual) if scope["method"] == "POST" else usual


def _path(scope: Scope) -> str:
    """The path below the one that a proxy serves us at, which the server was told (root_path)."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


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


def _saga_id(params: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(params["sagaId"])
    except (KeyError, ValueError):
        return None
