"""What a provider's callback does to the refund that it tells of."""

from collections.abc import Callable
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from gateways.payments import RefundAnswer, RefundNotice, RefundStatus
from models import RefundNotified
from saga import Engine, IdempotencyKey, views
from saga.errors import SagaIsOver, SagaNotFound
from tasks.payment_refund import refund_notified

log = structlog.get_logger("refunds")

Ask = Callable[[], RefundAnswer | None]


def take_notice(engine: Engine, notice: RefundNotice, *, method: str, ask: Ask) -> None:
    """Let a refund's saga hear of a callback that was verified; a second time does nothing.

    A saga at work takes it as a signal. One that went back, or failed, is told when the money left
    after all: ``ask`` asks the provider where the notice does not say so. What is of no saga here
    is logged and left. Raises what Engine.signal and Engine.late_success raise, and what ``ask``
    does: then it is to come again.
    """
    told = log.bind(provider=method, refund_no=notice.refund_no, event_id=notice.event_id)
    saga_id = IdempotencyKey.saga_id(notice.refund_no)
    if saga_id is None or not _signal(engine, saga_id, notice, method):
        told.warning("callback of a refund that no saga here asked for")
        return
    with Session(engine.database) as session:
        status = views.one(session.connection(), saga_id)["status"]
    told.info("callback taken", status=status)
    if status in {"RUNNING", "COMPLETED"} or not _left(notice, ask):
        return
    with Session(engine.database) as session, session.begin():
        engine.late_success(session, saga_id, key=notice.refund_no, actor=method)


def _signal(engine: Engine, saga_id: UUID, notice: RefundNotice, method: str) -> bool:
    """Write the notice down for its saga, once. False: there is no such saga."""
    payload = RefundNotified(
        refund_no=notice.refund_no, status=None if notice.status is None else notice.status.value
    )
    try:
        with Session(engine.database) as session, session.begin():
            engine.signal(
                session,
                saga_id,
                refund_notified.name,
                payload,
                signal_id=f"{method}:{notice.event_id}",
                actor=method,
            )
    except SagaNotFound:
        return False
    except SagaIsOver:
        pass  # It takes no signals; a late success it does hear of.
    return True


def _left(notice: RefundNotice, ask: Ask) -> bool:
    """Whether the money left, by the notice or else by the provider's answer."""
    if notice.status is not None:
        return notice.status is RefundStatus.SUCCESS
    found = ask()
    return found is not None and found.status is RefundStatus.SUCCESS
