"""Users as if they had bought devices."""

from sqlalchemy import Engine, insert

from models import DeviceQuota, QuotaStatus, QuotaView, Specification, Taken
from models.base import new_id

_NOTHING = Taken(devices=0, reserved=0, cpu=0, memory_mb=0, storage_mb=0)


def make_users(database: Engine, *, count: int, devices: int) -> list[QuotaView]:
    """Give so many new users a quota of so many devices each, of any size that there is."""
    largest = {name: _largest(name) for name in ("cpu", "memory_mb", "storage_mb")}
    quotas = [
        {
            "user_id": new_id(),
            "status": QuotaStatus.ACTIVE.value,
            "devices": devices,
            **{f"device_{name}": most for name, most in largest.items()},
            **{f"total_{name}": most * devices for name, most in largest.items()},
        }
        for _ in range(count)
    ]
    with database.begin() as connection:
        connection.execute(insert(DeviceQuota), quotas)
    return [QuotaView.of(DeviceQuota(**quota), _NOTHING) for quota in quotas]


def _largest(name: str) -> int:
    """The upper bound of a size."""
    bounds = [getattr(rule, "le", None) for rule in Specification.model_fields[name].metadata]
    return int(next(bound for bound in bounds if bound is not None))
