"""The provider's rules: which refund it does, and which it has done already."""

from gateways.payments.gateway import RefundStatus
from gateways.payments.sandbox.entries import ALIPAY, Payment, Refund, RefundOrder, Rejection


def is_same(order: RefundOrder, found: Refund) -> bool:
    """Tell whether an order asks for the refund that its number already has."""
    asked = (order.method, order.payment_no, order.amount_minor)
    return asked == (found.method, found.payment_no, found.amount_minor) and (
        order.payment_minor in (None, found.payment_minor)
    )


def is_over(found: Refund) -> bool:
    """Tell whether the number may be asked for anew: with Alipay, after a refund that failed.

    WeChat Pay wants a new number then.
    """
    return found.status is RefundStatus.CLOSED and found.method == ALIPAY


def rejection(order: RefundOrder, payment: Payment | None, *, taken_minor: int) -> Rejection | None:
    """Say why a new refund is not done; None: it is. `taken_minor` has left or is on its way."""
    if payment is None or payment.method != order.method:
        return Rejection.UNKNOWN_PAYMENT
    if order.payment_minor not in (None, payment.amount_minor):
        return Rejection.OTHER_TOTAL
    if order.amount_minor > payment.amount_minor - taken_minor:
        return Rejection.TOO_MUCH
    return None
