"""What a provider's callback does to the refund that it tells of."""

from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from gateways.payments import RefundAnswer, RefundNotice, RefundStatus
from models import RefundNotified
from saga import Engine, IdempotencyKey, queries
from saga.errors import BadSignal, SagaIsOver
from saga.position import Status
from saga.row import Row
from tasks.payment_refund import call_provider_refund, refund_notified

log = structlog.get_logger("refunds")

Ask = Callable[[], RefundAnswer | None]
# By its own question; or it knows it already.
_LEARNS_BY_ITSELF = {Status.RUNNING, Status.COMPLETED}


def take_notice(engine: Engine, notice: RefundNotice, *, method: str, ask: Ask) -> None:
    """Let a refund's saga hear of a callback that was verified; a second time does nothing.

    A saga at work takes it as a signal. One that went back, has failed, or asks under a new number
    by now, is told when the money left after all: ``ask`` asks the provider where the notice does
    not say so. What is of no saga here is logged and left. Raises what Engine.signal and
    Engine.late_success raise, and what ``ask`` does: then it is to come again.
    """
    # As they are written in Python: who is genuine may still send what upsets a log.
    told = log.bind(
        provider=method, refund_no=ascii(notice.refund_no), event_id=ascii(notice.event_id)
    )
    row = _saga_of(engine, notice)
    if row is None:
        told.warning("callback of a refund that no saga here asked for")
        return
    if notice.status is not None and notice.amount_minor != row.state["amount_minor"]:
        told.warning("callback of another amount", amount_minor=notice.amount_minor)
    # Before the transaction, which must not wait for a provider.
    left = _left(row, notice, ask)
    with Session(engine.database) as session, session.begin():
        if left:
            # First: then a saga that was over is FAILED, and takes the signal once and for all.
            engine.late_success(session, row.saga_id, key=notice.refund_no, actor=method)
        _signal(engine, session, row, notice, method)
    told.info("callback taken", status=row.status)


def _saga_of(engine: Engine, notice: RefundNotice) -> Row | None:
    saga_id = IdempotencyKey.saga_id(notice.refund_no)
    if saga_id is None:
        return None
    with Session(engine.database) as session:
        row = queries.look(session.connection(), saga_id)
    if row is None or row.step_of(notice.refund_no, [call_provider_refund.name]) is None:
        return None
    return row


def _left(row: Row, notice: RefundNotice, ask: Ask) -> bool:
    """Whether the money left, as far as its saga would not learn that by itself."""
    if notice.status is not None:
        return notice.status is RefundStatus.SUCCESS
    is_current = notice.refund_no == row.key_of(call_provider_refund.name)
    if is_current and row.status in _LEARNS_BY_ITSELF:
        return False
    found = ask()
    return found is not None and found.status is RefundStatus.SUCCESS


def _signal(engine: Engine, session: Session, row: Row, notice: RefundNotice, method: str) -> None:
    payload = RefundNotified(
        refund_no=notice.refund_no, status=None if notice.status is None else notice.status.value
    )
    try:
        engine.signal(
            session,
            row.saga_id,
            refund_notified.name,
            payload,
            signal_id=f"{method}:{notice.event_id}",
            actor=method,
        )
    except SagaIsOver:
        pass  # It needs to hear no more.
    except BadSignal as odd:
        # An event that came before says something else now, or has no id that can be kept. Told
        # again it would be the same; the refund is polled all the same.
        log.warning("callback that cannot be kept", provider=method, why=str(odd))
