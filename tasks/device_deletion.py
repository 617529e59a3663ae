"""The work of a device's deletion: each step bears that what it removes is gone already."""

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.devices import ContainerHost
from models import Device, DeviceDeletionState, DeviceStatus, QuotaShare
from saga import Effect, IdempotencyKey, NeedsPerson, external, transactional
from tasks import device_container, device_ports
from tasks.doors import NoSuchDoor, container_host


@external("device_deletion.stop_container")
def stop_container(state: DeviceDeletionState, key: IdempotencyKey) -> DeviceDeletionState:  # noqa: ARG001 - stopped already is fine
    """Let the device end what it does."""
    host = _host()
    found = host.find(state.container_name)
    if found is not None and device_container.is_of(found, state.device_id):
        host.stop(found.id)
    return state


@external("device_deletion.remove_container")
def remove_container(state: DeviceDeletionState, key: IdempotencyKey) -> DeviceDeletionState:  # noqa: ARG001 - gone already is fine
    """Leave no container of this device."""
    device_container.remove(_host(), state.container_name, state.device_id)
    return state


@transactional("device_deletion.release_ports")
def release_ports(state: DeviceDeletionState, session: Session) -> DeviceDeletionState:
    """Let others have its port; nobody reaches the device any more."""
    session.execute(
        update(Device)
        .where(Device.id == state.device_id)
        .values(status=DeviceStatus.DELETED, adb_address=None, adb_port=None)
    )
    device_ports.release(session, state.device_id)
    return state


@transactional("device_deletion.release_quota")
def release_quota(state: DeviceDeletionState, session: Session) -> DeviceDeletionState:
    """Give its share of the quota back to its user."""
    session.execute(delete(QuotaShare).where(QuotaShare.device_id == state.device_id))
    return state


@transactional("device_deletion.delete_record")
def delete_record(state: DeviceDeletionState, session: Session) -> DeviceDeletionState:
    """Forget the device; its sagas remember it."""
    session.execute(delete(Device).where(Device.id == state.device_id))
    return state


def _host() -> ContainerHost:
    """The container host; without one only a person can bring the deletion on."""
    try:
        return container_host()
    except (NoSuchDoor, AccountFaulty) as missing:
        raise NeedsPerson(
            f"{missing}; start the workers anew, then retry",
            effect=Effect.NOT_STARTED,
            code="NOT_SET_UP",
        ) from missing
