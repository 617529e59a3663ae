"""What a store of objects does for us, and what goes wrong with one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol


class StoreError(Exception):
    """The store did not do what it was asked."""


class StoreAway(StoreError):
    """It cannot be reached, is full or in trouble; it may work the next time."""


class StoreRefused(StoreError):
    """It knows us and does not let us, or does not know us: a person must see to it."""


class Corrupt(StoreError):
    """The bytes are not those that they should be."""


class ObjectMissing(StoreError):
    """There is no such object."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing tells it; ``modified_at`` is aware."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class PendingUpload:
    """An object that somebody began to write and did not finish; ``begun_at`` is aware."""

    key: str
    upload_id: str
    begun_at: datetime


class ObjectStore(Protocol):
    """Keeps files under keys such as ``apps/com.example/1.0_….apk``.

    Every method may raise StoreAway and StoreRefused; a message says what to do and no secret.
    """

    @property
    def name(self) -> str:
        """Where it is, for people."""

    def put(
        self,
        key: str,
        file: Path,
        *,
        size: int,
        sha256: str,
        progress: Callable[[int], None],
    ) -> None:
        """Keep the file's bytes under the key, whole or not at all, and read them back.

        Ends whatever else is being written to the key first; leaves an object that is right
        already. ``progress`` is told the bytes so far; what it raises ends the upload. Raises
        Corrupt when file or object are not of this ``size`` in bytes and ``sha256`` in hexadecimal.
        """

    def matches(self, key: str, *, size: int, sha256: str) -> bool:
        """Whether the object is there and, read back, of this size and hash."""

    def remove(self, key: str) -> None:
        """Leave neither the object nor anything that is being written to it; none is fine, too."""

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """The objects whose keys begin so, in pages behind the scenes."""

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        """What is being written, or was left half-way, to keys that begin so."""

    def abort(self, upload: PendingUpload) -> None:
        """End such a write; one that is over is fine, too."""

    def link(self, key: str, *, filename: str, valid_for: timedelta) -> str | None:
        """Where anybody may download the object for so long; None where there is no such link."""

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces. Raises ObjectMissing."""

    def check(self) -> None:
        """Write and remove a small object, as a proof that it can be done."""
