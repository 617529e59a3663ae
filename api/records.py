"""``GET`` of the records that producers own."""

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from api.ids import readable, shown
from models import Order, OrderView, Payment, PaymentView
from saga import Engine, NotFound
from saga.access import Permission
from saga.api import answers, needs
from workflows import PaymentNotFound


class OrderNotFound(NotFound):
    """No order has this id."""

    field = "id"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"no order has the id {order_id!r}")


def router(engine: Engine) -> APIRouter:
    routes = APIRouter(tags=["records"])
    reads = [needs(Permission.READ)]

    @routes.get("/api/payments/{id}", responses=answers(404), dependencies=reads)
    def show_payment(payment_id: Annotated[str, Path(alias="id")]) -> PaymentView:
        """A payment as it is now."""
        with Session(engine.database) as session:
            payment = session.get(Payment, payment_id) if readable(payment_id) else None
            if payment is None:
                raise PaymentNotFound(shown(payment_id))
            return PaymentView.of(payment)

    @routes.get("/api/orders/{id}", responses=answers(404), dependencies=reads)
    def show_order(order_id: Annotated[str, Path(alias="id")]) -> OrderView:
        """An order as it is now."""
        with Session(engine.database) as session:
            order = session.get(Order, order_id) if readable(order_id) else None
            if order is None:
                raise OrderNotFound(shown(order_id))
            return OrderView.of(order)

    return routes
