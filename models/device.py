"""Cloud devices: Android in a container, reached by adb."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, DateTime, Integer, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, one_of


class DeviceStatus(StrEnum):
    CREATING = "creating"
    IDLE = "idle"
    ALLOCATED = "allocated"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ERROR = "error"
    DELETED = "deleted"


class Device(Base):
    """A device of a user's. Its id is that of the saga that created it, as is its container's name.

    ``name`` is what its user calls it; several may share one. Where it answers adb is
    ``adb_address`` and ``adb_port``; None once its port was released.
    """

    __tablename__ = "devices"
    __table_args__ = (
        one_of("status", DeviceStatus, name="devices_status_is_known"),
        CheckConstraint(
            "cpu > 0 AND memory_mb > 0 AND storage_mb > 0", name="devices_resources_are_positive"
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(Text, index=True)
    name: Mapped[str] = mapped_column(Text)
    cpu: Mapped[int] = mapped_column(Integer)
    memory_mb: Mapped[int] = mapped_column(Integer)
    storage_mb: Mapped[int] = mapped_column(Integer)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    dpi: Mapped[int] = mapped_column(Integer)
    android_version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Text)
    container_name: Mapped[str] = mapped_column(Text, unique=True)
    container_id: Mapped[str] = mapped_column(Text)
    adb_address: Mapped[str | None] = mapped_column(Text)
    adb_port: Mapped[int | None] = mapped_column(Integer, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    heartbeat_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
