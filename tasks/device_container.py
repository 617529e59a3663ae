"""The container of one device: how it is to be, and that no other one is taken for it."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from sqlalchemy.orm import Session

from gateways.devices import (
    MANAGED,
    SAGA,
    STEP,
    Container,
    ContainerHost,
    HostRefused,
    NameTaken,
    NoSuchContainer,
    PortTaken,
    Wanted,
)
from models import DeviceState
from settings import settings
from tasks import device_ports
from tasks.doors import database

# As Android's daemon numbers them; each that clashes is blocked for others, too.
_PORTS_TO_TRY = 20


class NotOurs(Exception):
    """A container that we did not make has the name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is a container {name} that this saga did not make: see whose it is, remove it"
        )


class NotWanted(Exception):
    """The device has no port any more: its saga went back, and nobody wants the container."""

    def __init__(self, device_id: str) -> None:
        super().__init__(f"device {device_id} has no port any more: its saga has gone back")


class NoPortWorked(Exception):
    """The host had one port after the other in use, or one container after the other was gone."""


class RefusedHalfway(Exception):
    """The host refused something when the container was there, or may have been."""


def run(host: ContainerHost, state: DeviceState, *, step: str) -> tuple[Container, int]:
    """The device's container, running, and its port. A second call gives the same one.

    However many of these calls there are at once, and wherever one stands still, one container
    comes of it: its name is the lock, and its port changes only while nobody has settled for it.
    Raises NotOurs, NotWanted, NoPortWorked, NoPortLeft, RefusedHalfway, and what the host raises:
    HostRefused and ImageMissing only where it left nothing; what else is left bears the name.
    """
    for turn in range(_PORTS_TO_TRY):
        with _halfway() if turn else nullcontext():
            found = find(host, state.container_name, state.device_id)
        # After the container was looked for: one with another port is then older than this one.
        port = _port(state.device_id)
        if found is not None and found.port != port:
            with _halfway():
                host.remove(found.id)
            found = None
        if port is None:
            raise NotWanted(state.device_id)
        try:
            container = found or host.create(_wanted(state, port, step))
            with _halfway():
                host.start(container.id)
        except (NameTaken, NoSuchContainer):
            continue  # a twin of this call was faster
        except PortTaken:
            # Its container is removed above, if the port is replaced: a twin may have started it.
            _replace(state.device_id, port)
            continue
        # Not if the saga went back, or a twin replaced the port, while this call stood still.
        if _settle(state.device_id, port):
            return container, port
    raise NoPortWorked(
        f"it was tried {_PORTS_TO_TRY} times, and each time its port was in use on the host, or "
        "its container was changed by somebody else"
    )


def find(host: ContainerHost, name: str, device_id: str) -> Container | None:
    """The device's container, if there is one. Raises NotOurs."""
    found = host.find(name)
    if found is not None and not is_of(found, device_id):
        raise NotOurs(name)
    return found


def remove(host: ContainerHost, name: str, device_id: str) -> None:
    """Let no container of this device be there; what is not ours is left alone."""
    found = host.find(name)
    if found is not None and is_of(found, device_id):
        host.remove(found.id)


@contextmanager
def _halfway() -> Iterator[None]:
    """Let no refusal pass for the word that nothing was made."""
    try:
        yield
    except HostRefused as refused:
        raise RefusedHalfway(str(refused)) from refused


def is_of(container: Container, device_id: str) -> bool:
    """Whether it was made for this device."""
    labels = container.labels
    return labels.get(MANAGED) == "true" and labels.get(SAGA) == device_id


def image_of(android_version: int) -> str:
    """What a device of this version is made of."""
    return settings.device_image.replace("{android}", str(android_version))


def _wanted(state: DeviceState, port: int, step: str) -> Wanted:
    asked, limits = state.specification, settings.device_limits
    return Wanted(
        name=state.container_name,
        image=image_of(asked.android_version),
        labels={MANAGED: "true", SAGA: state.device_id, STEP: step},
        # As redroid is told: https://github.com/remote-android/redroid-doc
        command=[
            f"androidboot.redroid_width={asked.width}",
            f"androidboot.redroid_height={asked.height}",
            f"androidboot.redroid_dpi={asked.dpi}",
        ],
        environment={},
        port=port,
        bind_address=settings.device_bind_address,
        cpu=asked.cpu if limits else None,
        memory_mb=asked.memory_mb if limits else None,
        storage_mb=asked.storage_mb if settings.device_storage_limit else None,
        privileged=settings.device_privileged,
    )


def _port(device_id: str) -> int | None:
    with Session(database()) as session, session.begin():
        return device_ports.port_of(session, device_id)


def _replace(device_id: str, clashed: int) -> None:
    with Session(database()) as session, session.begin():
        device_ports.replace(session, device_id, clashed, settings.device_port_range)


def _settle(device_id: str, port: int) -> bool:
    with Session(database()) as session, session.begin():
        return device_ports.settle(session, device_id, port)
