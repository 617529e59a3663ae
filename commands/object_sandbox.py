"""A real S3 server for a while, which fails as it is told: of the demonstration and benchmarks."""

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

INSTALL = "pip install -e '.[dev]'"
"""What brings the server, in the project's folder, where ``is_installed`` is False."""

_BUCKET = "apps"
_READY_WITHIN = timedelta(seconds=60)


class SandboxDown(Exception):
    """The server did not start."""


def is_installed() -> bool:
    return find_spec("moto") is not None and find_spec("flask") is not None


class ObjectSandbox:
    """One bucket on a free port of this machine; its objects are gone when it stops."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self.environment = {
            "OBJECT_STORE_ENDPOINT": self.url,
            "OBJECT_STORE_BUCKET": _BUCKET,
            "OBJECT_STORE_ACCESS_KEY_ID": "sandbox",
            "OBJECT_STORE_SECRET_ACCESS_KEY": "sandbox",
        }
        """What lets the application keep its objects here."""

    def start(self, environment: Mapping[str, str], log: Path) -> None:
        """Start it, at once; ``wait`` until it answers."""
        module = ("-m", "gateways.objects.sandbox")
        with log.open("wb") as stream:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *module, "--port", str(self._port), "--bucket", _BUCKET],
                cwd=Path(__file__).parents[1],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, "start it first"
        return self._process.pid

    def wait(self) -> None:
        """Return when it answers. Raises SandboxDown when it never does."""
        assert self._process is not None, "start it first"
        deadline = time.monotonic() + _READY_WITHIN.total_seconds()
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/healthz", timeout=1, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise SandboxDown("the S3 server did not start")

    def stop(self) -> None:
        """End it; a second call does nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def order(self, fault: Mapping[str, Any]) -> None:
        """Let requests to come go wrong, after those that were ordered before."""
        told = httpx.post(f"{self.url}/control/faults", json=dict(fault), trust_env=False)
        told.raise_for_status()

    def heal(self) -> None:
        """Forget all faults."""
        httpx.delete(f"{self.url}/control/faults", trust_env=False).raise_for_status()

    def books(self) -> dict[str, list[dict[str, Any]]]:
        """All ``objects`` and unfinished ``uploads``, as the server itself has them."""
        told = httpx.get(f"{self.url}/control/books", timeout=60, trust_env=False)
        told.raise_for_status()
        books: dict[str, list[dict[str, Any]]] = told.json()
        return books
