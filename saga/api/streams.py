"""``GET /api/sagas/stream`` and ``GET /api/sagas/{sagaId}/stream``: server-sent events."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import StreamingResponse

from saga.access import Permission
from saga.api.caller import Caller, needs
from saga.api.problems import answers
from saga.api.sagas import filtered, only_known
from saga.engine import Engine
from saga.filter import Filter
from saga.streams import PACE, ListWatch, Pace, SagaWatch, Streams

_EXAMPLE = 'id: 7\nevent: saga\ndata: {"saga": {"status": "COMPLETED", …}, …}\n\n'


def router(engine: Engine, pace: Pace = PACE) -> APIRouter:
    """Both streams, read only."""
    routes = APIRouter(tags=["sagas"])
    streams = Streams(engine, pace)
    streamed: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}}
    }

    @routes.get(
        "/api/sagas/stream",
        response_class=StreamingResponse,
        responses={**streamed, **answers(422)},
        dependencies=[needs(Permission.SEE), Depends(only_known)],
    )
    async def watch_sagas(wanted: Annotated[Filter, Depends(filtered)], caller: Caller) -> Response:
        """The newest sagas that the filters leave, and each again when it changed or went.

        Server-sent events: ``event: saga``, with a Saga as its data.
        """
        watch = ListWatch(engine, wanted, masked=not caller.sees_all)
        return await streams.answer(watch, caller)

    @routes.get(
        "/api/sagas/{sagaId}/stream",
        response_class=StreamingResponse,
        responses={**streamed, **answers(404)},
        dependencies=[needs(Permission.SEE)],
    )
    async def watch_saga(
        saga_id: Annotated[str, Path(alias="sagaId")],
        caller: Caller,
        last_event_id: Annotated[
            str | None, Header(description="Of the last message: only what came after is told.")
        ] = None,
    ) -> Response:
        """One saga as it is, and again whenever something happened to it.

        Server-sent events: ``event: saga``, whose data is what GET answers with those events alone
        that came after the message before; its ``id`` is the saga's version.
        """
        watch = SagaWatch(engine, saga_id, seen=last_event_id, masked=not caller.sees_all)
        return await streams.answer(watch, caller)

    return routes
