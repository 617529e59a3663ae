"""``GET /api/sagas`` and ``GET /api/sagas/{sagaId}``."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from saga import lists, views
from saga.access import Permission
from saga.api.caller import Caller, needs
from saga.api.problems import answers
from saga.api.shapes import SagaCounts, SagaDetail, SagaPage
from saga.counts import count_sagas
from saga.engine import Engine
from saga.filter import MOST, NAMES, BadFilter, Filter
from saga.position import Status

_INSTANT = {"format": "date-time"}
_TEXT = (
    "Text in the id, the key or the error of an open saga, or one's whole id or key. Who sees "
    "masked texts finds nothing by errors."
)
_AGE = "Started so long ago or longer, such as 90s, 15m, 2h or 3d."
_STATUS = {"type": "string", "enum": [*Status]}
_Text = Annotated[str | None, Query()]


def only_known(request: Request) -> None:
    """A filter that is misspelt must not show all sagas instead of some."""
    for name in request.query_params:
        if name not in NAMES:
            raise BadFilter(name[:100], f"is no filter; there are {', '.join(NAMES)}")


def filtered(  # noqa: PLR0917 - FastAPI calls it by name
    type: _Text = None,  # noqa: A002 - its name on the wire
    status: Annotated[list[str] | None, Query(json_schema_extra={"items": _STATUS})] = None,
    step: Annotated[str | None, Query(description="Where the saga stands.")] = None,
    key: Annotated[str | None, Query(description="The whole business key.")] = None,
    error: Annotated[str | None, Query(description="Class of the last error.")] = None,
    retries: Annotated[int | None, Query(ge=1, description="Retrying at least so often.")] = None,
    paused: Annotated[str | None, Query(json_schema_extra={"enum": ["yes"]})] = None,
    q: Annotated[str | None, Query(description=_TEXT)] = None,
    since: Annotated[str | None, Query(json_schema_extra=_INSTANT)] = None,
    until: Annotated[str | None, Query(json_schema_extra=_INSTANT)] = None,
    older_than: Annotated[str | None, Query(alias="olderThan", description=_AGE)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    cursor: Annotated[str | None, Query(description="nextCursor of the page before.")] = None,
) -> Filter:
    return Filter.parse(
        {
            "type": type,
            "status": ",".join(status or ()),
            "step": step,
            "key": key,
            "error": error,
            "retries": None if retries is None else str(retries),
            "paused": paused,
            "q": q,
            "since": since,
            "until": until,
            "olderThan": older_than,
            "limit": str(limit),
            "cursor": cursor,
        }
    )


def router(engine: Engine) -> APIRouter:
    """The engine's sagas, read only."""
    routes = APIRouter(tags=["sagas"])

    @routes.get(
        "/api/sagas",
        response_model=SagaPage,
        responses=answers(422),
        dependencies=[needs(Permission.SEE), Depends(only_known)],
    )
    def list_sagas(
        wanted: Annotated[Filter, Depends(filtered)], principal: Caller
    ) -> dict[str, Any]:
        """Sagas by pages, newest first.

        A page may hold fewer than were asked for though more follow: nextCursor tells.
        """
        with engine.database.connect() as connection:
            return lists.list_sagas(
                connection, wanted, registry=engine.registry, masked=not principal.sees_all
            )

    @routes.get(
        "/api/sagas/counts",
        response_model=SagaCounts,
        responses=answers(),
        dependencies=[needs(Permission.SEE)],
    )
    def count_all() -> dict[str, Any]:
        """How many sagas there are of each type and status.

        All that are open; of those at rest the ones started in the last hour, 10000 at most.
        """
        with engine.database.connect() as connection:
            return count_sagas(connection)

    @routes.get(
        "/api/sagas/{sagaId}",
        response_model=SagaDetail,
        responses=answers(404),
        dependencies=[needs(Permission.SEE)],
    )
    def show_saga(
        saga_id: Annotated[str, Path(alias="sagaId")], principal: Caller
    ) -> dict[str, Any]:
        """One saga with its steps and all that happened to it."""
        with engine.database.connect() as connection:
            masked = not principal.sees_all
            return views.show(connection, engine.registry, saga_id, masked=masked)

    return routes
