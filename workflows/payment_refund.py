"""Refund a payment: it ends with the money back and booked, or as if nobody had asked."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from sqlalchemy.orm import Session

from models import Payment, PaymentStatus, RefundState
from saga import (
    Conflict,
    Engine,
    InvalidInput,
    NotFound,
    PollPolicy,
    RetryPolicy,
    Saga,
    Started,
    compensatable,
    manual,
    pivot,
    retriable,
)
from saga.retry import POLL as AS_ADVISED
from settings import settings
from tasks.payment_refund import (
    call_provider_refund,
    find_provider_refund,
    refund_notified,
    reopen_order,
    reopen_payment,
    restore_payment_status,
    set_refunding_status,
    update_order_status,
    update_payment_status,
    vouched_refund,
)

RETRY = RetryPolicy(
    retries=3,
    first=timedelta(seconds=settings.payment_refund_first_retry_seconds),
    longest=timedelta(minutes=1),
)

# Both providers' advice for a refund that is not final, unless a setting says otherwise.
POLL = (
    AS_ADVISED
    if settings.payment_refund_poll_seconds is None
    else PollPolicy([timedelta(seconds=settings.payment_refund_poll_seconds)])
)

refund = Saga(
    name="payment_refund",
    version=1,
    state=RefundState,
    timeout=timedelta(seconds=settings.payment_refund_timeout_seconds),
    steps=[
        compensatable(set_refunding_status, compensation=restore_payment_status, retry=RETRY),
        pivot(
            call_provider_refund,
            probe=find_provider_refund,
            compensation=manual("make sure that the money did not leave"),
            vouched=vouched_refund,
            retry=RETRY,
            poll=POLL,
            timeout=timedelta(seconds=settings.payment_refund_call_timeout_seconds),
            settle_after=None
            if settings.payment_refund_settle_after_seconds is None
            else timedelta(seconds=settings.payment_refund_settle_after_seconds),
        ),
        retriable(update_payment_status, compensation=reopen_payment, retry=RETRY),
        retriable(update_order_status, compensation=reopen_order, retry=RETRY),
    ],
    signals=[refund_notified],
    # Who had paid, and what they wrote about it. The provider's answer is told by no face.
    sensitive=["user_id", "reason"],
)


class PaymentNotFound(NotFound):
    """No payment has this id."""

    field = "paymentId"

    def __init__(self, payment_id: str) -> None:
        self.payment_id = payment_id
        super().__init__(f"no payment has the id {payment_id!r}")


class NotRefundable(Conflict):
    """The payment is not in a state that can be refunded."""

    field = "paymentId"

    def __init__(self, payment_id: str, why: str) -> None:
        self.payment_id = payment_id
        super().__init__(f"payment {payment_id} cannot be refunded: {why}")


class AmountNotLeft(InvalidInput):
    """More than what is left of the payment was asked for."""

    field = "amount"

    def __init__(self, payment_id: str, left: Decimal) -> None:
        self.payment_id = payment_id
        super().__init__(f"only {left} of payment {payment_id} is left to refund")


def _no_nul(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not contain U+0000")
    return value


_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DECIMALS = 2


def _exact(value: Any) -> Any:
    """An amount by its digits: 0.1 means 0.1, not the float beside it, and 1.000 is too exact."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, str) and not _AMOUNT.fullmatch(value):
        raise ValueError("must be an amount such as 12.50")
    if not isinstance(value, str | float | Decimal):
        return value
    number = Decimal(str(value))
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_DECIMALS:
        raise ValueError("must have at most two decimals")
    return number


Money = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(ge=Decimal("0.01"), le=Decimal(1_000_000), max_digits=9, decimal_places=_DECIMALS),
    WithJsonSchema(
        {
            "description": "At most two decimals.",
            "anyOf": [
                {"type": "number", "minimum": 0.01, "maximum": 1_000_000, "multipleOf": 0.01},
                {"type": "string", "pattern": r"^(?=.*[1-9])[0-9]{1,6}(\.[0-9]{1,2})?$"},
            ],
        }
    ),
]


class RefundTerms(BaseModel):
    """How much, and why. ``amount`` has at most two decimals."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    amount: Money
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=500), BeforeValidator(_no_nul)
    ]


class RefundInput(RefundTerms):
    """What a producer asks for."""

    payment_id: Annotated[str, Field(min_length=1, max_length=100), BeforeValidator(_no_nul)]


_REFUNDABLE = {PaymentStatus.SUCCESS, PaymentStatus.REFUNDING}


def request_refund(
    engine: Engine, session: Session, asked: RefundInput, idempotency_key: str | None = None
) -> Started:
    """Start a refund inside the caller's transaction.

    Raises PaymentNotFound, NotRefundable, AmountNotLeft, and what Engine.start raises:
    BusinessKeyTaken names the refund that is under way.
    """
    payment = session.get(Payment, asked.payment_id)
    if payment is None:
        raise PaymentNotFound(asked.payment_id)
    amount_minor = int(asked.amount.scaleb(2))
    state = RefundState(
        payment_id=payment.id,
        payment_no=payment.payment_no,
        order_id=payment.order_id,
        user_id=payment.user_id,
        method=payment.method,
        currency=payment.currency,
        payment_minor=payment.amount_minor,
        amount_minor=amount_minor,
        reason=asked.reason,
    )
    key = f"payment:{payment.id}"
    try:
        _check(payment, amount_minor)
    except (NotRefundable, AmountNotLeft):
        # Whoever asks again is told of what they started, whatever the payment is by now.
        before = engine.earlier(
            session, refund, state, idempotency_key=idempotency_key, business_key=key
        )
        if before is None:
            raise
        return before
    return engine.start(session, refund, state, idempotency_key=idempotency_key, business_key=key)


def _check(payment: Payment, amount_minor: int) -> None:
    if payment.status not in _REFUNDABLE:
        raise NotRefundable(payment.id, f"it is {payment.status}, not {PaymentStatus.SUCCESS}")
    # Of a payment that is being refunded, too: waiting for that would not make it more.
    if amount_minor > payment.left_minor:
        raise AmountNotLeft(payment.id, Decimal(payment.left_minor).scaleb(-2))
    if payment.status == PaymentStatus.REFUNDING:
        raise NotRefundable(payment.id, f"it is {payment.status}, not {PaymentStatus.SUCCESS}")
