"""The work of a device's creation. Names are durable; see workflows/device_creation.py."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.devices import ContainerHost, HostAway, HostRefused, ImageMissing
from gateways.devices.adb import AdbAway, AdbLocked, AdbNonsense
from models import (
    Device,
    DeviceQuota,
    DeviceState,
    DeviceStatus,
    QuotaShare,
    ShareStatus,
    Specification,
    taken_of,
)
from saga import (
    Forward,
    IdempotencyKey,
    PollAgain,
    Refused,
    TryAgain,
    external,
    external_compensation,
    transactional,
    transactional_compensation,
)
from settings import settings
from tasks import device_container, device_ports
from tasks.device_container import NotOurs, NotWanted
from tasks.device_ports import NoPortLeft
from tasks.device_quota import why_not
from tasks.doors import NoSuchDoor, adb, container_host


@transactional("device_creation.check_quota")
def check_quota(state: DeviceState, session: Session) -> DeviceState:
    """Reserve the device's share of its user's quota, and a port. Refused where none is left."""
    # Whoever reserves waits here for the one before, and sees what that one has taken.
    quota = session.get(DeviceQuota, state.user_id, with_for_update=True)
    if quota is None:
        raise Refused(f"user {state.user_id} has no quota of devices", code="NO_QUOTA")
    now = session.scalars(select(func.clock_timestamp())).one()
    asked = state.specification
    if no := why_not(quota, taken_of(session, state.user_id), asked, now=now):
        raise Refused(f"the quota of user {state.user_id}: {no.why}", code=no.code)
    session.add(
        QuotaShare(
            device_id=state.device_id,
            user_id=state.user_id,
            cpu=asked.cpu,
            memory_mb=asked.memory_mb,
            storage_mb=asked.storage_mb,
            status=ShareStatus.RESERVED,
        )
    )
    try:
        device_ports.reserve(session, state.device_id, settings.device_port_range)
    except NoPortLeft as none:
        raise TryAgain(str(none)) from none
    return state


@transactional_compensation("device_creation.release_quota")
def release_quota(state: DeviceState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the rows alone
    """Give back what was reserved."""
    session.execute(delete(QuotaShare).where(QuotaShare.device_id == state.device_id))
    device_ports.release(session, state.device_id)


@external("device_creation.create_container")
def create_container(state: DeviceState, key: IdempotencyKey) -> DeviceState:  # noqa: ARG001 - the container's name is the lock, and made from the saga's id, too
    """Have the device's container run, with a port that is free on its host."""
    host = _host()
    try:
        _see_that_it_answers(host)
        container, port = device_container.run(host, state, step="device_creation.create_container")
    except (ImageMissing, NotOurs, HostRefused) as refused:
        raise Refused(str(refused), code=_code(refused)) from refused
    except NotWanted as none:
        raise TryAgain(str(none)) from none  # and nothing is there
    return state.model_copy(
        update={
            "container_id": container.id,
            "adb_address": settings.device_adb_address,
            "adb_port": port,
            "started_at": datetime.now(UTC),
        }
    )


@external_compensation("device_creation.remove_container")
def remove_container(state: DeviceState, forward: Forward) -> None:  # noqa: ARG001 - it removes whatever bears the name
    """Leave no container of this device."""
    device_container.remove(container_host(), state.container_name, state.device_id)


@transactional("device_creation.create_device_record")
def create_device_record(state: DeviceState, session: Session) -> DeviceState:
    """Write down the device, as ``creating``."""
    session.add(
        Device(
            id=state.device_id,
            user_id=state.user_id,
            name=state.name,
            status=DeviceStatus.CREATING,
            container_name=state.container_name,
            container_id=state.container_id,
            adb_address=state.adb_address,
            adb_port=state.adb_port,
            **state.specification.model_dump(),
        )
    )
    return state


@transactional_compensation("device_creation.remove_device_record")
def remove_device_record(state: DeviceState, session: Session, forward: Forward) -> None:  # noqa: ARG001 - it relies on the row alone
    """Remove the record: there was never such a device."""
    session.execute(delete(Device).where(Device.id == state.device_id))


