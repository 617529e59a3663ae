"""What stands in the provider's books, what it is asked for, and what it says to a request."""

from dataclasses import dataclass
from enum import StrEnum

from gateways.payments.gateway import RefundStatus
from gateways.payments.money import from_minor

WECHAT = "wechat"
ALIPAY = "alipay"
TOLD = "the sandbox was told to refuse"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A payment that the provider took; `notify_url` is where its merchant wants to be told."""

    payment_no: str
    amount_minor: int
    method: str
    notify_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class RefundOrder:
    """A refund as a merchant asks for it.

    `payment_minor` is what it believes was paid, None where it did not say; `notify_url` is where
    it wants to be told, None for where the payment says.
    """

    method: str
    refund_no: str
    payment_no: str
    amount_minor: int
    reason: str = ""
    payment_minor: int | None = None
    notify_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refund:
    """A refund as it stands; times are seconds since 1970.

    `new` is said to who asked for it first; `number` is the provider's own.
    """

    number: int
    refund_no: str
    payment_no: str
    method: str
    payment_minor: int
    amount_minor: int
    status: RefundStatus
    requests: int
    created_at: float
    done_at: float | None
    new: bool = False

    def as_json(self) -> dict[str, str]:
        return {
            "refundNo": self.refund_no,
            "paymentNo": self.payment_no,
            "amount": from_minor(self.amount_minor),
            "status": self.status.value,
        }


class Rejection(StrEnum):
    """The provider says no; nothing was done."""

    UNKNOWN_PAYMENT = "unknown payment"
    ANOTHER_REFUND = "another refund has this number"
    OTHER_TOTAL = "another amount was paid"
    TOO_MUCH = "more than is left"
    REFUSED = "not allowed"
    NOT_ENOUGH = "not enough money in the merchant's account"
    BUSY = "too many requests"


class Trouble(StrEnum):
    """An answer that proves nothing."""

    ERROR = "a system error"
    CUT = "the connection is cut"
    NONSENSE = "nonsense"


@dataclass(frozen=True)
class Callback:
    """What is to be told: `event_id` stays the same until somebody listened.

    `refunded_minor` is what the payment's refunds come to.
    """

    refund: Refund
    url: str
    event_id: str
    refunded_minor: int
