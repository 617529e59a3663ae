"""Logging in by key, and out."""

import urllib.parse

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from saga.access import Principal
from saga.access.keyring import Keyring, NotAdmitted
from saga.console.desk import Desk, to
from saga.console.door import LOGIN, form_of
from saga.console.session import COOKIE, LASTS, Sessions

_LONGEST_PATH = 2_000


class Login:
    """The login page. A key that is refused stands in the audit, as over HTTP."""

    def __init__(self, desk: Desk, *, sessions: Sessions, keyring: Keyring) -> None:
        self._desk = desk
        self._sessions = sessions
        self._keyring = keyring

    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, self.show),
            Route(LOGIN, self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """The form; who is logged in already goes on."""
        after = request.query_params.get("next", "")
        if self._sessions.read(request.cookies.get(COOKIE)) is not None:
            return RedirectResponse(_inside(request, after), 303)
        over = "The session is over; log in again." if request.query_params.get("over") else None
        return self._form(request, after, fault=over)

    def log_in(self, request: Request) -> Response:
        """Open a session of the key that was typed."""
        form = form_of(request)
        secret, after = str(form.get("key", "")).strip(), str(form.get("next", ""))
        if not secret:
            return self._form(request, after, fault="Paste a key.", status=422)
        try:
            principal = self._principal(secret)
        except NotAdmitted as refusal:
            self._desk.refusals.refuse(request, 401, refusal.fault, None)
            fault = f"{refusal.fault[:1].upper()}{refusal.fault[1:]}."
            return self._form(request, after, fault=fault, status=401)
        answer = RedirectResponse(_inside(request, after), 303)
        answer.set_cookie(
            COOKIE,
            self._sessions.open(principal),
            max_age=int(LASTS.total_seconds()),
            path=request.scope["root_path"] or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    def log_out(self, request: Request) -> Response:
        """Forget the session in this browser."""
        answer = to(request, LOGIN)
        answer.delete_cookie(COOKIE, path=request.scope["root_path"] or "/", httponly=True)
        return answer

    def _principal(self, secret: str) -> Principal:
        known = self._keyring.of_environment(secret)
        return self._keyring.of_database(secret) if known is None else known

    def _form(
        self, request: Request, after: str, *, fault: str | None = None, status: int = 200
    ) -> Response:
        return self._desk.pages.answer(
            request, "login.html", status=status, fault=fault, after=_inside(request, after)
        )


def _inside(request: Request, path: str) -> str:
    """The path, if it is one of the console's; else the console's first page."""
    root: str = request.scope["root_path"]
    is_ours = path == root or path.startswith((f"{root}/", f"{root}?"))
    # Browsers take %2e%2e for two dots.
    plain = urllib.parse.unquote(path)
    is_plain = plain.isprintable() and "\\" not in plain and "/.." not in plain
    return path if is_ours and is_plain and len(path) <= _LONGEST_PATH else f"{root}/"
