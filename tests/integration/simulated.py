"""A simulated host as a process of its own, killed and started again as a test likes."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from gateways.devices import Wanted
from gateways.devices.accounts import HostAccount
from gateways.devices.adb import AdbDevice
from gateways.devices.engine import DockerHost
from tests import nursery
from tests.integration.wires import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_SECONDS = 20
QUICKLY = timedelta(seconds=5)


class Simulated:
    """The host, what speaks to it as to any engine, and its devices' processes."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self.host = DockerHost(HostAccount(url=self.url), QUICKLY)
        self._environment = {**os.environ, **environment}

    def start(self) -> None:
        port = self.url.rpartition(":")[2]
        with (self.folder.parent / "host.log").open("a") as log, Path(os.devnull).open() as nothing:
            self.process = nursery.spawn(
                *("-m", "gateways.devices.sandbox", "--port", port, "--data", str(self.folder)),
                cwd=ROOT,
                env=self._environment,
                out=log,
                err=log,
                stdin=nothing,
            )
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._is_ready():
            assert time.monotonic() < deadline, "the simulated host did not start"
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", trust_env=False).is_success
        return False

    def end(self, *, kill: bool = False) -> None:
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(10)

    def devices(self) -> list[psutil.Process]:
        """The processes of this host's devices, whoever is their parent by now."""
        beginning = str(self.folder / "device-")
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cmdline()[:1] and process.cmdline()[0].startswith(beginning):
                    found.append(process)
        return found

    def order(self, **fault: Any) -> None:
        httpx.post(f"{self.url}/control/faults", json=fault, trust_env=False).raise_for_status()

    def books(self) -> list[Mapping[str, Any]]:
        answer = httpx.get(f"{self.url}/control/books", trust_env=False)
        found: list[Mapping[str, Any]] = answer.json()["containers"]
        return found


@contextmanager
def simulated(folder: Path, **environment: str) -> Iterator[Simulated]:
    """Give a host that has started; at the end neither it nor any device of it is left."""
    made = Simulated(folder, **environment)
    made.start()
    try:
        yield made
    finally:
        made.end(kill=True)


def wanted(name: str, port: int | None = None, **others: Any) -> Wanted:
    given = {
        "name": name,
        "image": "celery-sagas-device",
        "labels": {"cloudphone.managed": "true"},
        "command": [],
        "environment": {"BOOT_SECONDS": "0"},
        "port": port or free_port(),
    }
    return Wanted(**{**given, **others})


def adb(port: int, *, within: timedelta = QUICKLY) -> AdbDevice:
    return AdbDevice("127.0.0.1", port, timeout=within)
