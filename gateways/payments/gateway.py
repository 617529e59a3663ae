"""What every payment provider can do for us, and how it says no.

Three things can come of a call, and the caller must keep them apart:

* an answer: the provider has it, in the status given;
* `RefundRefused`, `ProviderBusy`, `PersonNeeded`: the provider's word that this call did nothing;
* **any other exception**: nobody knows whether the money left. Ask `find_refund`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Protocol


class RefundStatus(StrEnum):
    """Where a refund stands at the provider."""

    SUCCESS = "SUCCESS"
    PROCESSING = "PROCESSING"
    """Accepted, not final: ask again later."""
    CLOSED = "CLOSED"
    """Ended without the money leaving; another try needs a new number."""
    ABNORMAL = "ABNORMAL"
    """The money is parked at the provider; a person must act. Not final."""


@dataclass(frozen=True, kw_only=True)
class RefundRequest:
    """One refund. The same `refund_no` is the same refund, however often it is asked for.

    `amount_minor` is to go back of a payment of `payment_minor`, both in minor units (fen).
    `notify_url` is where the provider is to call back, if it can.
    """

    refund_no: str
    payment_no: str
    payment_minor: int
    amount_minor: int
    currency: str
    reason: str
    notify_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class RefundAnswer:
    """A refund as the provider has it now; `raw` is its answer word for word."""

    refund_no: str
    status: RefundStatus
    amount_minor: int
    raw: dict[str, Any]

    def answering(self, request: RefundRequest) -> "RefundAnswer":
        """Return this very answer. Raises NumberReused if it has another amount than `request`."""
        if self.amount_minor != request.amount_minor:
            raise NumberReused(self.refund_no, self.amount_minor)
        return self


class RefundRefused(Exception):
    """The provider's final word: this call did not refund and never will.

    It speaks for this call only; an earlier one with the same number may have refunded.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the provider refused the refund: {code}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["RefundRefused"], tuple[str, str]]:
        """Keep the fields when the error travels between processes."""
        return type(self), (self.code, self.message)


class ProviderBusy(Exception):
    """The provider did nothing and asks to be called again after `after`."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"the provider is busy; call again in {after.total_seconds():g} s")
        self.after = after

    def __reduce__(self) -> tuple[type["ProviderBusy"], tuple[timedelta]]:
        """Keep the field when the error travels between processes."""
        return type(self), (self.after,)


class PersonNeeded(Exception):
    """The provider did nothing, and will not until a person has acted; `advice` says on what.

    Afterwards the same refund is asked for again, with the same number.
    """

    def __init__(self, code: str, message: str, *, advice: str) -> None:
        super().__init__(f"the provider needs a person to act: {code}: {message}")
        self.code = code
        self.message = message
        self.advice = advice

    def __reduce__(self) -> tuple[Callable[..., "PersonNeeded"], tuple[str, str]]:
        """Keep the fields when the error travels between processes."""
        return partial(type(self), advice=self.advice), (self.code, self.message)


class NumberReused(Exception):
    """The number is another refund's at the provider: of `amount_minor`, or of another payment.

    Nobody knows what this refund came to under it: a person must look.
    """

    def __init__(self, refund_no: str, amount_minor: int) -> None:
        super().__init__(
            f"the provider has another refund under number {refund_no}, of {amount_minor} in minor "
            "units"
        )
        self.refund_no = refund_no
        self.amount_minor = amount_minor

    def __reduce__(self) -> tuple[type["NumberReused"], tuple[str, int]]:
        """Keep the fields when the error travels between processes."""
        return type(self), (self.refund_no, self.amount_minor)


class UnexpectedAnswer(Exception):
    """The provider answered something that proves nothing: the outcome is unknown."""


@dataclass(frozen=True, kw_only=True)
class RefundNotice:
    """What a provider's callback tells of a refund, once its signature and age were checked.

    `event_id` is the provider's own: the same event comes again under the same id. Without a
    `status` it only tells that something happened: ask `find_refund`. Alipay tells no status, and
    as `amount_minor` all that went back of the payment until now.
    """

    event_id: str
    refund_no: str
    payment_no: str
    status: RefundStatus | None
    amount_minor: int


class CallbackRejected(Exception):
    """A callback that cannot be trusted: forged, too old, cut off, or not for this merchant."""


class PaymentGateway(Protocol):
    """A door to one payment provider."""

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask for a refund; a repeat with the same number returns the refund as it is now.

        Raises RefundRefused, ProviderBusy or PersonNeeded when this call did nothing, NumberReused
        when the number is another refund's. Any other exception means that the outcome is unknown.
        """
        ...

    def find_refund(self, refund_no: str, *, payment_no: str) -> RefundAnswer | None:
        """Return the refund as the provider has it now, None if it says that it has none.

        None speaks for this moment only: a call still on its way may yet be done. The amount may be
        another one than was asked for. Raises NumberReused when the number is of another payment;
        any other exception means that nothing was learnt.
        """
        ...

    def verify_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> RefundNotice | None:
        """Return what a callback tells, None for one that is genuine and tells of no refund.

        `headers` by lower-case name. Raises CallbackRejected for what is not the provider's own
        word to us of the last five minutes.
        """
        ...
