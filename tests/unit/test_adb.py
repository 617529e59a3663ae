"""However a device behaves, a call to it ends in time, and says what was wrong."""

import random
import socket
import threading
import time
from datetime import timedelta

import pytest

from gateways.devices.adb import (
    AdbAway,
    AdbDevice,
    AdbError,
    AdbLocked,
    AdbNonsense,
    CommandFailed,
)
from tests.unit.adbd import AUTH, CLSE, HELLO, OKAY, WRTE, device, packet, read, shell

pytestmark = pytest.mark.unit

_TIMEOUT = timedelta(seconds=0.4)
# What a busy machine may take besides.
_LONGEST_SECONDS = 3


def _adb(port: int, timeout: timedelta = timedelta(seconds=10)) -> AdbDevice:
    return AdbDevice("127.0.0.1", port, timeout=timeout)


def test_a_command_gives_what_it_printed() -> None:
    asked = []

    def answer(command: str) -> bytes:
        asked.append(command)
        return b"Physical size: 720x1280\n" + command.rpartition("&& echo ")[2].encode() + b"\n"

    with device(shell(answer)) as port, _adb(port) as adb:
        assert adb.run("wm size") == "Physical size: 720x1280\n"
        assert adb.run("wm density")

    assert [command.partition(" &&")[0] for command in asked] == ["wm size", "wm density"]


def test_a_command_that_fails_says_so_with_what_it_printed() -> None:
    with (
        device(shell(lambda _: b"wm: not found\n")) as port,
        _adb(port) as adb,
        pytest.raises(CommandFailed, match="wm: not found") as failed,
    ):
        adb.run("wm size")

    assert (failed.value.command, failed.value.output) == ("wm size", "wm: not found\n")


@pytest.mark.parametrize(("said", "is_so"), [(b"1\n", True), (b"\n", False), (b"", False)])
def test_a_device_says_itself_that_it_has_booted(said: bytes, *, is_so: bool) -> None:
    with device(shell(lambda _: said)) as port, _adb(port) as adb:
        assert adb.is_booted() is is_so


def hang(link: socket.socket) -> None:
    link.recv(4096)
    while link.recv(4096):
        pass


def trickle(link: socket.socket) -> None:
    pace = threading.Event()
    for byte in HELLO * 100:
        link.sendall(bytes([byte]))
        pace.wait(0.05)


def trickle_an_answer(link: socket.socket) -> None:
    read(link)
    link.sendall(HELLO)
    _, theirs, _, _ = read(link)
    link.sendall(packet(OKAY, 7, theirs))
    pace = threading.Event()
    while True:  # each is an answer of its own, and none is the last one
        link.sendall(packet(WRTE, 7, theirs, b"."))
        pace.wait(0.05)


def greet_in_two_late_pieces(link: socket.socket) -> None:
    pace = threading.Event()
    read(link)
    for piece in (HELLO[:24], HELLO[24:]):  # each is in time for the library
        pace.wait(_TIMEOUT.total_seconds() * 0.7)
        link.sendall(piece)
    _, theirs, _, _ = read(link)
    for command in (OKAY, CLSE):
        link.sendall(packet(command, 7, theirs))
    hang(link)


def hang_up(link: socket.socket) -> None:
    read(link)


def be_another_server(link: socket.socket) -> None:
    read(link)
    link.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" * 10)


def ask_for_a_key(link: socket.socket) -> None:
    read(link)
    link.sendall(packet(AUTH, 1, 0, b"t" * 20))
    hang(link)


def talk_without_end(link: socket.socket) -> None:
    read(link)
    link.sendall(HELLO)
    _, theirs, _, _ = read(link)
    link.sendall(packet(OKAY, 7, theirs))
    while True:
        link.sendall(packet(WRTE, 7, theirs, b"x" * 65536))


def answer_others(link: socket.socket) -> None:
    read(link)
    link.sendall(HELLO)
    _, theirs, _, _ = read(link)
    while True:
        link.sendall(packet(WRTE, 9, theirs + 1, b"x" * 4096))


@pytest.mark.parametrize(
    ("talk", "error"),
    [
        (hang, AdbAway),
        (trickle, AdbAway),
        (trickle_an_answer, AdbAway),
        (greet_in_two_late_pieces, AdbAway),
        (hang_up, AdbAway),
        (be_another_server, AdbNonsense),
        (ask_for_a_key, AdbLocked),
        (talk_without_end, AdbNonsense),
        (answer_others, AdbNonsense),
    ],
    ids=lambda value: value.__name__,
)
def test_a_call_ends_in_time_whatever_the_device_does(
    talk: object, error: type[AdbError], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library adds up what it was sent in Python: less is enough to see the end of patience.
    monkeypatch.setattr("gateways.devices.adb._MOST_BYTES", 200_000)
    timeout = _TIMEOUT if error is AdbAway else timedelta(seconds=10)
    with device(talk) as port:  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(error), _adb(port, timeout) as adb:
            adb.is_booted()

    assert time.monotonic() - began < _LONGEST_SECONDS


def test_where_nobody_listens_it_is_away() -> None:
    with device(hang) as port:
        pass

    with pytest.raises(AdbAway, match="refused"), _adb(port):
        pass


@pytest.mark.parametrize("seed", range(20))
def test_no_bytes_make_anything_else_of_it_than_an_error_of_adb(seed: int) -> None:
    chance = random.Random(seed)
    good = HELLO + packet(OKAY, 7, 1) + packet(WRTE, 7, 1, b"1\n")
    bytes_ = bytearray(good if seed % 2 else chance.randbytes(200))
    for _ in range(3):
        bytes_[chance.randrange(len(bytes_))] = chance.randrange(256)

    def talk(link: socket.socket) -> None:
        link.sendall(bytes_)

    with device(talk) as port, pytest.raises(AdbError), _adb(port, timedelta(seconds=2)) as adb:
        adb.is_booted()
