"""What a sweep called a person for."""

from datetime import datetime

from sqlalchemy import DateTime, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class SweepAlarm(Base):
    """One orphan, or one record whose object is missing, that was alarmed and is still so.

    ``kind`` and ``name`` are those of a sweep; ``seen_at`` is when it was found last.
    """

    __tablename__ = "sweep_alarms"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    alarmed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
