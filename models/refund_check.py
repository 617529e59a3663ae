"""What came of asking a provider about its refunds, for whoever reconciles."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, one_of


class Difference(StrEnum):
    """What a provider and our payments do not agree on."""

    NOT_BOOKED = "not_booked"
    """The provider refunded; no payment says so."""
    REFUNDED_TWICE = "refunded_twice"
    """The provider refunded under more than one number of the same saga."""
    NOT_REFUNDED = "not_refunded"
    """A payment says that it was refunded; the provider did not do it."""
    NOT_FINAL = "not_final"
    """A payment says that it was refunded; the provider's final word is still to come."""
    MAY_STILL_HAPPEN = "may_still_happen"
    """The saga went back or is FAILED; the provider may still refund."""
    OTHER_AMOUNT = "other_amount"
    """The provider refunded another amount than what was booked."""
    NUMBER_REUSED = "number_reused"
    """The provider has our number for a refund of another payment."""
    OVER_THE_PAYMENT = "over_the_payment"
    """All refunds of the payment together are more than was paid."""
    PAYMENT_DIFFERS = "payment_differs"
    """The payment's refunded amount is not the sum of its refunds."""


class RefundCheck(Base):
    """One refund number beside the provider's books, as of ``checked_at``.

    Amounts are in minor units (fen); ``booked_minor`` is empty where nothing is booked,
    ``their_status`` where the provider has no such refund, and ANOTHER_REFUND where the number is
    another payment's. ``asked_at`` is when the provider was asked last, answered or not;
    ``found_at`` since when there is this difference. ``is_over`` once it was compared while the
    saga was at rest; until then it is asked again, however old it is.
    """

    __tablename__ = "refund_checks"
    __table_args__ = (
        one_of("difference", Difference, name="refund_checks_difference_is_known"),
        CheckConstraint(
            "(difference IS NULL) = (found_at IS NULL)", name="refund_checks_difference_has_a_time"
        ),
        CheckConstraint(
            "(their_status IS NULL) = (their_minor IS NULL)", name="refund_checks_theirs_is_whole"
        ),
        Index(
            "refund_checks_open",
            "saga_id",
            postgresql_where=text("difference IS NOT NULL OR NOT is_over"),
        ),
    )

    refund_no: Mapped[str] = mapped_column(Text, primary_key=True)
    saga_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    saga_status: Mapped[str] = mapped_column(Text)
    is_over: Mapped[bool]
    payment_id: Mapped[str] = mapped_column(
        ForeignKey("payments.id", ondelete="CASCADE"), index=True
    )
    booked_minor: Mapped[int | None] = mapped_column(BigInteger)
    their_status: Mapped[str | None] = mapped_column(Text)
    their_minor: Mapped[int | None] = mapped_column(BigInteger)
    difference: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    checked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    found_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
