"""Who owns what, as the database says it: each in the caller's short transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import Session

from models import Application, ApplicationStatus, Device
from workflows.device_creation import business_key
from workflows.device_deletion import deletion

# Of any type and any version of one: whatever it is, it may need what bears its id.
_STATUSES = text("SELECT saga_id, status FROM saga_state WHERE saga_id = ANY(CAST(:ids AS uuid[]))")

# By the index of keys that nobody holds; a device's key is its deletion's, too.
_DELETED = text(
    "SELECT business_key FROM saga_state WHERE business_key = ANY(:keys) AND NOT holds_key"
    " AND saga_type = :deletion AND status = 'COMPLETED'"
)


def statuses(session: Session, saga_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The status of each of these sagas that exists."""
    wanted = [str(saga_id) for saga_id in saga_ids]
    if not wanted:
        return {}
    return {row.saga_id: row.status for row in session.execute(_STATUSES, {"ids": wanted})}


def keys_on_record(session: Session, keys: Sequence[str]) -> frozenset[str]:
    """Those of the object keys that a record has, whatever its status."""
    found = session.scalars(select(Application.object_key).where(Application.object_key.in_(keys)))
    return frozenset(found)


@dataclass(frozen=True, kw_only=True)
class Available:
    """A version that users can have."""

    package_name: str
    version_code: int
    object_key: str
    size_bytes: int
    available_at: datetime | None


def available(session: Session, *, after: Available | None, most: int) -> list[Available]:
    """The next versions that users can have, package by package."""
    wanted = select(
        Application.package_name,
        Application.version_code,
        Application.object_key,
        Application.size_bytes,
        Application.available_at,
    ).where(Application.status == ApplicationStatus.AVAILABLE)
    # By the index of versions, which are unique.
    place = (Application.package_name, Application.version_code)
    if after is not None:
        wanted = wanted.where(tuple_(*place) > (after.package_name, after.version_code))
    rows = session.execute(wanted.order_by(*place).limit(most)).mappings()
    return [Available(**row) for row in rows]


def keys_available(session: Session, keys: Sequence[str]) -> frozenset[str]:
    """Those of the object keys whose version users can have."""
    found = session.scalars(
        select(Application.object_key).where(
            Application.object_key.in_(keys), Application.status == ApplicationStatus.AVAILABLE
        )
    )
    return frozenset(found)


def devices_on_record(session: Session, device_ids: Sequence[str]) -> frozenset[str]:
    """Those of the devices that have a record, whatever its status."""
    return frozenset(session.scalars(select(Device.id).where(Device.id.in_(device_ids))))


def devices_deleted(session: Session, device_ids: Iterable[str]) -> frozenset[str]:
    """Those of the devices whose deletion is COMPLETED."""
    by_key = {business_key(device_id): device_id for device_id in device_ids}
    wanted = {"keys": list(by_key), "deletion": deletion.name}
    return frozenset(by_key[key] for key in session.scalars(_DELETED, wanted))
