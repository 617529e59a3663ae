"""A container host in this process, and its devices: as a Docker engine does, and as it fails."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine as Database

from gateways.devices import (
    MANAGED,
    SAGA,
    Container,
    HostAway,
    HostError,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
    Wanted,
)
from gateways.devices.adb import AdbAway, AdbError, CommandFailed
from saga.crashpoints import around, reach

CALLS = ("check", "find", "create", "start", "stop", "remove", "containers")
Does = Callable[[], object]


def fails(error: Exception) -> Does:
    """What raises this error when it is its turn."""

    def fail() -> None:
        raise error

    return fail


def lost() -> HostAway:
    """No answer came: nobody knows whether it was done."""
    return HostAway("the container host did not answer")


@dataclass
class Box:
    """A container of the dock."""

    wanted: Wanted
    id: str = field(default_factory=lambda: uuid4().hex)
    state: str = "created"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    exit_code: int | None = None

    def ends(self, exit_code: int) -> None:
        self.state, self.exit_code = "exited", exit_code

    def told(self) -> Container:
        return Container(
            id=self.id,
            name=self.wanted.name,
            labels=dict(self.wanted.labels),
            state=self.state,
            created_at=self.created_at,
            started_at=self.started_at,
            exit_code=self.exit_code,
            port=self.wanted.port,
        )

    def listed(self) -> Container:
        """No more than a list tells."""
        return Container(
            id=self.id,
            name=self.wanted.name,
            labels=dict(self.wanted.labels),
            state=self.state,
            created_at=self.created_at,
        )


class Dock:
    """The host. The name is the lock; a port that is in use clashes at the start, and not before.

    ``strangers`` are ports that something else has. Where it ``is_away``, nobody hears a call.
    """

    name = "the dock"

    def __init__(self, image: str) -> None:
        self.images = {image}
        self.boxes: dict[str, Box] = {}
        self.strangers: set[int] = set()
        self.is_away = False
        self.calls: list[str] = []
        self.devices = Devices(self)
        self._turns: dict[str, deque[Does]] = defaultdict(deque)
        self._put_off: list[Wanted] = []

    def on(self, moment: str, *does: Does, times: int = 1) -> None:
        """Do it at the next ``times`` moments, such as "before create"; what it raises is told."""
        self._turns[moment].extend(list(does) * times)

    def forget_troubles(self) -> None:
        self._turns.clear()
        self.is_away = False
        self.strangers.clear()

    def puts_off(self) -> None:
        """Let the next creation be heard, and done only by `finish`."""
        self.on("put off", lambda: None)

    def finish(self) -> None:
        """Do what was put off, now that nobody waits for it: made and started."""
        while self._put_off:
            wanted = self._put_off.pop(0)
            if not self._named(wanted.name):
                self._make(wanted).state = "running"

    # What people see of it

    def bearing(self, device_id: UUID | str) -> list[Box]:
        """The containers that bear our label with this device's id."""
        return [box for box in self.boxes.values() if box.wanted.labels.get(SAGA) == str(device_id)]

    def the(self, device_id: UUID | str) -> Box:
        [box] = self.bearing(device_id)
        return box

    def put(self, wanted: Wanted) -> Box:
        """Somebody else makes a container here, and starts it."""
        box = self._make(wanted)
        box.state = "running"
        return box

    # As a ContainerHost

    def create(self, wanted: Wanted) -> Container:
        with self._asked("create"):
            if self._named(wanted.name):
                raise NameTaken(wanted.name)
            if wanted.image not in self.images:
                raise ImageMissing(wanted.image)
            if self._turns["put off"]:
                self._turns["put off"].popleft()
                self._put_off.append(wanted)
                raise lost()
            return self._make(wanted).told()

    def start(self, container_id: str) -> None:
        with self._asked("start"):
            box = self._found(container_id)
            if box is None:
                raise NoSuchContainer(container_id)
            if box.state == "running":
                return
            if box.wanted.port in self.strangers | set(self._listening()):
                raise PortTaken(f"port {box.wanted.port} is in use")
            box.state, box.exit_code, box.started_at = "running", None, datetime.now(UTC)

    def find(self, name: str) -> Container | None:
        with self._asked("find"):
            found = self._named(name)
            return found[0].told() if found else None

    def stop(self, name_or_id: str) -> None:
        with self._asked("stop"):
            box = self._found(name_or_id)
            if box is not None and box.state == "running":
                box.ends(0)

    def remove(self, name_or_id: str) -> None:
        with self._asked("remove"):
            box = self._found(name_or_id)
            if box is not None:
                del self.boxes[box.id]

    def containers(self) -> Iterator[Container]:
        with self._asked("containers"):
            found = [
                box.listed()
                for box in self.boxes.values()
                if box.wanted.labels.get(MANAGED) == "true"
            ]
        yield from found

    def has_image(self, image: str) -> bool:
        return image in self.images

    def check(self) -> None:
        with self._asked("check"):
            pass

    @contextmanager
    def _asked(self, call: str) -> Iterator[None]:
        self.calls.append(call)
        reach(f"before {call} at the host")
        try:
            if self.is_away:
                raise HostAway("nobody listens", sent=False)
            self._meet(f"before {call}")
            yield
            self._meet(f"after {call}")
        except HostError:
            # What was heard is an answer, too.
            reach(f"after {call} at the host")
            raise
        reach(f"after {call} at the host")

    def _meet(self, moment: str) -> None:
        if self._turns[moment]:
            self._turns[moment].popleft()()

    def _make(self, wanted: Wanted) -> Box:
        box = Box(wanted)
        self.boxes[box.id] = box
        return box

    def _named(self, name: str) -> Sequence[Box]:
        return [box for box in self.boxes.values() if box.wanted.name == name]

    def _found(self, name_or_id: str) -> Box | None:
        if name_or_id in self.boxes:
            return self.boxes[name_or_id]
        return next(iter(self._named(name_or_id)), None)

    def _listening(self) -> dict[int, Box]:
        return {box.wanted.port: box for box in self.boxes.values() if box.state == "running"}


