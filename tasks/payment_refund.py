"""The work of a refund. Names are durable; see workflows/payment_refund.py for the story."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.payments import (
    NumberReused,
    PersonNeeded,
    ProviderBusy,
    RefundAnswer,
    RefundRefused,
    RefundRequest,
    RefundStatus,
)
from models import (
    Order,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundNotified,
    RefundState,
    decimal_text,
)
from saga import (
    DidNotHappen,
    Effect,
    Forward,
    Happened,
    IdempotencyKey,
    NeedsPerson,
    PollAgain,
    Refused,
    TryAgain,
    external,
    on_signal,
    probe,
    transactional,
    transactional_compensation,
)
from tasks.doors import NoSuchDoor, notify_url, payment_gateway


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


@on_signal("refund_notified", RefundNotified)
def refund_notified(state: RefundState, told: RefundNotified) -> RefundState:  # noqa: ARG001 - it wakes, and the provider is asked
    """A callback ends the wait for the provider's final word; that word itself is asked for."""
    return state


STILL_AT_IT = PollAgain(
    signal=refund_notified.name, reason="the provider has it, and is still at it"
)


@external("payment_refund.call_provider_refund")
def call_provider_refund(state: RefundState, key: IdempotencyKey) -> RefundState | PollAgain:
    """Let the provider refund; the same key is the same refund, also when asked again.

    Asked again, both providers answer with the refund as it stands: that is how it is polled.
    """
    request = RefundRequest(
        refund_no=key,
        payment_no=state.payment_no,
        payment_minor=state.payment_minor,
        amount_minor=state.amount_minor,
        currency=state.currency,
        reason=state.reason,
        notify_url=notify_url(state.method),
    )
    with _understood(state):
        answer = payment_gateway(state.method).refund(request)
    match answer.status:
        case RefundStatus.SUCCESS:
            return _refunded(state, answer)
        case RefundStatus.PROCESSING:
            return STILL_AT_IT
        case RefundStatus.CLOSED:
            raise NeedsPerson(
                f"the provider closed refund {key}, and no money left: retry to ask for it under a "
                "new number, or compensate",
                effect=Effect.NOT_DONE,
                code="CLOSED",
            )
        case RefundStatus.ABNORMAL:
            raise _abnormal(key)


@probe("payment_refund.find_provider_refund")
def find_provider_refund(
    state: RefundState, key: IdempotencyKey
) -> Happened[RefundState] | DidNotHappen | PollAgain:
    """Ask the provider what became of the refund."""
    with _understood(state):
        answer = payment_gateway(state.method).find_refund(key, payment_no=state.payment_no)
    if answer is None:
        return DidNotHappen()
    if answer.amount_minor != state.amount_minor:
        raise _another(state, NumberReused(answer.refund_no, answer.amount_minor))
    match answer.status:
        case RefundStatus.SUCCESS:
            return Happened(_refunded(state, answer))
        case RefundStatus.CLOSED:
            return DidNotHappen()
        case RefundStatus.PROCESSING:
            return STILL_AT_IT
        case RefundStatus.ABNORMAL:
            raise _abnormal(key)


@contextmanager
def _understood(state: RefundState) -> Iterator[None]:
    """What a gateway raises, in the engine's words; what is not among them leaves it unknown."""
    try:
        yield
    except RefundRefused as refused:
        raise Refused(refused.message, code=refused.code) from refused
    except ProviderBusy as busy:
        raise TryAgain(str(busy), after=busy.after) from busy
    except PersonNeeded as needed:
        raise NeedsPerson(needed.advice, effect=Effect.NOT_STARTED, code=needed.code) from needed
    except NumberReused as reused:
        raise _another(state, reused) from reused
    except (NoSuchDoor, AccountFaulty) as missing:
        raise NeedsPerson(
            f"{missing}; start the workers anew, then retry",
            effect=Effect.NOT_STARTED,
            code="NOT_SET_UP",
        ) from missing


def _another(state: RefundState, reused: NumberReused) -> NeedsPerson:
    return NeedsPerson(
        f"the provider has another refund under number {reused.refund_no}: of "
        f"{decimal_text(reused.amount_minor)} and not of {decimal_text(state.amount_minor)}, or of "
        "another payment. Find out who asked for it; then resolve the saga by what really left",
        code="NUMBER_REUSED",
    )


def _abnormal(key: IdempotencyKey) -> NeedsPerson:
    return NeedsPerson(
        f"the money of refund {key} is parked at the provider, as the account that it should go to "
        "does not take it: let it go elsewhere on the provider's merchant pages, then retry; the "
        "provider is asked under the same number",
        effect=Effect.UNKNOWN,
        code="ABNORMAL",
    )


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
