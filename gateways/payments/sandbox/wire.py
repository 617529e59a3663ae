"""What is sent to the routes under /control, checked at the border."""

from typing import Annotated, Any

from pydantic import AnyHttpUrl, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateways.payments.gateway import RefundStatus
from gateways.payments.money import to_minor
from gateways.payments.sandbox.entries import Payment
from gateways.payments.sandbox.faults import Fault, Kind, Operation


def _amount(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("the amount is a string such as 100.00")  # noqa: TRY004 - pydantic's
    amount_minor = to_minor(str(value))
    if amount_minor == 0:
        raise ValueError("the amount is zero")
    return amount_minor


Minor = Annotated[int, BeforeValidator(_amount)]
"""An amount that comes as ``"100.00"`` and is kept as 10000 fen."""

Number = Annotated[str, Field(pattern=r"\A[0-9A-Za-z_|*@-]{1,64}\z")]
"""A payment's number, by WeChat Pay's rule for out_refund_no."""


class Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class PaymentNotice(Wire):
    payment_no: Number
    amount: Minor
    method: str = Field(min_length=1, max_length=32)
    notify_url: AnyHttpUrl | None = None

    def payment(self) -> Payment:
        return Payment(
            payment_no=self.payment_no,
            amount_minor=self.amount,
            method=self.method,
            notify_url=None if self.notify_url is None else str(self.notify_url),
        )


class PaymentNotices(Wire):
    payments: list[PaymentNotice]


class Decision(Wire):
    """What the provider's own people decide on a refund that is not final."""

    status: RefundStatus


class FaultOrder(Wire):
    operation: Operation
    kind: Kind
    times: int = Field(default=1, ge=1, le=1_000_000)
    seconds: float = Field(default=1.0, ge=0, le=30 * 24 * 3600, allow_inf_nan=False)
    payment_no: Number | None = None

    def fault(self) -> Fault:
        return Fault(
            operation=self.operation,
            kind=self.kind,
            times=self.times,
            seconds=self.seconds,
            payment_no=self.payment_no,
        )
