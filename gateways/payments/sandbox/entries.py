"""What stands in the provider's books, and what the provider says to a request."""

from dataclasses import dataclass

from gateways.payments.gateway import RefundStatus
from gateways.payments.money import from_minor


@dataclass(frozen=True, kw_only=True)
class Payment:
    payment_no: str
    amount_minor: int
    method: str


@dataclass(frozen=True, kw_only=True)
class Refund:
    refund_no: str
    payment_no: str
    amount_minor: int
    status: RefundStatus
    requests: int

    def as_json(self) -> dict[str, str]:
        return {
            "refundNo": self.refund_no,
            "paymentNo": self.payment_no,
            "amount": from_minor(self.amount_minor),
            "status": self.status.value,
        }


@dataclass(frozen=True)
class Rejection:
    """The provider's rules say no; nothing was done."""

    http_status: int
    code: str
    message: str


@dataclass(frozen=True)
class Callback:
    refund: Refund
    url: str
