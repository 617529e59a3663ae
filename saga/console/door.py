"""What every request of the console passes first: its session, and where it came from."""

import hmac
import urllib.parse
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga.access import Permission
from saga.console.problems import Problems
from saga.console.session import COOKIE, Sessions

LOGIN = "/login"

_OPEN = ("/static/",)
_MOST_FIELDS = 2_000

# Nothing is loaded from elsewhere, run where it stands, or shown in somebody else's frame.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_ELSEWHERE = "This form was sent from another site; open the console and do it there."
_OLD_FORM = "This form is of a session that is over. Open the page again, and do it there."


class Door:
    """Lets in who has a session, and what changes something only from one of its own forms.

    ``sessions`` is None where there is nothing to sign them with: then nobody is let in.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions | None, problems: Problems) -> None:
        self._app = app
        self._sessions = sessions
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def guarded(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        try:
            answer = await self._refusal(request)
            if answer is None:
                await self._app(scope, receive, guarded)
                return
        except Exception as error:
            if began:
                raise
            answer = self._problems.unexpected(request, error)
        await answer(scope, receive, guarded)

    async def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that may not go on; None: it may."""
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        if path.startswith(_OPEN):
            return None
        if self._sessions is None:
            detail = "The console is closed: set SAGA_CONSOLE_SECRET, which signs its sessions."
            return self._problems.tell(request, 503, detail)
        changes = request.method not in {"GET", "HEAD"}
        if changes and not _is_from_here(request):
            return self._problems.tell(request, 403, _ELSEWHERE)
        if changes:
            form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
            request.state.form = form
        if path == LOGIN:
            return None
        session = await run_in_threadpool(self._sessions.read, request.cookies.get(COOKIE))
        if session is None:
            return self._to_login(request)
        request.state.session = session
        if changes and not hmac.compare_digest(_token(request).encode(), session.token.encode()):
            return self._problems.tell(request, 403, _OLD_FORM)
        if not session.principal.may(Permission.SEE):
            return self._problems.tell(request, 403, "A key of this role may not see sagas.")
        return None

    def _to_login(self, request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return Response(status_code=401)
        root = request.scope["root_path"]
        if request.method not in {"GET", "HEAD"}:
            return RedirectResponse(f"{root}{LOGIN}?over=yes", 303)
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        after = {} if asked.rstrip("/") == root else {"next": asked}
        query = f"?{urllib.parse.urlencode(after)}" if after else ""
        return RedirectResponse(f"{root}{LOGIN}{query}", 303)


def form_of(request: Request) -> Mapping[str, Any]:
    """What the request's form says; a field that comes several times: the last one."""
    form: Mapping[str, Any] = request.state.form
    return form


def _token(request: Request) -> str:
    return str(request.state.form.get("token", ""))


def _is_from_here(request: Request) -> bool:
    """Whether a page of this site sent it, as far as the browser tells.

    What it says of the site holds also behind a proxy, for which the host has another name.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or urllib.parse.urlsplit(origin).netloc == request.headers.get("host")
