"""A reception: where applications are handed in over HTTP; their sagas are worked by hand."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from httpx import Client, Response
from sqlalchemy import text

from gateways.objects.folder import FolderStore
from gateways.staging import Staging
from tests.apks import make_apk
from tests.integration.by_hand import ByHand

KEY = "the key of these tests"
MEGABYTE = 1024 * 1024
BOUNDARY = b"a line between parts"
TYPE = b'multipart/form-data; boundary="%b"' % BOUNDARY
TABLES = ("applications", "saga_state", "saga_event", "saga_signal", "saga_pause")

Parts = Sequence[tuple[bytes, bytes]]


def part(name: bytes, content: bytes, filename: bytes | None = None) -> tuple[bytes, bytes]:
    told = b'form-data; name="%b"' % name
    return told if filename is None else told + b'; filename="%b"' % filename, content


def form(parts: Parts) -> bytes:
    """The parts as the body of a form."""
    head = b"--%b\r\nContent-Disposition: " % BOUNDARY
    written = (head + told + b"\r\n\r\n" + content + b"\r\n" for told, content in parts)
    return b"".join(written) + b"--%b--\r\n" % BOUNDARY


def until(is_so: Callable[[], bool], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


@dataclass
class Reception:
    """The API at ``address``, the folders behind it, and the engine."""

    address: str
    client: Client
    by_hand: ByHand
    staging: Staging
    store: FolderStore
    folder: Path

    @classmethod
    def of(cls, address: str, client: Client, by_hand: ByHand, folder: Path) -> Self:
        """With nothing in database, broker and folders."""
        with by_hand.database.begin() as connection:
            connection.execute(text("; ".join(f"DELETE FROM {table}" for table in TABLES)))
        for messages in (by_hand.broker.queue, by_hand.broker.held, by_hand.broker.published):
            messages.clear()
        by_hand.broker.is_away = False
        staging = Staging(folder / "staging", largest=2 * MEGABYTE)
        (folder / "objects").mkdir()
        return cls(address, client, by_hand, staging, FolderStore(folder / "objects"), folder)

    def apk(self, **said: Any) -> bytes:
        return make_apk(self.folder / "made.apk", **said).read_bytes()

    def send(
        self, parts: Parts, *, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> Response:
        given = {"Content-Type": TYPE.decode(), **(headers or {})}
        if key is not None:
            given["Idempotency-Key"] = key
        return self.client.post("/api/apps", content=form(parts), headers=given)

    def upload(self, apk: bytes | None = None, *, key: str | None = None) -> Response:
        # Made once: a ZIP holds when it was made, so another one has another SHA-256.
        usual = self.folder / "usual.apk"
        content = (
            (usual if usual.exists() else make_apk(usual)).read_bytes() if apk is None else apk
        )
        return self.send([part(b"file", content, b"a.apk"), part(b"name", b"Tiny")], key=key)

    def speak(self, *pieces: bytes, length: int | None) -> socket.socket:
        """Send a request's pieces by hand, as no client would; chunked without a length."""
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        head = (
            f"POST /api/apps HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: {TYPE.decode()}\r\n{size}\r\n\r\n"
        )
        where = urlsplit(self.address)
        connection = socket.create_connection((where.hostname, where.port), timeout=20)
        connection.sendall(head.encode())
        for piece in pieces:
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if length is None else piece)
        return connection

    def staged(self) -> list[str]:
        if not self.staging.folder.exists():
            return []
        return sorted(path.name for path in self.staging.folder.iterdir())

    def sagas(self) -> int:
        with self.by_hand.database.connect() as connection:
            return connection.execute(text("SELECT count(*) FROM saga_state")).scalar_one()

    def assert_nothing_left(self) -> None:
        assert self.staged() == []
        assert self.sagas() == 0
        assert not self.by_hand.broker.published
