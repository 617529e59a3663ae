"""The list of sagas, narrowed by filters."""

import urllib.parse
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga.console.desk import Desk
from saga.console.live import list_digest, watched
from saga.console.many import MANY
from saga.console.notes import Notes, notes
from saga.console.session import who
from saga.filter import BadFilter, Filter
from saga.lists import list_sagas
from saga.position import Status

# The filters that the page's form has, by their names in URLs.
_FEW = ("q", "status", "type")
_MORE = ("step", "key", "error", "retries", "olderThan", "paused")
_FORM = (*_FEW, *_MORE)
_KNOWN = {*_FORM, "since", "until", "limit", "cursor"}


def routes(desk: Desk) -> list[Route]:
    """The list, and the stream that tells that it changed."""

    def show(request: Request) -> Response:
        given = _given(request)
        fault = None
        try:
            wanted = Filter.parse(given)
        except BadFilter as error:
            fault, wanted = error, None
        page: dict[str, Any] = {"items": [], "nextCursor": None}
        stands: Notes = {}
        if wanted is not None:
            with desk.connect() as connection:
                page = list_sagas(
                    connection,
                    wanted,
                    registry=desk.engine.registry,
                    masked=not who(request).sees_all,
                )
                stands = notes(connection, page["items"])
        older = {**given, "cursor": page["nextCursor"]} if page["nextCursor"] else None
        return desk.pages.answer(
            request,
            "sagas.html",
            status=200 if fault is None else 422,
            page=page,
            stands=stands,
            given=given,
            fault=fault,
            is_narrowed=any(given.get(name) for name in _FORM),
            more=sum(bool(given.get(name)) for name in _MORE),
            live=_stream(given, list_digest(page)) if wanted is not None else None,
            older=None if older is None else _query(older),
            newest=_query({**given, "cursor": None}),
            choices=_choices(desk, given),
            actions=MANY,
        )

    async def stream(request: Request) -> Response:
        wanted = Filter.parse(_given(request))
        masked = not who(request).sees_all
        registry = desk.engine.registry
        return await watched(
            desk,
            request,
            lambda connection: list_digest(
                list_sagas(connection, wanted, registry=registry, masked=masked)
            ),
        )

    return [Route("/sagas", show), Route("/sagas/stream", stream)]


def _given(request: Request) -> dict[str, str]:
    """The filters of the request. Of several statuses any will do. Raises BadFilter."""
    given: dict[str, str] = {}
    for name in request.query_params:
        if name == "shown":
            continue
        if name not in _KNOWN:
            raise BadFilter(name[:100], f"is no filter; there are {', '.join(sorted(_KNOWN))}")
        values = [value.strip() for value in request.query_params.getlist(name) if value.strip()]
        if values:
            given[name] = ",".join(values) if name == "status" else values[-1]
    return given


def _query(given: Mapping[str, str | None]) -> str:
    return urllib.parse.urlencode({name: value for name, value in given.items() if value})


def _stream(given: Mapping[str, str], shown: str) -> str:
    return f"/sagas/stream?{_query({**given, 'shown': shown})}"


def _choices(desk: Desk, given: Mapping[str, str]) -> dict[str, list[str]]:
    """What may be chosen from: the types and steps that are known here, and what was asked for."""
    known = list(desk.engine.registry)
    types = {saga.name for saga in known} | {given.get("type", "")}
    steps = {
        step.name
        for saga in known
        for step in saga.steps
        if given.get("type", saga.name) == saga.name
    } | {given.get("step", "")}
    return {
        "type": sorted(filter(None, types)),
        "status": list(Status),
        "step": sorted(filter(None, steps)),
    }
