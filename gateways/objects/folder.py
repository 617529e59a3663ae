"""A folder as a store of objects: the default of a first run, and enough for one machine."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from gateways.objects.pieces import PIECE_BYTES, are, pieces
from gateways.objects.store import (
    Corrupt,
    ObjectMissing,
    PendingUpload,
    StoreAway,
    StoredObject,
    StoreRefused,
)

# What is being written stands beside the object, under its name and a number.
_PENDING = re.compile(r"(?P<name>.+)#(?P<number>[0-9]+)")


class FolderStore:
    """Keeps each object as a file; one that is there is whole, also after a power cut."""

    def __init__(self, folder: Path) -> None:
        # Not made here: one that is not there may be one that is not mounted.
        self._folder = folder.absolute()

    @property
    def name(self) -> str:
        return f"folder {self._folder}"

    def put(
        self,
        key: str,
        file: Path,
        *,
        size: int,
        sha256: str,
        progress: Callable[[int], None],
    ) -> None:
        target = self._path(key)
        self._end_uploads(key)
        if self.matches(key, size=size, sha256=sha256):
            return
        pending = target.with_name(f"{target.name}#{uuid4().int}")
        with self._understood():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with pending.open("xb") as written:
                    for piece in pieces(file, size=size, sha256=sha256, progress=progress):
                        written.write(piece)
                    written.flush()
                    os.fsync(written.fileno())
                self._prove(pending, key, size=size, sha256=sha256)
                pending.rename(target)
            except BaseException:
                pending.unlink(missing_ok=True)
                raise
            for folder in target.relative_to(self._folder).parents:
                _sync(self._folder / folder)

    def matches(self, key: str, *, size: int, sha256: str) -> bool:
        path = self._path(key)
        with self._understood():
            try:
                if path.stat().st_size != size:
                    return False
                return are(_read(path), size=size, sha256=sha256)
            except FileNotFoundError:
                return False

    def remove(self, key: str) -> None:
        # What is being written first: it may become the object just now.
        self._end_uploads(key)
        path = self._path(key)
        with self._understood():
            path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                _sync(path.parent)
            self._remove_empty(path.parent)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        for key, path in self._files(prefix):
            if _PENDING.fullmatch(path.name) is None:
                with suppress(FileNotFoundError):
                    seen = path.stat()
                    yield StoredObject(key, seen.st_size, _moment(seen.st_mtime))

    def uploads(self, prefix: str) -> Iterator[PendingUpload]:
        for key, path in self._files(prefix):
            if (parts := _PENDING.fullmatch(path.name)) is not None:
                with suppress(FileNotFoundError):
                    begun = _moment(path.stat().st_mtime)
                    yield PendingUpload(key.rpartition("#")[0], parts["number"], begun)

    def abort(self, upload: PendingUpload) -> None:
        path = self._path(upload.key)
        with self._understood():
            path.with_name(f"{path.name}#{int(upload.upload_id)}").unlink(missing_ok=True)
            self._remove_empty(path.parent)

    def link(self, key: str, *, filename: str, valid_for: timedelta) -> None:  # noqa: ARG002 - a folder serves nobody
        return None

    def read(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        with self._understood():
            try:
                yield from _read(path)
            except FileNotFoundError:
                raise ObjectMissing(f"there is no object {key} in the object folder") from None

    def check(self) -> None:
        with self._understood():
            proof = self._folder / f"proof#{uuid4().int}"
            proof.write_bytes(b"proof")
            proof.unlink()

    def _prove(self, pending: Path, key: str, *, size: int, sha256: str) -> None:
        if not are(_read(pending), size=size, sha256=sha256):
            raise Corrupt(f"the object folder keeps other bytes of {key} than it was given")

    def _end_uploads(self, key: str) -> None:
        for upload in self.uploads(key):
            if upload.key == key:
                self.abort(upload)

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if not all(parts) or not {".", ".."}.isdisjoint(parts) or "\0" in key:
            raise StoreRefused(f"{key!r} cannot be an object's key: it would leave the folder")
        if _PENDING.fullmatch(parts[-1]):
            raise StoreRefused(
                f"{key!r} cannot be an object's key: it is named as one half-written"
            )
        return self._folder.joinpath(*parts)

    def _files(self, prefix: str) -> Iterator[tuple[str, Path]]:
        parent = prefix.rpartition("/")[0]
        above = self._path(parent) if parent else self._folder
        with self._understood():
            for folder, _, names in os.walk(above, onerror=_unless_gone):
                for name in names:
                    path = Path(folder, name)
                    key = path.relative_to(self._folder).as_posix()
                    if key.startswith(prefix):
                        yield key, path

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._folder:
            try:
                folder.rmdir()
            except OSError:
                return  # somebody else's object is in it, or it is gone
            folder = folder.parent

    @contextmanager
    def _understood(self) -> Iterator[None]:
        if not self._folder.is_dir():
            raise StoreAway("the object folder is not there: make it, or mount it")
        try:
            yield
        except PermissionError as error:
            raise StoreRefused(
                f"the object folder: {error.strerror}: let this user write there"
            ) from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise StoreAway(f"the object folder: {why}: make room, or mend it") from error


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            yield piece


def _unless_gone(error: OSError) -> None:
    """What a folder holds that cannot be listed must not pass for nothing."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync(folder: Path) -> None:
    """Let the folder's names outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
