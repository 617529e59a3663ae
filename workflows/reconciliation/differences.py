"""Differences as faces tell them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Difference, RefundCheck, decimal_text


def ours_text(status: str, booked_minor: int | None) -> str:
    """Say what we hold of a refund: ``COMPLETED, booked 100.00``."""
    return f"{status}, " + (
        "not booked" if booked_minor is None else f"booked {decimal_text(booked_minor)}"
    )


def theirs_text(status: str | None, minor: int | None) -> str:
    """Say what the provider holds: ``SUCCESS 100.00``, or ``none``."""
    return "none" if status is None or minor is None else f"{status} {decimal_text(minor)}"


@dataclass(frozen=True, kw_only=True)
class OnFile:
    """A difference as it was found last; ``ours`` and ``theirs`` are words for people.

    ``found_at`` is since when it is known.
    """

    refund_no: str
    saga_id: UUID
    payment_id: str
    ours: str
    theirs: str
    difference: Difference
    found_at: datetime


def on_file(session: Session) -> list[OnFile]:
    """All differences as they were found last, the longest known first."""
    checks = session.scalars(
        select(RefundCheck)
        .where(RefundCheck.difference.is_not(None))
        .order_by(RefundCheck.found_at, RefundCheck.refund_no)
    )
    return [
        OnFile(
            refund_no=check.refund_no,
            saga_id=check.saga_id,
            payment_id=check.payment_id,
            ours=ours_text(check.saga_status, check.booked_minor),
            theirs=theirs_text(check.their_status, check.their_minor),
            difference=Difference(check.difference),
            found_at=check.found_at,
        )
        for check in checks
        if check.difference is not None and check.found_at is not None
    ]
