"""``/api/pauses``: whole saga types, or one step of them, of which nothing is begun."""

from typing import Any

from fastapi import APIRouter

from saga import views
from saga.api.exact import JsonRoute
from saga.api.interventions import ACTOR
from saga.api.problems import answers
from saga.api.shapes import PauseAsked, PauseList, PauseSet
from saga.engine import Engine
from saga.operator import Operator


def router(engine: Engine) -> APIRouter:
    """Pauses that are there, and the two ways to change that."""
    routes = APIRouter(tags=["operators"], route_class=JsonRoute)
    operator = Operator(engine, actor=ACTOR)

    @routes.get("/api/pauses", response_model=PauseList, responses=answers())
    def list_pauses() -> dict[str, Any]:
        """All that are there now, the oldest first."""
        with engine.database.connect() as connection:
            return views.list_pauses(connection)

    @routes.post("/api/pauses", status_code=202, responses=answers(409, 413, 422))
    def pause(asked: PauseAsked) -> PauseSet:
        """Let nothing be begun for a saga type, or at one step of it."""
        operator.pause_type(asked.saga_type, step=asked.step, reason=asked.reason)
        return PauseSet(saga_type=asked.saga_type, step=asked.step, paused=True)

    @routes.delete("/api/pauses", status_code=202, responses=answers(409, 413, 422))
    def resume(asked: PauseAsked) -> PauseSet:
        """End such a pause; its sagas go on from where they stand."""
        operator.resume_type(asked.saga_type, step=asked.step, reason=asked.reason)
        return PauseSet(saga_type=asked.saga_type, step=asked.step, paused=False)

    return routes
