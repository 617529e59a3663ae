"""Tells an open page that what it shows has changed; the page then asks for itself again."""

import hashlib
from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from saga import views
from saga.console.desk import Desk
from saga.console.session import who
from saga.streams import message

Look = Callable[[Connection], str]


class Changes:
    """Says ``changed`` whenever ``look`` gives another word than what the page was made of."""

    def __init__(self, look: Look, shown: str) -> None:
        self._look = look
        self._shown = shown

    def look(self, connection: Connection) -> list[str]:
        now = self._look(connection)
        if now == self._shown:
            return []
        self._shown = now
        return [message("changed", {"to": now})]


async def watched(desk: Desk, request: Request, look: Look) -> Response:
    """The stream for a page that was made of ``?shown=``."""
    shown = request.query_params.get("shown", "")
    return await desk.streams.answer(Changes(look, shown), who(request))


def saga_look(saga_id: UUID) -> Look:
    """What a saga's page is made of: the version rises with whatever happens."""
    return lambda connection: str(views.version_of(connection, saga_id))


def digest(*facts: object) -> str:
    """A short word for what a page shows; another one once any of it changed."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def list_digest(page: dict[str, object]) -> str:
    """The word for a page of sagas."""
    items = page["items"]
    assert isinstance(items, list)
    return digest([(saga["sagaId"], saga["version"]) for saga in items], page["nextCursor"])
