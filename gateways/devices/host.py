"""Where devices' containers run, whatever it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MANAGED = "cloudphone.managed"
SAGA = "cloudphone.saga"
STEP = "cloudphone.step"
"""The labels of our containers: "true", the saga that made it, and the step."""


class HostError(Exception):
    """The container host did not do what it was asked; the message says what to do."""


class HostAway(HostError):
    """Nobody answered, not in time, or not as a container host does; it may have been done.

    ``sent`` is False where the request surely never reached the host.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        self.sent = sent
        super().__init__(message)


class HostRefused(HostError):
    """It said no, and would say so again."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class ImageMissing(HostError):
    """The host does not have the image."""

    def __init__(self, image: str) -> None:
        self.image = image
        super().__init__(
            f"the container host has no image {image}: bring it there, or correct DEVICE_IMAGE"
        )


class NameTaken(HostError):
    """There is a container of this name already."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is a container {name} already")


class PortTaken(HostError):
    """Something else on the host has the port that the container is to have."""


class NoSuchContainer(HostError):
    """The container is gone."""

    def __init__(self, name_or_id: str) -> None:
        super().__init__(f"there is no container {name_or_id}")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A container as it is to be.

    ``port`` of the host, at ``bind_address``, leads to the device's adb. ``cpu`` is in cores; None
    sets no limit.
    """

    name: str
    image: str
    labels: Mapping[str, str]
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    bind_address: str = "127.0.0.1"
    cpu: int | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    privileged: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container as its host tells it.

    ``state`` is the host's word: created, running, restarting, paused, exited, dead, removing.
    ``port`` is the host's port that it has, or is to have. What a list of containers does not tell
    is None: when it started, its exit code, its port. Times are aware, by the host's clock.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: str
    created_at: datetime
    started_at: datetime | None = None
    exit_code: int | None = None
    port: int | None = None


class ContainerHost(Protocol):
    """Runs containers. Whatever it does may raise HostAway and HostRefused.

    Each function is one request, or few, and never tries again by itself. ``name`` tells people
    which host it is, and holds no secret.
    """

    name: str

    def create(self, wanted: Wanted) -> Container:
        """Make a container, not running yet. Raises NameTaken and ImageMissing."""

    def start(self, container_id: str) -> None:
        """Let it run; running already is fine. Raises PortTaken and NoSuchContainer."""

    def find(self, name: str) -> Container | None:
        """The container of exactly this name."""

    def stop(self, name_or_id: str) -> None:
        """Let it end, by force after some seconds; ended or gone already is fine."""

    def remove(self, name_or_id: str) -> None:
        """Remove it, running or not; gone already, or being removed, is fine."""

    def containers(self) -> Iterator[Container]:
        """All that bear the label MANAGED, running or not; no more of each than a list tells."""

    def has_image(self, image: str) -> bool:
        """Whether containers can be made of the image."""

    def check(self) -> None:
        """See that it answers; cheap."""
