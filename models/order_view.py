"""An order as all faces tell it."""

from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.money import decimal_text
from models.order import Order


class OrderView(BaseModel):
    """An order; in JSON its names are camelCase. ``amount`` is text with two decimals."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    id: str
    user_id: str
    currency: str
    amount: str
    status: str

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls(
            id=order.id,
            user_id=order.user_id,
            currency=order.currency,
            amount=decimal_text(order.amount_minor),
            status=order.status,
        )
