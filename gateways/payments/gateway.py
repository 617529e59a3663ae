"""What every payment provider can do for us, and how it says no.

Three things can come of a call, and the caller must keep them apart:

* an answer: the provider has it, in the status given;
* `RefundRefused`, `ProviderBusy`: the provider's word that this call did nothing;
* **any other exception**: nobody knows whether the money left. Ask `find_refund`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
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
    """One refund. The same `refund_no` is the same refund, however often it is asked for."""

    refund_no: str
    payment_no: str
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


class UnexpectedAnswer(Exception):
    """The provider answered something that proves nothing: the outcome is unknown."""


class PaymentGateway(Protocol):
    """A door to one payment provider."""

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Ask for a refund; a repeat with the same number returns the refund as it is now.

        Raises RefundRefused or ProviderBusy when this call did nothing. Any other exception
        means that the outcome is unknown.
        """
        ...

    def find_refund(self, refund_no: str) -> RefundAnswer | None:
        """Return the refund as the provider has it now, None if it says that it has none.

        None speaks for this moment only: a call still on its way may yet be done. Any
        exception means that nothing was learnt.
        """
        ...
