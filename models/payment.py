"""Payments, and what was refunded of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, new_id, one_of


class PaymentStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"


class PaymentMethod(StrEnum):
    """The methods that can be refunded."""

    WECHAT = "wechat"
    ALIPAY = "alipay"
    BALANCE = "balance"


class Payment(Base):
    """A payment. Amounts are in minor units (fen) of ``currency``.

    Its status is ``success`` until nothing is left of it, ``refunding`` while a refund is under
    way, and ``refunded`` when all of it went back.
    """

    __tablename__ = "payments"
    __table_args__ = (
        one_of("status", PaymentStatus, name="payments_status_is_known"),
        one_of("method", PaymentMethod, name="payments_method_is_known"),
        CheckConstraint("amount_minor > 0", name="payments_amount_is_positive"),
        CheckConstraint(
            "refunded_minor BETWEEN 0 AND amount_minor", name="payments_refunds_fit_the_payment"
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=new_id)
    payment_no: Mapped[str] = mapped_column(Text, unique=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    user_id: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text, default="CNY")
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    refunded_minor: Mapped[int] = mapped_column(BigInteger, default=0)
    status: Mapped[str] = mapped_column(Text, default=PaymentStatus.PENDING)
    refund_reason: Mapped[str | None] = mapped_column(Text)
    refunded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    @property
    def left_minor(self) -> int:
        """What can still be refunded."""
        return self.amount_minor - self.refunded_minor


class Refund(Base):
    """One refund that the provider confirmed, with its answer word for word."""

    __tablename__ = "refunds"
    __table_args__ = (CheckConstraint("amount_minor > 0", name="refunds_amount_is_positive"),)

    refund_no: Mapped[str] = mapped_column(Text, primary_key=True)
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"), index=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    refunded_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
