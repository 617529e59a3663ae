"""The simulated host's containers: written down in a file, and running as processes."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from gateways.devices.sandbox.faults import Fault, Kind

_LISTENS_WITHIN_SECONDS = 5
_LOOK_EVERY_SECONDS = 0.01
# What the minimal device ends with when it cannot listen.
_NO_PORT = 1
# As an engine says it: the shell's code for what was ended by SIGTERM.
_STOPPED = 143


class Gone(Exception):
    """There is no such container."""


class InUse(Exception):
    """The name is another container's; ``id`` is its id."""

    def __init__(self, container_id: str) -> None:
        self.id = container_id
        super().__init__(container_id)


class PortInUse(Exception):
    """Something else has the port."""


class Record(BaseModel):
    """A container as it is written down. ``environment`` is what the device is started with."""

    id: str
    name: str
    image: str
    labels: dict[str, str]
    command: list[str]
    environment: dict[str, str]
    address: str
    port: int
    state: str = "created"
    created_at: datetime
    started_at: datetime | None = None
    exit_code: int = 0


_RECORDS = TypeAdapter(list[Record])


class Containers:
    """All containers of one host; ``folder`` keeps them. One thread of one process may use it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "containers.json"
        self._log = folder / "devices.log"
        folder.mkdir(parents=True, exist_ok=True)
        known = _RECORDS.validate_json(self._file.read_bytes()) if self._file.exists() else []
        self._records = {record.id: record for record in known}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def all(self) -> list[Record]:
        """Every container, as it is now, the newest first."""
        for record in self._records.values():
            self._look(record)
        return sorted(self._records.values(), key=lambda record: record.created_at, reverse=True)

    def find(self, name_or_id: str) -> Record:
        """By its name, its id or the beginning of that. Raises Gone."""
        named = [record for record in self._records.values() if record.name == name_or_id]
        for record in named or self._by_id(name_or_id):
            self._look(record)
            return record
        raise Gone(name_or_id)

    def create(
        self,
        *,
        name: str,
        image: str,
        labels: Mapping[str, str],
        command: list[str],
        environment: Mapping[str, str],
        address: str,
        port: int,
        boot: Fault | None,
    ) -> Record:
        """Write a container down; it does not run yet. Raises InUse."""
        with suppress(Gone):
            raise InUse(self.find(name).id)
        record = Record(
            id=secrets.token_hex(32),
            name=name,
            image=image,
            labels=dict(labels),
            command=command,
            environment=dict(environment) | _environment(boot),
            address=address,
            port=port,
            created_at=datetime.now(UTC),
        )
        self._records[record.id] = record
        self._write()
        return record

    async def start(self, record: Record, binary: Path) -> bool:
        """Let it run, listening. False: it does so already. Raises PortInUse and Gone."""
        async with self._turn(record):
            if self.find(record.id).state == "running":
                return False
            if _is_bound(record.address, record.port):
                raise PortInUse
            process = self._spawn(record, binary)
            await _listening(process, record)
            self._processes[record.id] = process
            record.state, record.started_at = "running", datetime.now(UTC)
            self._write()
            return True

    async def start_again(self, binary: Path) -> None:
        """Let those run that did when this host ended."""
        for record in list(self._records.values()):
            if record.state == "running" and record.id not in self._processes:
                record.state = "exited"
                with suppress(PortInUse):
                    await self.start(record, binary)

    async def stop(self, record: Record, *, within_seconds: float) -> bool:
        """End it. False: it does not run."""
        async with self._turn(record):
            if self.find(record.id).state != "running":
                return False
            await self._end(record, within_seconds)
            record.state, record.exit_code = "exited", _STOPPED
            self._write()
            return True

    async def remove(self, record: Record) -> None:
        """Remove it, running or not. Raises Gone."""
        async with self._turn(record):
            self.find(record.id)
            await self._end(record, 0)
            del self._records[record.id]
            self._write()

    async def end(self) -> None:
        """End all processes; what ran is written down as running, and does so again."""
        for record in list(self._records.values()):
            await self._end(record, 1)

    def _spawn(self, record: Record, binary: Path) -> subprocess.Popen[bytes]:
        where = ["--port", str(record.port), "--bind", record.address]
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - ours
                [str(binary), *where, "--until-eof", *record.command],
                env=record.environment,
                # It ends when we do, however that is: then this pipe is closed.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _by_id(self, beginning: str) -> Iterator[Record]:
        return (record for record in self._records.values() if record.id.startswith(beginning))

    def _turn(self, record: Record) -> asyncio.Lock:
        return self._turns.setdefault(record.id, asyncio.Lock())

    def _look(self, record: Record) -> None:
        """Notice that its process ended by itself."""
        process = self._processes.get(record.id)
        if process is not None and record.state == "running" and process.poll() is not None:
            record.state, record.exit_code = "exited", process.returncode
            self._forget(record)
            self._write()

    async def _end(self, record: Record, within_seconds: float) -> None:
        process = self._processes.get(record.id)
        if process is None:
            return
        process.terminate() if within_seconds > 0 else process.kill()
        deadline = time.monotonic() + within_seconds
        while process.poll() is None:
            if time.monotonic() >= deadline:
                process.kill()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        self._forget(record)

    def _forget(self, record: Record) -> None:
        # Whoever looked at it while it was being ended has noticed its end already.
        process = self._processes.pop(record.id, None)
        if process is not None and process.stdin is not None:
            process.stdin.close()

    def _write(self) -> None:
        written = self._file.with_suffix(".new")
        written.write_bytes(_RECORDS.dump_json(list(self._records.values())))
        written.replace(self._file)


def _environment(boot: Fault | None) -> dict[str, str]:
    """What makes a device boot as it was ordered."""
    match boot:
        case None:
            return {}
        case Fault(kind=Kind.NEVER):
            return {"BOOT_SECONDS": "never"}
        case Fault(kind=Kind.SLOW):
            return {"BOOT_SECONDS": str(boot.seconds)}
        case _:
            return {"BOOT_SECONDS": str(boot.seconds), "MISBEHAVE": boot.kind.value}


def _is_bound(address: str, port: int) -> bool:
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind((address, port))
        except OSError:
            return True
    return False


async def _listening(process: subprocess.Popen[bytes], record: Record) -> None:
    """Wait until the device listens. Raises PortInUse where it does not come to that."""
    deadline = time.monotonic() + _LISTENS_WITHIN_SECONDS
    place = ("127.0.0.1" if record.address == "0.0.0.0" else record.address, record.port)  # noqa: S104 - compared
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(place, timeout=1):
            return
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
    process.kill()
    # What ends with another code had the port, and ended at once.
    if process.wait() in {_NO_PORT, -signal.SIGKILL}:
        raise PortInUse


def environment_of(words: list[str]) -> dict[str, str]:
    """The environment in an engine's words, such as ``A=b``, beside what a program needs."""
    given = dict(word.partition("=")[::2] for word in words)
    return {"PATH": os.environ.get("PATH", ""), **given}
