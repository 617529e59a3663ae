"""``GET /api/sagas`` and ``GET /api/sagas/{sagaId}``."""

from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from saga import views
from saga.api.problems import answers
from saga.api.shapes import SagaDetail, SagaPage
from saga.engine import Engine
from saga.filter import MOST, BadFilter, Filter
from saga.position import Status

_NAMES = [field.name for field in fields(Filter)]
_INSTANT = {"format": "date-time"}
_Text = Annotated[str | None, Query()]


def _only_known(request: Request) -> None:
    """A filter that is misspelt must not show all sagas instead of some."""
    for name in request.query_params:
        if name not in _NAMES:
            raise BadFilter(name[:100], f"is no filter; there are {', '.join(_NAMES)}")


def _filter(  # noqa: PLR0917 - FastAPI calls it by name
    type: _Text = None,  # noqa: A002 - its name on the wire
    status: Annotated[str | None, Query(json_schema_extra={"enum": [*Status]})] = None,
    step: Annotated[str | None, Query(description="Where the saga stands.")] = None,
    key: Annotated[str | None, Query(description="The whole business key.")] = None,
    q: Annotated[str | None, Query(description="Text in the id, the key or the error.")] = None,
    since: Annotated[str | None, Query(json_schema_extra=_INSTANT)] = None,
    until: Annotated[str | None, Query(json_schema_extra=_INSTANT)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    cursor: Annotated[str | None, Query(description="nextCursor of the page before.")] = None,
) -> Filter:
    given = {"type": type, "status": status, "step": step, "key": key, "q": q}
    page = {"since": since, "until": until, "limit": str(limit), "cursor": cursor}
    return Filter.parse(given | page)


def router(engine: Engine) -> APIRouter:
    """The engine's sagas, read only."""
    routes = APIRouter(tags=["sagas"])

    @routes.get(
        "/api/sagas",
        response_model=SagaPage,
        responses=answers(422),
        dependencies=[Depends(_only_known)],
    )
    def list_sagas(wanted: Annotated[Filter, Depends(_filter)]) -> dict[str, Any]:
        """Sagas by pages, newest first."""
        with engine.database.connect() as connection:
            return views.list_sagas(connection, wanted)

    @routes.get("/api/sagas/{sagaId}", response_model=SagaDetail, responses=answers(404))
    def show_saga(saga_id: Annotated[str, Path(alias="sagaId")]) -> dict[str, Any]:
        """One saga with its steps and all that happened to it."""
        with engine.database.connect() as connection:
            return views.show(connection, engine.registry, saga_id)

    return routes
