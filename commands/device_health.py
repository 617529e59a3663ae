"""What ``saga doctor`` should know of devices: their host, its images, and the ports."""

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.devices import ContainerHost, HostError
from models import Specification
from saga import Engine
from saga.doctor import Finding
from settings import settings
from tasks import device_ports, doors
from tasks.device_container import image_of

_HOST, _IMAGE, _PORTS = "container host", "device image", "device ports"
_FEW_LEFT = 0.1


def findings(engine: Engine) -> Iterator[Finding]:
    """See that devices can be created: by whom, of what, and with which ports."""
    try:
        host = doors.container_host()
    except doors.NoSuchDoor:
        yield Finding.warn(
            _HOST, "is not set: no device can be created", "set DEVICE_HOST_URL to a Docker Engine"
        )
        return
    except AccountFaulty as faulty:
        for fault in faulty.faults:
            yield Finding.bad(fault.variable, fault.detail, fault.advice)
        return
    try:
        host.check()
        yield Finding.ok(_HOST, f"{host.name} answers")
        yield from _images(host)
    except HostError as error:
        yield Finding.bad(_HOST, str(error), "devices that are asked for wait, and then go back")
    yield from _ports(engine)


def _images(host: ContainerHost) -> Iterator[Finding]:
    images = sorted({image_of(version) for version in _versions()})
    missing = [image for image in images if not host.has_image(image)]
    if missing:
        yield Finding.bad(
            _IMAGE,
            f"{host.name} has no {', '.join(missing)}",
            "docker pull it there, or correct DEVICE_IMAGE; the minimal device: saga device-image",
        )
    else:
        yield Finding.ok(_IMAGE, f"{', '.join(images)} can be run")


def _versions() -> tuple[int, ...]:
    annotation = Specification.model_fields["android_version"].annotation
    return tuple(getattr(annotation, "__args__", ()))


def _ports(engine: Engine) -> Iterator[Finding]:
    among = settings.device_port_range
    try:
        with Session(engine.database) as session:
            free = device_ports.free(session, among)
    except DBAPIError:
        return  # what is wrong with the database is found without us
    told = f"{free} of {len(among)} are free, from {among[0]} to {among[-1]}"
    if free <= len(among) * _FEW_LEFT:
        yield Finding.warn(_PORTS, f"only {told}", "delete devices, or widen DEVICE_PORTS")
    else:
        yield Finding.ok(_PORTS, told)
