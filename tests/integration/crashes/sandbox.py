"""The real sandbox, served from a thread of this process, by a clock that a test may turn."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from gateways.connection import SandboxProtocol
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.keys import key_ring
from gateways.payments.sandbox.merchant import environment
from gateways.payments.sandbox.server import sandbox


@dataclass
class Clock:
    """The machine's, and how far a test turned it on."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> float:
        return time.time() + self.ahead.total_seconds()


class Sandbox:
    """What tests and auditors use of it."""

    def __init__(self, url: str, clock: Clock, keys: Path) -> None:
        self.url = url
        self.clock = clock
        self.environment = environment(url, keys)
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def know(self, payment_no: str, amount: str) -> None:
        known = {"paymentNo": payment_no, "amount": amount, "method": "wechat"}
        self._post("/control/payments", {"payments": [known]})

    def fault(self, fault: dict[str, Any]) -> None:
        self._post("/control/faults", fault)

    def forget_faults(self) -> None:
        self._http.delete("/control/faults").raise_for_status()

    def books(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._http.get("/control/books").json()["refunds"]
        return found

    def close(self) -> None:
        self._http.close()

    def _post(self, path: str, body: dict[str, Any]) -> None:
        self._http.post(path, json=body).raise_for_status()


@contextmanager
def open_sandbox(folder: Path, *, keys: Path | None = None) -> Iterator[Sandbox]:
    """Serve one with its books in `folder`, and its keys there, too, unless `keys` has them."""
    clock = Clock()
    keys = keys or folder / "keys"
    ring = key_ring(keys)
    served: list[uvicorn.Server] = []

    def serve() -> None:
        # SQLite is to be used in the thread that opened it.
        app = sandbox(Books(folder / "books.sqlite", clock=clock), ring)
        config = uvicorn.Config(
            app,
            port=0,
            http=SandboxProtocol,
            ws="none",
            log_config=None,
            # A call that hangs would hold up the end for ever.
            timeout_graceful_shutdown=1,
        )
        served.append(uvicorn.Server(config))
        served[0].run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    while not (served and served[0].started):
        time.sleep(0.005)
    port = served[0].servers[0].sockets[0].getsockname()[1]
    opened = Sandbox(f"http://127.0.0.1:{port}", clock, keys)
    try:
        yield opened
    finally:
        opened.close()
        served[0].should_exit = True
        thread.join()
