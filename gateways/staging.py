"""Where an uploaded file waits until its saga rests: a folder that the API and all workers see.

A file is named by its saga's id and nothing else; while it comes in, its name ends in ``.part``.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

LARGEST_APK = 200 * 1024 * 1024

_PIECE_BYTES = 1024 * 1024
_WHOLE, _COMING, _TOKEN = ".apk", ".part", ".token"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MEGABYTE = 1024 * 1024


class StagingError(Exception):
    """The file could not be staged; nothing of it is left."""


class TooLarge(StagingError):
    """The file has more bytes than it may have."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        super().__init__(f"the file is too large: it may have at most {largest // _MEGABYTE} MB")


class StagingFull(StagingError):
    """There is no room in the staging folder."""

    def __init__(self) -> None:
        super().__init__("the staging folder is full: try again later, or make room in it")


class StagingAway(StagingError):
    """The staging folder is not there, or not ours to write in."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"the staging folder {folder} cannot be used ({why}): let STAGING_FOLDER be a folder "
            "that the API and all workers may write in"
        )


@dataclass(frozen=True)
class Staged:
    """A whole file in staging: its size in bytes, and its SHA-256 in hexadecimal."""

    id: UUID
    file: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class StagedFile:
    """A file that lies in staging; ``id`` is None where its name is none of ours."""

    id: UUID | None
    file: Path
    size: int
    modified_at: datetime


class Incoming:
    """A file that is coming in. Leaving the block before ``finish``, or by an error, removes it."""

    def __init__(self, staging: "Staging", file_id: UUID) -> None:
        self._staging = staging
        self._id = file_id
        self._coming = staging.folder / f"{file_id}{_COMING}"
        self._digest = hashlib.sha256()
        self._size = 0
        self._stream: BinaryIO | None = None
        self._is_whole = False

    def __enter__(self) -> Self:
        with self._staging.understood():
            self._staging.make()
            self._stream = _create(self._coming)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._staging.understood():
            try:
                if self._stream is not None:
                    self._stream.close()
            finally:
                if kind is not None or not self._is_whole:
                    self._staging.remove(self._id)

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises TooLarge, StagingFull, StagingAway."""
        assert self._stream is not None, "write inside of the with block, before finish()"
        if self._size + len(piece) > self._staging.largest:
            raise TooLarge(self._staging.largest)
        with self._staging.understood():
            left = memoryview(piece)
            while left:
                left = left[self._stream.write(left) :]
        self._digest.update(piece)
        self._size += len(piece)

    def finish(self) -> Staged:
        """Make the file whole: from now on it stays, also after a power cut."""
        assert self._stream is not None, "finish() once, inside of the with block"
        whole = self._staging.file(self._id)
        with self._staging.understood():
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None
            self._coming.rename(whole)
            _sync(whole.parent)
        self._is_whole = True
        return Staged(self._id, whole, self._size, self._digest.hexdigest())


def _create(file: Path) -> BinaryIO:
    """A new file that only we may read; where anything is there already, even a link, it fails."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(file, flags, 0o600), "wb", buffering=0)


class Staging:
    """The staging folder. ``largest`` is how many bytes a file may have."""

    def __init__(self, folder: Path, *, largest: int = LARGEST_APK) -> None:
        self.folder = folder.absolute()
        self.largest = largest

    def receive(self, file_id: UUID) -> Incoming:
        """Take in a file piece by piece, in a ``with`` block. Raises StagingAway."""
        return Incoming(self, file_id)

    def copy(self, file_id: UUID, source: Path) -> Staged:
        """Stage a copy of a file. Raises OSError where it cannot be read, and StagingError."""
        if not source.is_file():
            raise OSError(errno.EINVAL, "it is not there, or not a regular file")
        with source.open("rb") as given, self.receive(file_id) as coming:
            while piece := given.read(_PIECE_BYTES):
                coming.write(piece)
            return coming.finish()

    def file(self, file_id: UUID) -> Path:
        """Where the whole file is, or would be."""
        return self.folder / f"{file_id}{_WHOLE}"

    def remove(self, file_id: UUID) -> bool:
        """Remove the file, whole or not. False: there was none."""
        found = False
        for name in (f"{file_id}{_WHOLE}", f"{file_id}{_COMING}"):
            with self.understood():
                try:
                    (self.folder / name).unlink()
                    found = True
                except FileNotFoundError:
                    pass
        return found

    def files(self) -> Iterator[StagedFile]:
        """All that lies there, in no order; a folder that was never used holds nothing."""
        try:
            with self.understood(), os.scandir(self.folder) as entries:
                for entry in entries:
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed just now
                    moment = datetime.fromtimestamp(seen.st_mtime, UTC)
                    yield StagedFile(_id(entry.name), Path(entry.path), seen.st_size, moment)
        except StagingAway:
            if self.folder.exists():
                raise

    @contextmanager
    def token(self) -> Iterator[tuple[str, str]]:
        """Leave a small file while the block runs: its name, and what whoever sees it reads."""
        name, text = f"{secrets.token_hex(8)}{_TOKEN}", secrets.token_hex(16)
        path = self.folder / name
        try:
            with self.understood():
                self.make()
                # As only we may read it, it proves that a worker may read our files, too.
                with _create(path) as token:
                    token.write(text.encode())
            yield name, text
        finally:
            with self.understood():
                path.unlink(missing_ok=True)

    def read_token(self, name: str) -> str | None:
        """What the token of that name says; None where it is not seen."""
        if not name.endswith(_TOKEN) or Path(name).name != name:
            return None
        try:
            return (self.folder / name).read_text("ascii")
        except (OSError, ValueError):
            return None

    def make(self) -> None:
        """Make the folder, in one that is there already."""
        try:
            self.folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        _sync(self.folder.parent)

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Tell the operating system's errors in staging's own words."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StagingFull from error
            raise StagingAway(self.folder, error.strerror or type(error).__name__) from error


def _id(name: str) -> UUID | None:
    stem, dot, ending = name.partition(".")
    try:
        given = UUID(stem)
    except ValueError:
        return None
    return given if str(given) == stem and f"{dot}{ending}" in {_WHOLE, _COMING} else None


def _sync(folder: Path) -> None:
    """Let the folder's names outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
