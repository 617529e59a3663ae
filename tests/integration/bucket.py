"""The object sandbox as a process of its own, and whoever orders its faults and reads its books."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from gateways.objects.accounts import BucketAccount
from gateways.objects.bucket import BucketStore

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Bucket:
    """One bucket of a running sandbox at ``url``."""

    url: str
    name: str = "cloudphone-apps"

    @property
    def account(self) -> BucketAccount:
        return BucketAccount(
            bucket=self.name,
            region="us-east-1",
            access_key_id="key",
            secret_access_key="the secret",
            endpoint=self.url,
        )

    def store(self) -> BucketStore:
        return BucketStore(self.account, timedelta(seconds=10))

    def fault(self, operation: str, kind: str, **more: Any) -> None:
        order = {"operation": operation, "kind": kind, **more}
        httpx.post(f"{self.url}/control/faults", json=order).raise_for_status()

    def forget_faults(self) -> None:
        httpx.delete(f"{self.url}/control/faults").raise_for_status()

    def books(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = httpx.get(f"{self.url}/control/books").json()
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def open_bucket() -> Iterator[Bucket]:
    """A sandbox that runs while the block does."""
    bucket = Bucket(f"http://127.0.0.1:{free_port()}")
    process = subprocess.Popen(
        [sys.executable, "-m", "gateways.objects.sandbox", "--port", bucket.url.rpartition(":")[2]],
        cwd=PROJECT,
    )
    try:
        end = time.monotonic() + 60
        while not _answers(bucket.url):
            assert process.poll() is None
            assert time.monotonic() < end, "the sandbox did not start"
            time.sleep(0.05)
        yield bucket
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1).is_success
    except httpx.TransportError:
        return False
