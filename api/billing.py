"""Producers' endpoints for money."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Path
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy.orm import Session

from api.ids import readable, shown
from models import Payment, PaymentView
from saga import Engine
from saga.access import Permission
from saga.api import Caller, ExactRoute, answers, needs
from saga.outbox import LATER
from workflows import PaymentNotFound, RefundInput, RefundTerms, refund, request_refund

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key and body give the same saga; another body is refused.",
    ),
]


class RefundAccepted(BaseModel):
    """The refund is under way in this saga; ``payment`` is the record as it is now."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    saga_id: str
    payment: PaymentView


def router(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["billing"], route_class=ExactRoute)

    @routes.post(
        "/api/billing/payments/{paymentId}/refund",
        status_code=202,
        responses=answers(404, 409, 413, 422),
        dependencies=[needs(Permission.START)],
        openapi_extra={"x-saga-type": refund.name},
    )
    def refund_payment(
        payment_id: Annotated[str, Path(alias="paymentId")],
        terms: RefundTerms,
        principal: Caller,
        tasks: BackgroundTasks,
        idempotency_key: IdempotencyKey = None,
    ) -> RefundAccepted:
        """Start a refund. It is done when its saga is COMPLETED.

        409 when the payment cannot be refunded as it is, or is being refunded already; then
        ``sagaId`` names the refund that is under way.
        """
        if not readable(payment_id):
            raise PaymentNotFound(shown(payment_id))
        asked = RefundInput(payment_id=payment_id, amount=terms.amount, reason=terms.reason)
        # The broker is told after the answer: whoever asked does not wait for that.
        info = {**principal.info, LATER: tasks.add_task}
        # Read before the commit, so that a start is one transaction.
        with (
            Session(engine.database, expire_on_commit=False, info=info) as session,
            session.begin(),
        ):
            # Held here, so that the session does not read it again.
            payment = session.get(Payment, payment_id)
            started = request_refund(engine, session, asked, idempotency_key)
            assert payment is not None, "a refund of it was started"
            view = PaymentView.of(payment)
        return RefundAccepted(saga_id=str(started.saga_id), payment=view)

    return routes
