"""``GET /api/audit``: what was done, and what was refused."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from saga.access import Permission
from saga.access.audit import MOST, list_audit
from saga.api.caller import needs
from saga.api.problems import answers
from saga.api.shapes import AuditPage
from saga.engine import Engine


def router(engine: Engine) -> APIRouter:
    """The audit, read only."""
    routes = APIRouter(tags=["audit"])

    @routes.get(
        "/api/audit",
        response_model=AuditPage,
        responses=answers(422),
        dependencies=[needs(Permission.AUDIT)],
    )
    def show_audit(
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        cursor: Annotated[str | None, Query(description="nextCursor of the page before.")] = None,
    ) -> dict[str, Any]:
        """What operators did, keys that were made and revoked, and every refusal; newest first."""
        with engine.database.connect() as connection:
            return list_audit(connection, limit=limit, cursor=cursor)

    return routes
