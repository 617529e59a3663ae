"""What a refund remembers between its steps."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class RefundState(BaseModel):
    """A refund of ``amount_minor`` out of a payment of ``payment_minor``, in minor units (fen).

    ``refund_no`` and ``answer`` are the provider's, once it confirmed.
    """

    model_config = ConfigDict(frozen=True)

    payment_id: str
    payment_no: str
    order_id: str
    user_id: str
    method: str
    currency: str
    payment_minor: int
    amount_minor: int
    reason: str
    refund_no: str | None = None
    answer: dict[str, Any] | None = None
