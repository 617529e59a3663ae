"""What the sagas of a device remember."""

from datetime import datetime

from pydantic import BaseModel

from models.specification import Specification


class DeviceState(BaseModel):
    """The creation of a device. ``device_id`` is the saga's own id.

    ``started_at`` is when its container was seen running, ``heartbeat_at`` when it last answered
    adb: both by a worker's clock.
    """

    device_id: str
    user_id: str
    name: str
    specification: Specification
    container_id: str | None = None
    adb_address: str | None = None
    adb_port: int | None = None
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None

    @property
    def container_name(self) -> str:
        """Nobody else's: made from the saga's id, and from nothing that a person wrote."""
        return container_name(self.device_id)


class DeviceDeletionState(BaseModel):
    """The deletion of a device."""

    device_id: str

    @property
    def container_name(self) -> str:
        return container_name(self.device_id)


def container_name(device_id: str) -> str:
    """What the container of a device is called; two of one name cannot be, so it is the lock."""
    return f"cloudphone-{device_id}"
