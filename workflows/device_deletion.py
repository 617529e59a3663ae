"""Delete a device: it only goes forward, and bears that anything of it is gone already."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from models import Device, DeviceDeletionState
from saga import BusinessKeyTaken, Engine, RetryPolicy, Saga, Started, queries, retriable
from saga.position import Status
from settings import settings
from tasks.device_deletion import (
    delete_record,
    release_ports,
    release_quota,
    remove_container,
    stop_container,
)
from workflows.device_creation import CALL, DeviceNotFound, business_key
from workflows.device_input import DeviceDeletionInput

# There is no way back, and the host may be away for a while: about an hour in all.
RETRY = RetryPolicy(
    retries=10,
    first=timedelta(seconds=settings.device_first_retry_seconds),
    longest=timedelta(minutes=10),
)

deletion = Saga(
    name="device_deletion",
    version=1,
    state=DeviceDeletionState,
    timeout=timedelta(seconds=settings.device_creation_timeout_seconds),
    steps=[
        retriable(stop_container, retry=RETRY, timeout=CALL),
        retriable(remove_container, retry=RETRY, timeout=CALL),
        retriable(release_ports, retry=RETRY),
        retriable(release_quota, retry=RETRY),
        retriable(delete_record, retry=RETRY),
    ],
    sensitive=[],  # it remembers an id
)


def request_deletion(
    engine: Engine,
    session: Session,
    asked: DeviceDeletionInput,
    idempotency_key: str | None = None,
) -> Started:
    """Start the deletion of a device inside the caller's transaction; under way already is fine.

    Raises DeviceNotFound, and what Engine.start raises: BusinessKeyTaken names the saga that
    creates the device, or the deletion that FAILED. Whatever it raises: roll back.
    """
    device_id = str(asked.device_id)
    state, key = DeviceDeletionState(device_id=device_id), business_key(device_id)
    try:
        # Of one that is still being created, too: its saga is in the way.
        started = engine.start(
            session, deletion, state, idempotency_key=idempotency_key, business_key=key
        )
    except BusinessKeyTaken as taken:
        under_way = _under_way(session, taken.saga_id)
        if under_way is None:
            raise
        return under_way
    if started.is_new and session.get(Device, device_id) is None:
        raise DeviceNotFound(device_id)
    return started


def _under_way(session: Session, saga_id: UUID | None) -> Started | None:
    """The saga, if it is a deletion that goes on by itself."""
    row = None if saga_id is None else queries.look(session.connection(), saga_id)
    if row is None or row.saga_type != deletion.name or row.status != Status.RUNNING:
        return None
    return Started(saga_id=row.saga_id, status=row.status, is_new=False)
