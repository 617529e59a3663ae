"""Where devices run, and how they are spoken to."""

from gateways.devices.host import (
    MANAGED,
    SAGA,
    STEP,
    Container,
    ContainerHost,
    HostAway,
    HostError,
    HostRefused,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
    Wanted,
)

__all__ = [
    "MANAGED",
    "SAGA",
    "STEP",
    "Container",
    "ContainerHost",
    "HostAway",
    "HostError",
    "HostRefused",
    "ImageMissing",
    "NameTaken",
    "NoSuchContainer",
    "PortTaken",
    "Wanted",
]
