"""Create a device: it ends booted and its user's, or with nothing left of it."""

from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Device, DeviceQuota, DeviceState, DeviceView, QuotaView, taken_of
from saga import (
    Conflict,
    Engine,
    InvalidInput,
    NotFound,
    RetryPolicy,
    Saga,
    Started,
    compensatable,
    nothing_to_compensate,
    pivot,
    queries,
)
from saga.position import Status
from settings import settings
from tasks.device_creation import (
    check_quota,
    create_container,
    create_device_record,
    initialize_device,
    release_quota,
    remove_container,
    remove_device_record,
    update_quota_usage,
)
from tasks.device_quota import why_not
from workflows.device_input import DeviceInput

RETRY = RetryPolicy(
    retries=3,
    first=timedelta(seconds=settings.device_first_retry_seconds),
    longest=timedelta(minutes=1),
)
CALL = timedelta(seconds=settings.device_call_timeout_seconds)

creation = Saga(
    name="device_creation",
    version=1,
    state=DeviceState,
    timeout=timedelta(seconds=settings.device_creation_timeout_seconds),
    steps=[
        compensatable(check_quota, compensation=release_quota, retry=RETRY),
        compensatable(create_container, compensation=remove_container, retry=RETRY, timeout=CALL),
        compensatable(create_device_record, compensation=remove_device_record, retry=RETRY),
        compensatable(
            initialize_device, compensation=nothing_to_compensate, retry=RETRY, timeout=CALL
        ),
        pivot(update_quota_usage, retry=RETRY),
    ],
    # Whose it is, and what they call it.
    sensitive=["user_id", "name"],
)


class DeviceNotFound(NotFound):
    """No device has this id."""

    field = "id"

    def __init__(self, device_id: str) -> None:
        super().__init__(f"no device has the id {device_id!r}")


class UserUnknown(InvalidInput):
    """The user has no quota, and so is none who can have devices."""

    field = "userId"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"no user {user_id!r} has a quota of devices")


class QuotaNotFound(NotFound):
    """The user has no quota of devices."""

    field = "userId"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"no user {user_id!r} has a quota of devices")


class NotInQuota(Conflict):
    """The user's quota does not allow the device as things stand."""

    field = "userId"

    def __init__(self, user_id: str, why: str) -> None:
        super().__init__(f"the quota of user {user_id} does not allow it: {why}")


def business_key(device_id: str) -> str:
    """What makes sure that no two sagas work on a device at once."""
    return f"device:{device_id}"


def request_device(
    engine: Engine, session: Session, asked: DeviceInput, idempotency_key: str | None = None
) -> Started:
    """Start the creation of a device inside the caller's transaction; its id is the saga's.

    Raises UserUnknown, NotInQuota, and what Engine.start raises. Whoever loses a race for what is
    left is told by the saga, which then goes back: nothing is reserved here.
    """
    saga_id = uuid4()
    state = DeviceState(
        device_id=str(saga_id),
        user_id=asked.user_id,
        name=asked.name,
        specification=asked.specification,
    )
    key = business_key(state.device_id)
    before = engine.earlier(
        session, creation, state, idempotency_key=idempotency_key, business_key=key, asked=asked
    )
    if before is not None:
        return before
    quota = session.get(DeviceQuota, asked.user_id)
    if quota is None:
        raise UserUnknown(asked.user_id)
    now = session.scalars(select(func.now())).one()
    if no := why_not(quota, taken_of(session, asked.user_id), state.specification, now=now):
        raise NotInQuota(asked.user_id, no.why)
    return engine.start(
        session,
        creation,
        state,
        idempotency_key=idempotency_key,
        business_key=key,
        saga_id=saga_id,
        asked=asked,
    )


_IS_COMING = frozenset({Status.RUNNING, Status.COMPENSATING, Status.FAILED})


def find_device(session: Session, device_id: str) -> DeviceView | None:
    """A device as it is now; while it has no record, as its creation's saga has it."""
    try:
        saga_id = UUID(device_id)
    except ValueError:
        return None
    record = session.get(Device, str(saga_id))
    if record is not None:
        return DeviceView.of(record)
    row = queries.look(session.connection(), saga_id)
    if row is None or row.saga_type != creation.name or row.status not in _IS_COMING:
        return None
    return DeviceView.to_be(DeviceState.model_validate(row.state))


def quota_of(session: Session, user_id: str) -> QuotaView:
    """A user's quota, and what is taken of it now. Raises QuotaNotFound."""
    quota = session.get(DeviceQuota, user_id)
    if quota is None:
        raise QuotaNotFound(user_id)
    return QuotaView.of(quota, taken_of(session, user_id))
