"""Who has which port of the container host."""

from datetime import datetime

from sqlalchemy import Boolean, DateTime, Integer, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class DevicePort(Base):
    """A port that is not free, by the number that the container host publishes.

    ``device_id`` is whose it is since ``since``; None where something else on the host has it. The
    device keeps it once its container runs with it: then it ``is_settled``.
    """

    __tablename__ = "device_ports"

    port: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    device_id: Mapped[str | None] = mapped_column(Text, unique=True)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    is_settled: Mapped[bool] = mapped_column(Boolean, server_default=false())
