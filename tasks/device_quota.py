"""May this user have such a device? The rules, in their order: pure."""

from dataclasses import dataclass
from datetime import datetime

from models import DeviceQuota, QuotaStatus, Specification, Taken


@dataclass(frozen=True)
class NoQuota:
    """Why a user cannot have a device: a code for programs, and a sentence's part for people."""

    code: str
    why: str


def why_not(
    quota: DeviceQuota, taken: Taken, asked: Specification, *, now: datetime
) -> NoQuota | None:
    """The first rule that the device would break; None: the user may have it."""
    if quota.status != QuotaStatus.ACTIVE:
        return NoQuota("QUOTA_SUSPENDED", f"it is {quota.status}")
    if quota.expires_at is not None and quota.expires_at <= now:
        return NoQuota("QUOTA_EXPIRED", f"it expired at {quota.expires_at:%Y-%m-%d %H:%M:%S%z}")
    if taken.devices >= quota.devices:
        return NoQuota(
            "NO_DEVICE_LEFT", f"{taken.devices} of {quota.devices} devices are taken of it"
        )
    resources = (
        ("CPU", "cores", asked.cpu, quota.device_cpu, taken.cpu, quota.total_cpu),
        (
            *("MEMORY", "MB of memory", asked.memory_mb),
            *(quota.device_memory_mb, taken.memory_mb, quota.total_memory_mb),
        ),
        (
            *("STORAGE", "MB of storage", asked.storage_mb),
            *(quota.device_storage_mb, taken.storage_mb, quota.total_storage_mb),
        ),
    )
    for code, unit, wanted, each, _, _ in resources:
        if wanted > each:
            return NoQuota(f"DEVICE_{code}", f"a device may have {each} {unit}, not {wanted}")
    for code, unit, wanted, _, used, total in resources:
        if used + wanted > total:
            return NoQuota(
                f"TOTAL_{code}", f"{total - used} of {total} {unit} are left, {wanted} were asked"
            )
    return None