class Devices:
    """What answers adb on the dock's ports.

    ``words`` are what the next connections meet, in turn; ``breaks`` are commands that fail, and
    ``reboots`` those after which a device boots again.
    """

    def __init__(self, dock: Dock) -> None:
        self._dock = dock
        self.boot = True
        self.words: deque[AdbError] = deque()
        self.breaks: set[str] = set()
        self.reboots: set[str] = set()
        self.ran: list[tuple[str, str]] = []

    def at(self, port: int) -> "Handset":
        return Handset(self, port)

    def listening(self, port: int) -> Box:
        """The container behind a port. Raises what a connection there meets."""
        if self.words:
            raise self.words.popleft()
        box = self._dock._listening().get(port)
        if box is None:
            raise AdbAway(f"nothing listens at {port}")
        return box


class Handset:
    """One connection to a device."""

    def __init__(self, devices: Devices, port: int) -> None:
        self._devices, self._port = devices, port

    def __enter__(self) -> Self:
        with around("connect to the device"):
            self._name = self._devices.listening(self._port).wanted.name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def is_booted(self) -> bool:
        return self._devices.boot

    def run(self, command: str) -> str:
        if command in self._devices.breaks:
            raise CommandFailed(command, "not found")
        self._devices.ran.append((self._name, command))
        self._devices.boot = command not in self._devices.reboots
        return ""


def open_doors(database: Database, dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the steps of devices find this dock and this database."""
    monkeypatch.setattr("tasks.device_creation.container_host", lambda: dock)
    monkeypatch.setattr("tasks.device_deletion.container_host", lambda: dock)
    monkeypatch.setattr("tasks.device_creation.adb", dock.devices.at)
    monkeypatch.setattr("tasks.device_container.database", lambda: database)
