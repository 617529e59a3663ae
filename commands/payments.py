"""Payments as if customers had made them, in our tables and in the sandbox provider's books."""

from collections.abc import Sequence
from uuid import uuid4

import httpx
from sqlalchemy import Engine, insert

from models import Order, OrderStatus, Payment, PaymentMethod, PaymentStatus, PaymentView
from models.base import new_id

_TOLD_AT_ONCE = 5_000
_PATIENCE_SECONDS = 30


class SandboxAway(Exception):
    """The sandbox provider does not answer, or not as it should."""


def make_payments(
    database: Engine,
    *,
    sandbox_url: str | None,
    count: int,
    amount_minor: int,
    method: PaymentMethod,
    api_url: str | None = None,
) -> list[PaymentView]:
    """Make successful payments of paid orders, all or none of them.

    The provider knows them first: a payment that it never heard of could not be refunded. Money
    in the wallet needs no provider. `api_url` is where the provider reaches our API: an Alipay
    payment says when it is made where its refunds are told. Raises SandboxAway.
    """
    payments = [_payment(amount_minor, method) for _ in range(count)]
    if method is not PaymentMethod.BALANCE:
        _tell(sandbox_url, payments, api_url)
    with database.begin() as connection:
        connection.execute(insert(Order), [_order(payment) for payment in payments])
        connection.execute(insert(Payment), [_row(payment) for payment in payments])
    return [PaymentView.of(payment) for payment in payments]


def _payment(amount_minor: int, method: PaymentMethod) -> Payment:
    return Payment(
        id=new_id(),
        payment_no=f"PAY{uuid4().int % 10**20:020d}",
        order_id=new_id(),
        user_id=new_id(),
        method=method.value,
        currency="CNY",
        amount_minor=amount_minor,
        refunded_minor=0,
        status=PaymentStatus.SUCCESS.value,
    )


def _row(payment: Payment) -> dict[str, object]:
    names = ("id", "payment_no", "order_id", "user_id", "method", "currency")
    amounts = ("amount_minor", "refunded_minor", "status")
    return {name: getattr(payment, name) for name in (*names, *amounts)}


def _order(payment: Payment) -> dict[str, object]:
    return {
        "id": payment.order_id,
        "user_id": payment.user_id,
        "currency": payment.currency,
        "amount_minor": payment.amount_minor,
        "status": OrderStatus.PAID.value,
    }


def _tell(sandbox_url: str | None, payments: Sequence[Payment], api_url: str | None) -> None:
    if sandbox_url is None:
        raise SandboxAway("the sandbox provider is not set up: set SANDBOX_URL, or run: saga up")
    with httpx.Client(base_url=sandbox_url, timeout=_PATIENCE_SECONDS, trust_env=False) as client:
        for first in range(0, len(payments), _TOLD_AT_ONCE):
            told = payments[first : first + _TOLD_AT_ONCE]
            notices = [_notice(payment, api_url) for payment in told]
            try:
                client.post("/control/payments", json={"payments": notices}).raise_for_status()
            except httpx.HTTPError as error:
                said = f"the sandbox provider at {sandbox_url} did not take the payments: {error}"
                raise SandboxAway(said) from error


def _notice(payment: Payment, api_url: str | None) -> dict[str, str]:
    view = PaymentView.of(payment)
    notice = {"paymentNo": view.payment_no, "amount": view.amount, "method": view.method}
    if api_url is None or payment.method != PaymentMethod.ALIPAY:
        return notice
    return notice | {"notifyUrl": f"{api_url.rstrip('/')}/api/webhooks/alipay"}
