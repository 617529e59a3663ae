"""Orders: what was bought."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, new_id, one_of


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    FAILED = "failed"


class Order(Base):
    """An order. Amounts are in minor units (fen) of ``currency``."""

    __tablename__ = "orders"
    __table_args__ = (
        one_of("status", OrderStatus, name="orders_status_is_known"),
        CheckConstraint("amount_minor > 0", name="orders_amount_is_positive"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text, default="CNY")
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text, default=OrderStatus.PENDING)
    status_before_refund: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    refunded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
