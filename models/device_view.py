"""Devices and quotas as all faces tell them."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.device import Device, DeviceStatus
from models.device_state import DeviceState
from models.quota import DeviceQuota, Taken

_CAMEL = ConfigDict(
    alias_generator=to_camel, populate_by_name=True, frozen=True, from_attributes=True
)


class DeviceView(BaseModel):
    """A device; in JSON its names are camelCase."""

    model_config = _CAMEL

    id: str
    user_id: str
    name: str
    status: str
    cpu: int
    memory_mb: int
    storage_mb: int
    width: int
    height: int
    dpi: int
    android_version: int
    adb_address: str | None
    adb_port: int | None
    heartbeat_at: datetime | None

    @classmethod
    def of(cls, device: Device) -> Self:
        return cls.model_validate(device)

    @classmethod
    def to_be(cls, state: DeviceState) -> Self:
        """What is being created, while it has no record."""
        return cls(
            id=state.device_id,
            user_id=state.user_id,
            name=state.name,
            status=DeviceStatus.CREATING,
            adb_address=state.adb_address,
            adb_port=state.adb_port,
            heartbeat_at=state.heartbeat_at,
            **state.specification.model_dump(),
        )


class TakenView(BaseModel):
    """What is taken of a quota; ``reserved`` of the ``devices`` are still being created."""

    model_config = _CAMEL

    devices: int
    reserved: int
    cpu: int
    memory_mb: int
    storage_mb: int


class QuotaView(BaseModel):
    """What a user may have of devices, and what is ``taken`` of it."""

    model_config = _CAMEL

    user_id: str
    status: str
    expires_at: datetime | None
    devices: int
    device_cpu: int
    device_memory_mb: int
    device_storage_mb: int
    total_cpu: int
    total_memory_mb: int
    total_storage_mb: int
    taken: TakenView

    @classmethod
    def of(cls, quota: DeviceQuota, taken: Taken) -> Self:
        limits = {name: getattr(quota, name) for name in cls.model_fields if name != "taken"}
        return cls(taken=TakenView.model_validate(taken), **limits)
