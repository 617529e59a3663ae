"""``POST /api/sagas/{sagaId}/signals/{name}``."""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from saga import views
from saga.api.exact import ExactRoute
from saga.api.interventions import ACTOR
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
    )
    def send_signal(
        saga_id: Annotated[str, Path(alias="sagaId")],
        name: Annotated[str, Path(max_length=_LONGEST_NAME)],
        asked: SignalAsked,
    ) -> SignalTaken:
        """Tell a saga something; early or late is the same, and the same id is taken once."""
        key = views.identified(saga_id)
        with Session(engine.database) as session, session.begin():
            received = engine.signal(
                session, key, name, asked.payload, signal_id=asked.signal_id, actor=ACTOR
            )
        return SignalTaken(
            saga_id=str(received.saga_id), signal_id=received.signal_id, new=received.is_new
        )

    return routes
