"""A device's adb on this machine, that answers as a test says, well or badly."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE"
_VERSION, _MOST_DATA = 0x01000000, 4096


def packet(command: bytes, first: int, second: int, data: bytes = b"") -> bytes:
    """Give a packet, as https://android.googlesource.com/platform/packages/modules/adb tells."""
    number = struct.unpack("<I", command)[0]
    head = (number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
    return struct.pack("<6I", *head) + data


HELLO = packet(CNXN, _VERSION, _MOST_DATA, b"device::ro.product.name=test;\0")


def read(link: socket.socket) -> tuple[bytes, int, int, bytes]:
    head = _exactly(link, 24)
    command, first, second, length, _, _ = struct.unpack("<4s5I", head)
    return command, first, second, _exactly(link, length)


def _exactly(link: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = link.recv(length - len(found))
        if not more:
            raise ConnectionResetError
        found += more
    return found


def shell(answer: Callable[[str], bytes]) -> Callable[[socket.socket], None]:
    """Give a device that answers each shell command with what `answer` says."""

    def talk(link: socket.socket) -> None:
        read(link)
        link.sendall(HELLO)
        while True:
            command, theirs, _, data = read(link)
            if command != OPEN:
                continue
            said = answer(data.rstrip(b"\0").decode().removeprefix("shell:"))
            link.sendall(packet(OKAY, 7, theirs))
            if said:
                link.sendall(packet(WRTE, 7, theirs, said))
            link.sendall(packet(CLSE, 7, theirs))

    return talk


@contextmanager
def device(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give the port of a device that talks so, one connection after the other."""

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            links.append(link)
            with link, suppress(OSError):
                talk(link)

    links: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        for end in [server, *links]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
    thread.join(5)
