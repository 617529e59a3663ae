"""Payments that customers made, in our tables alone: no provider has heard of them yet."""

from uuid import uuid4

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from models import Order, Payment

FULL = 100_00


def paid(
    database: Database,
    *,
    method: str = "wechat",
    minor: int = FULL,
    status: str = "success",
    payment_no: str | None = None,
) -> Payment:
    """A payment of `minor`, and its order, which is paid."""
    with Session(database, expire_on_commit=False) as session, session.begin():
        order = Order(user_id="user", amount_minor=minor, status="paid")
        session.add(order)
        session.flush()
        payment = Payment(
            payment_no=payment_no or f"PAY{uuid4().int}",
            order_id=order.id,
            user_id="user",
            method=method,
            amount_minor=minor,
            status=status,
        )
        session.add(payment)
    return payment