@external("device_creation.initialize_device")
def initialize_device(state: DeviceState, key: IdempotencyKey) -> DeviceState | PollAgain:  # noqa: ARG001 - all that it does may be done twice
    """Wait until the device has booted, set it up, and see it answer.

    It looks once a call, so that no worker is kept while a device boots.
    """
    assert state.adb_port is not None, "create_container gave it"
    try:
        with adb(state.adb_port) as device:
            if not device.is_booted():
                return _boots_on(state, "it boots")
            for command in settings.device_setup:
                device.run(_filled_in(command, state.specification))
            if not device.is_booted():
                return _boots_on(state, "it boots again")
        # Where its container has ended, somebody else's device may have its port, and answer.
        _see_that_it_runs(state)
    except AdbLocked as locked:
        raise Refused(str(locked), code="ADB_LOCKED") from locked
    except (AdbAway, AdbNonsense) as error:
        return _boots_on(state, str(error))
    return state.model_copy(update={"heartbeat_at": datetime.now(UTC)})


def _filled_in(command: str, asked: Specification) -> str:
    return command.format(width=asked.width, height=asked.height, dpi=asked.dpi)


def _boots_on(state: DeviceState, why: str) -> PollAgain:
    """Look again in a while; Refused where its container has ended, or its time to boot has."""
    _see_that_it_runs(state)
    assert state.started_at is not None, "create_container gave it"
    longest = timedelta(seconds=settings.device_boot_seconds)
    if datetime.now(UTC) - state.started_at > longest:
        raise Refused(
            f"it did not boot within {longest.total_seconds():g} s: {why}", code="NOT_BOOTED"
        )
    return PollAgain(after=timedelta(seconds=settings.device_poll_seconds), reason=why)


def _see_that_it_runs(state: DeviceState) -> None:
    """Raise Refused where its container has ended."""
    try:
        found = device_container.find(_host(), state.container_name, state.device_id)
    except HostAway as away:
        raise TryAgain(str(away)) from away
    except (HostRefused, NotOurs) as refused:
        raise Refused(str(refused), code=_code(refused)) from refused
    if found is None:
        raise Refused("its container is gone", code="CONTAINER_GONE")
    if found.state != "running":
        code = "" if found.exit_code is None else f", with exit code {found.exit_code}"
        raise Refused(f"its container is {found.state}{code}", code="CONTAINER_ENDED")


@transactional("device_creation.update_quota_usage")
def update_quota_usage(state: DeviceState, session: Session) -> DeviceState:
    """Let the reservation become usage, and the device be there for its user.

    It counts by the device's id, so that no report of it can come twice.
    """
    used = session.execute(
        update(QuotaShare)
        .where(QuotaShare.device_id == state.device_id, QuotaShare.status == ShareStatus.RESERVED)
        .values(status=ShareStatus.USED, since=func.now())
        .returning(QuotaShare.device_id)
    )
    made = session.execute(
        update(Device)
        .where(Device.id == state.device_id, Device.status == DeviceStatus.CREATING)
        .values(status=DeviceStatus.IDLE, heartbeat_at=state.heartbeat_at)
        .returning(Device.id)
    )
    if used.one_or_none() is None or made.one_or_none() is None:
        raise Refused(
            f"device {state.device_id} or what was reserved for it is not as this saga left it: "
            "somebody moved it while it was being created",
            code="UNEXPECTED_STATUS",
        )
    return state


def _host() -> ContainerHost:
    try:
        return container_host()
    except (NoSuchDoor, AccountFaulty) as missing:
        raise Refused(f"{missing}; start the workers anew", code="NOT_SET_UP") from missing


def _see_that_it_answers(host: ContainerHost) -> None:
    try:
        host.check()
    except HostAway as away:
        raise TryAgain(str(away)) from away  # it was asked for nothing yet


def _code(error: Exception) -> str:
    match error:
        case ImageMissing():
            return "IMAGE_MISSING"
        case NotOurs():
            return "NAME_TAKEN"
        case _:
            return "HOST_REFUSED"
