"""Speaks adb to a device, over TCP and without a server of adb's own."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self

from adb_shell.adb_device import AdbDevice as Wire
from adb_shell.exceptions import (
    AdbCommandFailureException,
    AdbConnectionError,
    AdbTimeoutError,
    DeviceAuthError,
    InvalidChecksumError,
    InvalidCommandError,
    InvalidResponseError,
)
from adb_shell.transport.base_transport import BaseTransport

_WHO = "celery-sagas"
_MARK = "saga-done"
_MOST_BYTES = 1024 * 1024
_LONGEST_WORD = 200
# What a stranger's bytes make of the library, which reads them as they come.
_NONSENSE = (
    *(AdbCommandFailureException, AdbConnectionError),
    *(InvalidChecksumError, InvalidCommandError, InvalidResponseError),
    *(ValueError, LookupError, TypeError, struct.error),
)


class AdbError(Exception):
    """The device did not do what it was asked."""


class AdbAway(AdbError):
    """It cannot be reached, or did not answer in time."""


class AdbNonsense(AdbError):
    """What answers there does not speak adb, or not to its end."""


class AdbLocked(AdbError):
    """It wants to know who we are, and nobody has told it."""


class CommandFailed(AdbError):
    """A shell command did not succeed."""

    def __init__(self, command: str, output: str) -> None:
        self.command = command
        self.output = output
        said = output.strip()[:_LONGEST_WORD] or "no word"
        super().__init__(f"{command!r} failed on the device: {said}")


class AdbDevice:
    """One connection to a device, made by ``with``; it cannot be made twice.

    In all it takes ``timeout`` at most and reads a megabyte, whatever the device does. An address
    that is a name is looked up first, in the time that the system takes for it.
    """

    def __init__(self, address: str, port: int, *, timeout: timedelta) -> None:
        self._place = f"adb at {address}:{port}"
        self._seconds = timeout.total_seconds()
        self._wire = Wire(_Transport(address, port, self._seconds), self._seconds, _WHO)

    def __enter__(self) -> Self:
        """Connect. Raises AdbAway, AdbNonsense and AdbLocked, as everything here does."""
        try:
            with self._understood():
                self._wire.connect(read_timeout_s=self._seconds, auth_timeout_s=self._seconds)
        except BaseException:
            self._wire.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wire.close()

    def run(self, command: str) -> str:
        """Run a shell command; gives what it printed. Raises CommandFailed, too."""
        # The oldest service of shells, which every device has, tells no exit code.
        output = self._shell(f"{command} && echo {_MARK}")
        printed, mark, rest = output.rpartition(_MARK)
        if not mark or rest.strip():
            raise CommandFailed(command, output)
        return printed

    def is_booted(self) -> bool:
        """Whether Android says that it has booted."""
        return self._shell("getprop sys.boot_completed").strip() == "1"

    def _shell(self, command: str) -> str:
        with self._understood():
            return str(
                self._wire.shell(command, read_timeout_s=self._seconds, timeout_s=self._seconds)
            )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except DeviceAuthError as error:
            raise AdbLocked(
                f"{self._place} asks for a key: let the image take adb without one "
                "(ro.adb.secure=0)"
            ) from error
        except (AdbTimeoutError, TimeoutError) as error:
            raise AdbAway(f"{self._place} did not answer in time") from error
        except OSError as error:
            why = error.strerror or error
            raise AdbAway(f"{self._place} cannot be reached: {why}") from error
        except _NONSENSE as error:
            raise AdbNonsense(
                f"{self._place} does not speak adb: {type(error).__name__}"
            ) from error


class _Transport(BaseTransport):  # type: ignore[misc]
    """A socket with one deadline for all that is read and written, and an end of patience.

    The library's own transport begins its time anew with every byte, sends what fits and forgets
    the rest, and selects, which does not go with many open files.
    """

    def __init__(self, address: str, port: int, seconds: float) -> None:
        self._address = (address, port)
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._ends_at = 0.0
        self._bytes_left = _MOST_BYTES

    def connect(self, transport_timeout_s: float | None) -> None:  # noqa: ARG002 - ours is the limit
        self._ends_at = time.monotonic() + self._seconds
        failed: OSError | None = None
        for family, kind, protocol, _, place in socket.getaddrinfo(
            *self._address, type=socket.SOCK_STREAM
        ):
            self._socket = socket.socket(family, kind, protocol)
            # The library sends a message in two pieces: the second would wait 40 ms for an answer.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._patient().connect(place)
            except OSError as error:
                self.close()
                failed = error
            else:
                return
        raise failed or ConnectionError("it has no address")

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:  # noqa: ARG002
        found = self._patient().recv(min(numbytes, _MOST_BYTES))
        if not found:
            raise ConnectionResetError("the connection ended")
        self._bytes_left -= len(found)
        if self._bytes_left < 0:
            raise ValueError("it talks without end")
        return found

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:  # noqa: ARG002
        self._patient().sendall(data)
        return len(data)

    def _patient(self) -> socket.socket:
        """The socket, which waits no longer than to the end of all time."""
        if self._socket is None:
            raise ConnectionResetError("the connection is closed")
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is over")
        self._socket.settimeout(left)
        return self._socket
