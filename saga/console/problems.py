"""Errors as pages that say what to do."""

from http import HTTPStatus

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from saga.console.pages import Pages
from saga.database import is_away
from saga.errors import Conflict, InvalidInput, NotFound, SagaError
from saga.logs import log_error

log = structlog.get_logger("saga")

_UNCLEAR = (
    "The database went away, and whether this was done is not known. Look at the saga before you "
    "try again: its timeline says what was done."
)


class Forbidden(Exception):
    """The session's role may not do this; ``needed`` names the roles that may."""

    def __init__(self, role: str, needed: str) -> None:
        super().__init__(f"a key of role {role} may not do this: it takes one of role {needed}")


class Problems:
    """Tells what went wrong. ``pages`` draws it."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def handle(self, app: Starlette) -> None:
        """Answer with a page whatever a handler raises."""
        for error in (SagaError, Forbidden, DBAPIError, NoConnectionFree, HTTPException):
            app.add_exception_handler(error, self.answer)

    def answer(self, request: Request, error: Exception) -> Response:
        """The page that tells of the error. Raises the error if nobody expected it."""
        match error:
            case NotFound():
                return self.tell(request, 404, str(error))
            case Conflict():
                return self.tell(request, 409, str(error))
            case InvalidInput():
                return self.tell(request, 422, str(error))
            case Forbidden():
                return self.tell(request, 403, str(error))
            case HTTPException(status_code=404):
                return self.tell(request, 404, "There is no such page.")
            case HTTPException():
                return self.tell(request, error.status_code, error.detail)
            case NoConnectionFree():
                return self._away(request)
            case DBAPIError() if is_away(error):
                return self._away(request)
        raise error

    def unexpected(self, request: Request, error: Exception) -> Response:
        """The page for what nobody expected: logged, and told without any of it."""
        try:
            return self.answer(request, error)
        except Exception:  # noqa: BLE001 - it is the one that is told of
            path = request.url.path[:200]
            log_error(log, "page failed", error, method=request.method, path=path)
            return self.tell(request, 500, "Something went wrong here; it is in the API's log.")

    def tell(
        self, request: Request, status: int, detail: str, *, title: str | None = None
    ) -> Response:
        return self._pages.answer(
            request,
            "problem.html",
            status=status,
            headers={"Retry-After": "3"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None,
            title=title or HTTPStatus(status).phrase,
            detail=detail,
            again=status == HTTPStatus.SERVICE_UNAVAILABLE and _is_read(request),
        )

    def _away(self, request: Request) -> Response:
        detail = "The database is away. This page looks again by itself."
        said = detail if _is_read(request) else _UNCLEAR
        return self.tell(request, 503, said, title="The database is away")


def _is_read(request: Request) -> bool:
    return request.method in {"GET", "HEAD"}
