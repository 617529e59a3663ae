"""Which port of the container host is whose. The host itself has the last word: `replace`."""

from datetime import timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import DevicePort

# Who had a port that we believed free may be gone by then.
BLOCKED_FOR = timedelta(hours=1)

# Any free one, not the lowest: who was given the same one last may still be listening to it.
_FREE = """
    FROM generate_series(:first, :last) AS candidate
    WHERE NOT EXISTS (
        SELECT FROM device_ports AS taken
        WHERE taken.port = candidate
          AND (taken.device_id IS NOT NULL OR taken.since > clock_timestamp() - :blocked_for)
    )"""
_ANY_FREE = text(f"SELECT candidate {_FREE} ORDER BY random() LIMIT 1")
_HOW_MANY_FREE = text(f"SELECT count(*) {_FREE}")


class NoPortLeft(Exception):
    """Every port is taken, by devices or by something else on the host."""

    def __init__(self, among: range) -> None:
        super().__init__(
            f"no port from {among[0]} to {among[-1]} is free: delete devices, or widen DEVICE_PORTS"
        )


def reserve(session: Session, device_id: str, among: range) -> int:
    """Take a free port for a device. Raises NoPortLeft."""
    _choose_alone(session)
    port = session.scalar(_ANY_FREE, _bounds(among))
    if port is None:
        raise NoPortLeft(among)
    taken = {"device_id": device_id, "since": func.clock_timestamp(), "is_settled": False}
    session.execute(
        insert(DevicePort)
        .values(port=port, **taken)
        .on_conflict_do_update(index_elements=["port"], set_=taken)
    )
    return int(port)


def free(session: Session, among: range) -> int:
    """How many ports are free now."""
    return int(session.scalar(_HOW_MANY_FREE, _bounds(among)) or 0)


def port_of(session: Session, device_id: str) -> int | None:
    """The port that the device has; None: it has none, or none any more."""
    return session.scalar(select(DevicePort.port).where(DevicePort.device_id == device_id))


def replace(session: Session, device_id: str, clashed: int, among: range) -> None:
    """Give a device another port than the one that the host says is in use; that one is blocked.

    Does nothing where the device has another port by now, or none, or has settled for this one:
    its container runs with it. Raises NoPortLeft.
    """
    _choose_alone(session)
    blocked = session.execute(
        update(DevicePort)
        .where(
            DevicePort.port == clashed,
            DevicePort.device_id == device_id,
            DevicePort.is_settled.is_(False),
        )
        .values(device_id=None, since=func.clock_timestamp())
        .returning(DevicePort.port)
    )
    if blocked.one_or_none() is not None:
        reserve(session, device_id, among)


def settle(session: Session, device_id: str, port: int) -> bool:
    """Let the device keep the port that its container runs with; a second time is fine.

    False: it has another one by now, or none; nobody is to use that container.
    """
    settled = session.execute(
        update(DevicePort)
        .where(DevicePort.port == port, DevicePort.device_id == device_id)
        .values(is_settled=True)
        .returning(DevicePort.port)
    )
    return settled.one_or_none() is not None


def release(session: Session, device_id: str) -> None:
    """Let others have the device's port; none there is fine."""
    session.execute(delete(DevicePort).where(DevicePort.device_id == device_id))


def _bounds(among: range) -> dict[str, object]:
    return {"first": among[0], "last": among[-1], "blocked_for": BLOCKED_FOR}


def _choose_alone(session: Session) -> None:
    """Let nobody else choose a port until this transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('device ports', 0))"))
