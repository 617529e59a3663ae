"""What is no Docker Engine, or not the one of before, is seen and told."""

import json
import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateways.devices import HostAway, HostRefused, Wanted
from gateways.devices.accounts import HostAccount
from gateways.devices.engine import DockerHost
from tests.unit.wire import Answer, Wire

pytestmark = pytest.mark.unit

OK = Answer(b"OK")


def version(number: str) -> Answer:
    return Answer(json.dumps({"ApiVersion": number}).encode())


def host(url: str, seconds: float = 10) -> DockerHost:
    return DockerHost(HostAccount(url=url), timedelta(seconds=seconds))


def test_the_version_is_spoken_that_the_engine_says(provider: Wire) -> None:
    provider.answers = [version("1.52"), OK]

    host(provider.url).check()

    assert [asked.path for asked in provider.asked] == ["/version", "/v1.52/_ping"]


def test_after_the_engine_was_exchanged_its_version_is_asked_for_again(provider: Wire) -> None:
    old = b'{"message": "client version 1.41 is too old. Minimum supported API version is 1.44"}'
    provider.answers = [version("1.41"), Answer(old, status=400), version("1.44"), OK]
    engine = host(provider.url)

    with pytest.raises(HostAway):
        engine.check()
    engine.check()

    assert provider.asked[-1].path == "/v1.44/_ping"


@pytest.mark.parametrize("said", [b"<html>hello", b"[]", b"{}", b'{"ApiVersion": 7}', b"null"])
def test_what_is_no_engine_is_not_taken_for_one(provider: Wire, said: bytes) -> None:
    provider.answers = [Answer(said)]

    with pytest.raises((HostAway, HostRefused), match="DEVICE_HOST_URL"):
        host(provider.url).check()


def test_what_says_a_version_as_an_engine_does_has_to_answer_as_one_too(provider: Wire) -> None:
    provider.answers = [version("1.41"), Answer(b"hello")]

    with pytest.raises(HostAway, match="DEVICE_HOST_URL"):
        host(provider.url).check()


def test_where_there_is_no_engine_no_container_is_said_to_be_gone(provider: Wire) -> None:
    provider.answers = [Answer(b"<html>404 Not Found", status=404)]

    with pytest.raises(HostRefused):
        host(provider.url).find("cloudphone-1")
    with pytest.raises(HostRefused):
        host(provider.url).remove("cloudphone-1")


def test_what_this_user_told_docker_of_proxies_comes_into_no_device(
    provider: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = {"proxies": {"default": {"httpProxy": "http://me:secret@proxy.example"}}}
    (tmp_path / "config.json").write_text(json.dumps(proxies))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    provider.answers = [version("1.41"), Answer(b'{"Id": "1"}')]
    wanted = Wanted(name="a", image="b", labels={}, command=[], environment={"A": "1"}, port=5555)

    host(provider.url).create(wanted)

    assert json.loads(provider.asked[-1].body)["Env"] == ["A=1"]


def test_a_container_has_the_size_that_is_wanted_and_comes_back_with_its_engine(
    provider: Wire,
) -> None:
    provider.answers = [version("1.41"), Answer(b'{"Id": "1"}')]
    small = Wanted(name="a", image="b", labels={}, command=[], environment={}, port=5555)

    host(provider.url).create(replace(small, cpu=2, memory_mb=512, storage_mb=1024))

    asked = json.loads(provider.asked[-1].body)["HostConfig"]
    assert (asked["NanoCpus"], asked["Memory"]) == (2_000_000_000, 512 * 1024 * 1024)
    assert asked["StorageOpt"] == {"size": "1024m"}
    assert asked["RestartPolicy"]["Name"] == "unless-stopped", "not after somebody stopped it"


def test_an_answer_that_lacks_what_it_must_have_is_none(provider: Wire) -> None:
    provider.answers = [version("1.41"), Answer(b'{"Id": "1"}')]

    with pytest.raises(HostAway, match="does not answer as a Docker Engine does"):
        host(provider.url).find("cloudphone-1")


def test_a_beginning_of_an_id_is_no_name(provider: Wire) -> None:
    found = {
        "Id": "abcdef",
        "Name": "/other",
        "Created": "2026-11-23T04:39:26Z",
        "State": {"Status": "running"},
        "HostConfig": {},
        "Config": {},
    }
    provider.answers = [version("1.41"), Answer(json.dumps(found).encode())]

    assert host(provider.url).find("abc") is None


def test_a_host_that_hangs_is_away_in_time_and_may_have_done_it() -> None:
    # Connections are taken by the system, and nobody ever reads what is asked.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = host(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3)
        began = time.monotonic()
        with pytest.raises(HostAway) as away:
            engine.stop("cloudphone-1")

    assert away.value.sent
    assert time.monotonic() - began < 3


def test_a_host_that_is_not_there_was_surely_not_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"

    with pytest.raises(HostAway, match="start it") as away:
        host(url).check()

    assert not away.value.sent


def test_a_host_behind_bad_certificates_says_which_setting(tmp_path: Path) -> None:
    account = HostAccount(url="tcp://127.0.0.1:9", certs=tmp_path)

    with pytest.raises(HostRefused, match="DEVICE_HOST_CERTS"):
        DockerHost(account, timedelta(seconds=1)).check()


def test_a_connection_that_was_cut_may_have_been_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            link, _ = server.accept()
            link.recv(4096)
            link.close()

        thread = threading.Thread(target=cut, daemon=True)
        thread.start()
        with pytest.raises(HostAway) as away:
            host(f"http://127.0.0.1:{server.getsockname()[1]}").check()
        thread.join(5)

    assert away.value.sent
