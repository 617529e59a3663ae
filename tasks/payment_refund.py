"""The work of a refund. Names are durable; see workflows/payment_refund.py for the story."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateways.payments import ProviderBusy, RefundAnswer, RefundRefused, RefundRequest, RefundStatus
from models import Order, OrderStatus, Payment, PaymentStatus, Refund, RefundState
from saga import (
    CannotTell,
    DidNotHappen,
    Forward,
    Happened,
    IdempotencyKey,
    PollAgain,
    Refused,
    TryAgain,
    external,
    probe,
    transactional,
    transactional_compensation,
)
from settings import settings
from tasks.doors import payment_gateway

_POLL = timedelta(seconds=settings.payment_refund_poll_seconds)


def _locked_payment(state: RefundState, session: Session) -> Payment:
    found = session.scalar(select(Payment).where(Payment.id == state.payment_id).with_for_update())
    if found is None:
        raise Refused(f"payment {state.payment_id} does not exist", code="PAYMENT_NOT_FOUND")
    return found


def _locked_order(state: RefundState, session: Session) -> Order:
    found = session.scalar(select(Order).where(Order.id == state.order_id).with_for_update())
    if found is None:
        raise Refused(f"order {state.order_id} does not exist", code="ORDER_NOT_FOUND")
    return found


def _expect(payment: Payment, *expected: PaymentStatus) -> None:
    """Refuse to move a payment that somebody else moved meanwhile: a person must look."""
    if payment.status not in expected:
        raise Refused(
            f"payment {payment.id} is {payment.status}, not {' or '.join(expected)}: somebody "
            "moved it while it was being refunded",
            code="UNEXPECTED_STATUS",
        )


@transactional("payment_refund.set_refunding_status")
def set_refunding_status(state: RefundState, session: Session) -> RefundState:
    """Take the payment: success → refunding. Refused when it is not refundable any more."""
    payment = _locked_payment(state, session)
    if payment.status != PaymentStatus.SUCCESS:
        raise Refused(
            f"payment {payment.id} is {payment.status}; only success can be refunded",
            code="NOT_REFUNDABLE",
        )
    if state.amount_minor > payment.left_minor:
        raise Refused(
            f"only {payment.left_minor} of payment {payment.id} is left to refund, in minor units",
            code="OVER_AMOUNT",
        )
    payment.status = PaymentStatus.REFUNDING
    return state


@transactional_compensation("payment_refund.restore_payment_status")
def restore_payment_status(state: RefundState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the row alone
    """Give the payment back: refunding → success."""
    payment = _locked_payment(state, session)
    _expect(payment, PaymentStatus.REFUNDING)
    payment.status = PaymentStatus.SUCCESS


@external("payment_refund.call_provider_refund")
def call_provider_refund(state: RefundState, key: IdempotencyKey) -> RefundState | PollAgain:
    """Let the provider refund; the same key is the same refund, also when asked again."""
    request = RefundRequest(
        refund_no=key,
        payment_no=state.payment_no,
        payment_minor=state.payment_minor,
        amount_minor=state.amount_minor,
        currency=state.currency,
        reason=state.reason,
    )
    try:
        answer = payment_gateway(state.method).refund(request)
    except RefundRefused as refused:
        raise Refused(refused.message, code=refused.code) from refused
    except ProviderBusy as busy:
        raise TryAgain(str(busy), after=busy.after) from busy
    match answer.status:
        case RefundStatus.SUCCESS:
            return _refunded(state, answer)
        case RefundStatus.CLOSED:
            raise Refused("the provider closed the refund", code="CLOSED")
        case RefundStatus.PROCESSING | RefundStatus.ABNORMAL:
            return PollAgain(after=_POLL, reason=f"the provider says {answer.status}")


@probe("payment_refund.find_provider_refund")
def find_provider_refund(
    state: RefundState, key: IdempotencyKey
) -> Happened[RefundState] | DidNotHappen | CannotTell:
    """Ask the provider what became of the refund."""
    answer = payment_gateway(state.method).find_refund(key, payment_no=state.payment_no)
    if answer is None or answer.status is RefundStatus.CLOSED:
        return DidNotHappen()
    if answer.status is RefundStatus.SUCCESS:
        return Happened(_refunded(state, answer))
    return CannotTell(f"the provider says {answer.status}")


def vouched_refund(state: RefundState, key: IdempotencyKey) -> RefundState:
    """What the provider's confirmation would have left, when a person vouches for the refund."""
    return state.model_copy(update={"refund_no": key, "answer": {"vouched": "by a person"}})


def _refunded(state: RefundState, answer: RefundAnswer) -> RefundState:
    return state.model_copy(update={"refund_no": answer.refund_no, "answer": answer.raw})


@transactional("payment_refund.update_payment_status")
def update_payment_status(state: RefundState, session: Session) -> RefundState:
    """Book the refund: refunding → success, or refunded when nothing is left."""
    payment = _locked_payment(state, session)
    _expect(payment, PaymentStatus.REFUNDING)
    session.add(
        Refund(
            refund_no=state.refund_no,
            payment_id=payment.id,
            amount_minor=state.amount_minor,
            reason=state.reason,
            answer=state.answer,
        )
    )
    payment.refunded_minor += state.amount_minor
    payment.refund_reason = state.reason
    payment.refunded_at = func.now()
    payment.status = PaymentStatus.SUCCESS if payment.left_minor else PaymentStatus.REFUNDED
    return state


@transactional_compensation("payment_refund.reopen_payment")
def reopen_payment(state: RefundState, session: Session, forward: Forward) -> None:
    """Take the booking back, once a person made sure that the money is with us again."""
    payment = _locked_payment(state, session)
    booked = session.get(Refund, state.refund_no or forward.key)
    if booked is not None:
        session.delete(booked)
        payment.refunded_minor -= booked.amount_minor
        payment.status = PaymentStatus.REFUNDING


@transactional("payment_refund.update_order_status")
def update_order_status(state: RefundState, session: Session) -> RefundState:
    """Mark the order refunded once nothing is left of its payment; else leave it."""
    payment = _locked_payment(state, session)
    if payment.status == PaymentStatus.REFUNDED:
        order = _locked_order(state, session)
        if order.status not in {OrderStatus.PAID, OrderStatus.COMPLETED}:
            raise Refused(
                f"order {order.id} is {order.status}; only paid or completed can become refunded",
                code="UNEXPECTED_STATUS",
            )
        order.status_before_refund = order.status
        order.status = OrderStatus.REFUNDED
        order.refunded_at = func.now()
    return state


@transactional_compensation("payment_refund.reopen_order")
def reopen_order(state: RefundState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the row alone
    """Put the order back to what it was before the refund."""
    order = _locked_order(state, session)
    if order.status == OrderStatus.REFUNDED and order.status_before_refund is not None:
        order.status, order.status_before_refund = order.status_before_refund, None
        order.refunded_at = None
