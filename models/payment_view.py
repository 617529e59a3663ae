"""A payment as all faces tell it: the HTTP API, the command line, the console."""

from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.money import decimal_text
from models.payment import Payment


class PaymentView(BaseModel):
    """A payment; in JSON its names are camelCase (``model_dump(by_alias=True)``).

    Amounts are text with two decimals.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    id: str
    payment_no: str
    order_id: str
    user_id: str
    method: str
    currency: str
    amount: str
    refunded_amount: str
    status: str

    @classmethod
    def of(cls, payment: Payment) -> Self:
        return cls(
            id=payment.id,
            payment_no=payment.payment_no,
            order_id=payment.order_id,
            user_id=payment.user_id,
            method=payment.method,
            currency=payment.currency,
            amount=decimal_text(payment.amount_minor),
            refunded_amount=decimal_text(payment.refunded_minor),
            status=payment.status,
        )
