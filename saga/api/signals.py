"""``POST /api/sagas/{sagaId}/signals/{name}``."""

from typing import Annotated

from fastapi import APIRouter, Path

from saga import views
from saga.access import Permission
from saga.api.caller import Caller, needs
from saga.api.exact import ExactRoute
from saga.api.interventions import operator_of
from saga.api.problems import answers
from saga.api.shapes import SignalAsked, SignalTaken
from saga.engine import Engine

_LONGEST_NAME = 100


def router(engine: Engine) -> APIRouter:
    """Signals for sagas that wait for them, or will."""
    routes = APIRouter(tags=["operators"], route_class=ExactRoute)

    @routes.post(
        "/api/sagas/{sagaId}/signals/{name}",
        status_code=202,
        responses=answers(404, 409, 413, 422),
        dependencies=[needs(Permission.ACT)],
    )
    def send_signal(
        saga_id: Annotated[str, Path(alias="sagaId")],
        name: Annotated[str, Path(max_length=_LONGEST_NAME)],
        asked: SignalAsked,
        principal: Caller,
    ) -> SignalTaken:
        """Tell a saga something; early or late is the same, and the same id is taken once."""
        received = operator_of(engine, principal).signal(
            views.identified(saga_id), name, asked.payload, signal_id=asked.signal_id
        )
        return SignalTaken(
            saga_id=str(received.saga_id), signal_id=received.signal_id, new=received.is_new
        )

    return routes
