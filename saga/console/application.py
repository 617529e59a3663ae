"""Puts the console together: an ASGI application to be mounted beside the API."""

from datetime import timedelta

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from saga.access.keyring import Keyring
from saga.access.refusals import Refusals
from saga.console import actions, definitions, many, overview, saga_page, sagas
from saga.console.desk import Desk, Workers
from saga.console.door import Door
from saga.console.login import Login
from saga.console.pages import STATIC, Pages
from saga.console.problems import Problems
from saga.console.session import Sessions
from saga.engine import Engine
from saga.graph import look
from saga.streams import PACE, Pace, Streams

_KEEP = {"Cache-Control": f"public, max-age={int(timedelta(days=30).total_seconds())}, immutable"}


def create_console(
    engine: Engine,
    *,
    api_key: str | None,
    secret: str | None = None,
    title: str = "celery-sagas",
    flower_url: str | None = None,
    workers: Workers | None = None,
    pace: Pace = PACE,
) -> Starlette:
    """The operators' page, to be mounted at a path of its own.

    Who logs in does so with a key of ``saga.access.keys``, or with ``api_key``, an admin's. Their
    sessions are signed with the ``secret``, else with the ``api_key``; without either the console
    is closed. ``flower_url`` is where people's browsers reach Flower; ``workers`` tells which
    workers answer.
    """
    pages = Pages(title, flower_url=flower_url)
    desk = Desk(
        engine=engine,
        pages=pages,
        streams=Streams(engine, pace),
        refusals=Refusals(engine.database),
        workers=workers,
        flower_url=flower_url,
    )
    keyring = Keyring(engine.database, api_key=api_key)
    signed_with = secret or api_key
    sessions = Sessions(keyring, secret=signed_with) if signed_with else None
    problems = Problems(pages)
    routes: list[BaseRoute] = [
        Route("/static/graph.css", _graph_css),
        Mount("/static", _Kept(packages=[("saga.console", STATIC)])),
    ]
    if sessions is not None:
        routes += Login(desk, sessions=sessions, keyring=keyring).routes()
    for module in (overview, many, sagas, saga_page, actions, definitions):
        routes += module.routes(desk)
    console = Starlette(
        routes=routes, middleware=[Middleware(Door, sessions=sessions, problems=problems)]
    )
    problems.handle(console)
    return console


class _Kept(StaticFiles):
    """Files whose address changes with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(_KEEP)
        return answer


def _graph_css(_request: Request) -> Response:
    return Response(look.css(look.SCOPE), media_type="text/css", headers=_KEEP)
