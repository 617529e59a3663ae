"""``POST /api/sagas/{sagaId}/{action}``: what operators do; and a preview of going back."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path

from saga import bulk, views
from saga.access import Permission, Principal
from saga.api.caller import Caller, needs
from saga.api.exact import ExactRoute
from saga.api.problems import answers
from saga.api.shapes import Asked, PreviewShape, Resolution, SagaShape
from saga.engine import Engine
from saga.operator import Operator
from saga.position import Intervention

_MEANINGS = {
    Intervention.RETRY: "Try what is in hand now; of a FAILED saga with fresh attempts and time.",
    Intervention.COMPENSATE: "Take back all that a FAILED saga did, past the pivot too.",
    Intervention.CANCEL: "Let a RUNNING saga go back; a call in hand ends first.",
    Intervention.PAUSE: "Let nothing be begun for the saga; a call in hand ends first.",
    Intervention.RESUME: "Let a paused saga go on from where it stands.",
}


def router(engine: Engine) -> APIRouter:
    """One route an action, each answered with the saga as it is after it."""
    routes = APIRouter(tags=["operators"], route_class=ExactRoute)

    @routes.get(
        "/api/sagas/{sagaId}/compensate/preview",
        response_model=PreviewShape,
        responses=answers(404),
        dependencies=[needs(Permission.SEE)],
    )
    def preview_of_going_back(
        saga_id: Annotated[str, Path(alias="sagaId")], principal: Caller
    ) -> dict[str, Any]:
        """What would run if the saga were compensated now, or cancelled where it is RUNNING."""
        with engine.database.connect() as connection:
            masked = not principal.sees_all
            return views.show_preview(connection, engine.registry, saga_id, masked=masked)

    for what, meaning in _MEANINGS.items():
        routes.add_api_route(
            f"/api/sagas/{{sagaId}}/{what}",
            _endpoint(engine, what),
            methods=["POST"],
            name=f"{what}_saga",
            description=meaning,
            status_code=202,
            response_model=SagaShape,
            responses=answers(404, 409, 413, 422),
            dependencies=[needs(Permission.ACT)],
        )

    @routes.post(
        "/api/sagas/{sagaId}/resolve",
        status_code=202,
        response_model=SagaShape,
        responses=answers(404, 409, 413, 422),
        dependencies=[needs(Permission.ACT)],
    )
    def resolve_saga(
        saga_id: Annotated[str, Path(alias="sagaId")], asked: Resolution, principal: Caller
    ) -> dict[str, Any]:
        """Write down what a person found out about a FAILED saga's step, or about all of it."""
        key = views.identified(saga_id)
        operator_of(engine, principal).resolve(
            key,
            outcome=asked.outcome,
            evidence=asked.evidence,
            reason=asked.reason,
            step=asked.step,
            state=asked.state,
            version=asked.version,
        )
        return _told(engine, key)

    return routes


def operator_of(engine: Engine, principal: Principal) -> Operator:
    """Who acts for the one that calls."""
    return Operator(engine, actor=principal.name, role=principal.role)


def _endpoint(engine: Engine, what: Intervention) -> Callable[..., dict[str, Any]]:
    def act(
        saga_id: Annotated[str, Path(alias="sagaId")], asked: Asked, principal: Caller
    ) -> dict[str, Any]:
        key = views.identified(saga_id)
        does = bulk.act(operator_of(engine, principal), what, reason=asked.reason)
        does(key, asked.version)
        return _told(engine, key)

    return act


def _told(engine: Engine, saga_id: UUID) -> dict[str, Any]:
    with engine.database.connect() as connection:
        return views.one(connection, saga_id)
