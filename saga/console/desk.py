"""What all pages of the console work with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from saga.access import Permission, granted
from saga.access.refusals import Refusals
from saga.console.pages import Pages
from saga.console.problems import Forbidden
from saga.console.session import who
from saga.engine import Engine
from saga.operator import Operator
from saga.roll import Worker
from saga.streams import Streams

# None: nobody can say, for the broker is away.
Workers = Callable[[], Sequence[Worker] | None]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The engine, what draws pages, and where Flower is, if anywhere."""

    engine: Engine
    pages: Pages
    streams: Streams
    refusals: Refusals
    workers: Workers | None = None
    flower_url: str | None = None

    def connect(self) -> Connection:
        """A connection to read with."""
        return self.engine.database.connect()

    def operator(self, request: Request) -> Operator:
        """Who acts in the name of the session. Raises Forbidden, audited, where it may not."""
        principal = who(request)
        if not principal.may(Permission.ACT):
            refusal = Forbidden(principal.role, " or ".join(granted(Permission.ACT)))
            self.refusals.refuse(request, 403, str(refusal), principal)
            raise refusal
        return Operator(self.engine, actor=principal.name, role=principal.role)

    def task_url(self, task_id: str) -> str | None:
        """Where Flower shows a task; None without a Flower."""
        return None if self.flower_url is None else f"{self.flower_url.rstrip('/')}/task/{task_id}"


def to(request: Request, path: str) -> Response:
    """The answer to a form that was done: on to a page of the console."""
    return RedirectResponse(f"{request.scope['root_path']}{path}", 303)
