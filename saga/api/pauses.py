"""``/api/pauses``: whole saga types, or one step of them, of which nothing is begun."""

from typing import Any

from fastapi import APIRouter

from saga import views
from saga.access import Permission
from saga.api.caller import Caller, needs
from saga.api.exact import JsonRoute
from saga.api.interventions import operator_of
from saga.api.problems import answers
from saga.api.shapes import PauseAsked, PauseList, PauseSet
from saga.engine import Engine


def router(engine: Engine) -> APIRouter:
    """Pauses that are there, and the two ways to change that."""
    routes = APIRouter(tags=["operators"], route_class=JsonRoute)
    acts = [needs(Permission.ACT)]

    @routes.get(
        "/api/pauses",
        response_model=PauseList,
        responses=answers(),
        dependencies=[needs(Permission.SEE)],
    )
    def list_pauses() -> dict[str, Any]:
        """All that are there now, the oldest first."""
        with engine.database.connect() as connection:
            return views.list_pauses(connection)

    @routes.post(
        "/api/pauses", status_code=202, responses=answers(409, 413, 422), dependencies=acts
    )
    def pause(asked: PauseAsked, principal: Caller) -> PauseSet:
        """Let nothing be begun for a saga type, or at one step of it."""
        operator = operator_of(engine, principal)
        operator.pause_type(asked.saga_type, step=asked.step, reason=asked.reason)
        return PauseSet(saga_type=asked.saga_type, step=asked.step, paused=True)

    @routes.delete(
        "/api/pauses", status_code=202, responses=answers(409, 413, 422), dependencies=acts
    )
    def resume(asked: PauseAsked, principal: Caller) -> PauseSet:
        """End such a pause; its sagas go on from where they stand."""
        operator = operator_of(engine, principal)
        operator.resume_type(asked.saga_type, step=asked.step, reason=asked.reason)
        return PauseSet(saga_type=asked.saga_type, step=asked.step, paused=False)

    return routes
