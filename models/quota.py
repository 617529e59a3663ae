"""What a user may have of devices, and what each device takes of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, one_of


class QuotaStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class DeviceQuota(Base):
    """A user's limits: ``device_…`` hold for each device, ``total_…`` for all of them together.

    It is never over where ``expires_at`` is None. Whoever adds to what is taken of a quota locks
    its row first: see `QuotaShare`.
    """

    __tablename__ = "device_quotas"
    __table_args__ = (
        one_of("status", QuotaStatus, name="device_quotas_status_is_known"),
        CheckConstraint("devices >= 0", name="device_quotas_devices_are_not_negative"),
    )

    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    status: Mapped[str] = mapped_column(Text, default=QuotaStatus.ACTIVE)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    devices: Mapped[int] = mapped_column(Integer)
    device_cpu: Mapped[int] = mapped_column(Integer)
    device_memory_mb: Mapped[int] = mapped_column(Integer)
    device_storage_mb: Mapped[int] = mapped_column(Integer)
    total_cpu: Mapped[int] = mapped_column(Integer)
    total_memory_mb: Mapped[int] = mapped_column(Integer)
    total_storage_mb: Mapped[int] = mapped_column(Integer)


class ShareStatus(StrEnum):
    RESERVED = "reserved"
    USED = "used"


class QuotaShare(Base):
    """What one device takes of its user's quota: reserved while it is made, used from then on.

    What is taken of a quota is always the sum of its shares, so that it cannot drift from them.
    """

    __tablename__ = "quota_shares"
    __table_args__ = (
        one_of("status", ShareStatus, name="quota_shares_status_is_known"),
        CheckConstraint(
            "cpu > 0 AND memory_mb > 0 AND storage_mb > 0", name="quota_shares_are_positive"
        ),
        Index("quota_shares_of_a_user", "user_id"),
    )

    device_id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("device_quotas.user_id"))
    cpu: Mapped[int] = mapped_column(Integer)
    memory_mb: Mapped[int] = mapped_column(Integer)
    storage_mb: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text, default=ShareStatus.RESERVED)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What several shares come to; ``reserved`` of the ``devices`` are still being made."""

    devices: int
    reserved: int
    cpu: int
    memory_mb: int
    storage_mb: int


def taken_of(session: Session, user_id: str) -> Taken:
    """What is taken of a user's quota; it stays so for as long as the caller locks its row."""
    shares = session.execute(
        select(
            func.count(),
            func.count().filter(QuotaShare.status == ShareStatus.RESERVED),
            func.coalesce(func.sum(QuotaShare.cpu), 0),
            func.coalesce(func.sum(QuotaShare.memory_mb), 0),
            func.coalesce(func.sum(QuotaShare.storage_mb), 0),
        ).where(QuotaShare.user_id == user_id)
    ).one()
    devices, reserved, cpu, memory_mb, storage_mb = map(int, shares)
    return Taken(
        devices=devices, reserved=reserved, cpu=cpu, memory_mb=memory_mb, storage_mb=storage_mb
    )
