"""What devices leave behind: containers on their host, and ports and shares in our own tables."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy import Engine as Database
from sqlalchemy.orm import InstrumentedAttribute, Session

from gateways.devices import SAGA, Container, ContainerHost
from models import Device, DevicePort, QuotaShare, container_name
from tasks import device_ports
from tasks.doors import container_host, database
from workflows.sweeping import ownership
from workflows.sweeping.judgement import Kind, Thing
from workflows.sweeping.source import NO_GRACE, told


def device_of(container: Container) -> UUID | None:
    """Whose container it is, by its label and its name; None where they are not as we give them."""
    try:
        device_id = UUID(container.labels.get(SAGA, ""))
    except ValueError:
        return None
    return device_id if container.name == container_name(str(device_id)) else None


class Containers:
    """What runs on the container host under our label, or did."""

    kind = Kind.CONTAINER
    shortest_grace = NO_GRACE

    def __init__(self, door: Callable[[], ContainerHost] = container_host) -> None:
        self._door = door

    def things(self) -> Iterator[Thing]:
        with told():
            for found in self._door().containers():
                yield Thing(
                    kind=self.kind,
                    name=found.name,
                    key=found.name,
                    saga_id=device_of(found),
                    size_bytes=None,
                    since=found.created_at,
                    handle=found.id,
                )

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:
        return _on_record(session, things)

    def remove(self, thing: Thing) -> None:
        # By its id: of that name there may be another one by now.
        with told():
            self._door().remove(str(thing.handle))


class Ports:
    """The ports of devices that have no record, or none yet."""

    kind = Kind.PORT
    shortest_grace = NO_GRACE

    def __init__(self, door: Callable[[], Database] = database) -> None:
        self._door = door

    def things(self) -> Iterator[Thing]:
        with Session(self._door()) as session, session.begin():
            rows = session.execute(
                select(DevicePort.port, DevicePort.device_id, DevicePort.since).where(
                    DevicePort.device_id.is_not(None), _has_no_record(DevicePort.device_id)
                )
            ).all()
        for port, device_id, since in rows:
            yield Thing(
                kind=self.kind,
                name=str(port),
                key=f"port {port} of device {device_id}",
                saga_id=_uuid(device_id),
                size_bytes=None,
                since=since,
                handle=device_id,
            )

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:
        return _on_record(session, things)

    def remove(self, thing: Thing) -> None:
        with Session(self._door()) as session, session.begin():
            device_ports.release(session, str(thing.handle))


class Shares:
    """What devices that have no record, or none yet, take of their users' quotas."""

    kind = Kind.SHARE
    shortest_grace = NO_GRACE

    def __init__(self, door: Callable[[], Database] = database) -> None:
        self._door = door

    def things(self) -> Iterator[Thing]:
        with Session(self._door()) as session, session.begin():
            rows = session.execute(
                select(QuotaShare.device_id, QuotaShare.user_id, QuotaShare.since).where(
                    _has_no_record(QuotaShare.device_id)
                )
            ).all()
        for device_id, user_id, since in rows:
            yield Thing(
                kind=self.kind,
                name=device_id,
                key=f"share of device {device_id} in the quota of user {user_id}",
                saga_id=_uuid(device_id),
                size_bytes=None,
                since=since,
                handle=device_id,
            )

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:
        return _on_record(session, things)

    def remove(self, thing: Thing) -> None:
        with Session(self._door()) as session, session.begin():
            session.execute(delete(QuotaShare).where(QuotaShare.device_id == thing.handle))


def _has_no_record(device_id: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    return ~exists().where(Device.id == device_id)


def _uuid(device_id: str | None) -> UUID | None:
    try:
        return None if device_id is None else UUID(device_id)
    except ValueError:
        return None


def _on_record(session: Session, things: Sequence[Thing]) -> frozenset[str]:
    """The names of those things whose device has a record."""
    device_ids = [str(thing.saga_id) for thing in things if thing.saga_id is not None]
    recorded = ownership.devices_on_record(session, device_ids)
    return frozenset(thing.name for thing in things if str(thing.saga_id) in recorded)
