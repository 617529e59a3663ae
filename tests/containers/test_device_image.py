"""The image of the minimal device, on a real Docker Engine and before Debian's own adb."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from gateways.devices import Wanted
from gateways.devices.accounts import HostAccount
from gateways.devices.adb import AdbAway, AdbDevice
from gateways.devices.device import build_image
from gateways.devices.engine import DockerHost
from tests.containers.composition import free_port
from tests.containers.conftest import missing

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300, method="signal")]

URL = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
LARGEST_BYTES = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def host(engine: None) -> DockerHost:  # noqa: ARG001
    return DockerHost(HostAccount(url=URL), timedelta(seconds=60))


@pytest.fixture(scope="module")
def image(host: DockerHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    name = f"celery-sagas-device-{uuid4().hex[:12]}:1"
    assert build_image(host, tmp_path_factory.mktemp("bin"), image=name)
    yield name
    with docker.APIClient(URL) as client:
        client.remove_image(name)


@contextmanager
def device(host: DockerHost, image: str, **environment: str) -> Iterator[tuple[str, int]]:
    """Give the name of a running device and the port of its adb."""
    wanted = Wanted(
        name=f"celery-sagas-test-{uuid4().hex[:12]}",
        image=image,
        labels={},
        command=["androidboot.redroid_width=720", "androidboot.redroid_height=1280"],
        environment={"BOOT_SECONDS": "0", **environment},
        port=free_port(),
    )
    try:
        host.start(host.create(wanted).id)
        yield wanted.name, wanted.port
    finally:
        host.remove(wanted.name)


def until_it_listens(port: int) -> None:
    for _ in range(100):
        with suppress(AdbAway), AdbDevice("127.0.0.1", port, timeout=timedelta(seconds=2)):
            return
        time.sleep(0.05)
    pytest.fail("the device does not listen")


def test_it_is_small_and_made_once_for_each_state_of_its_source(
    host: DockerHost, image: str, tmp_path: Path
) -> None:
    with docker.APIClient(URL) as client:
        assert client.inspect_image(image)["Size"] < LARGEST_BYTES
    assert not build_image(host, tmp_path, image=image)


def test_debians_adb_takes_it_for_a_device(host: DockerHost, image: str) -> None:
    if shutil.which("adb") is None:
        missing("there is no adb")
    with device(host, image) as (_, port), adb_server() as adb:
        until_it_listens(port)
        serial = f"127.0.0.1:{port}"

        assert "connected to" in adb("connect", serial)
        assert "model:Minimal_device" in adb("devices", "-l")
        assert adb("-s", serial, "shell", "getprop", "sys.boot_completed") == "1\n"
        assert adb("-s", serial, "shell", "wm", "size") == "Physical size: 720x1280\n"
        assert adb("-s", serial, "exec-out", "wm size 1x2 && wm size") == "Physical size: 1x2\n"
        with pytest.raises(subprocess.CalledProcessError) as failed:
            adb("-s", serial, "shell", "nothing-of-that-name")
        assert failed.value.returncode == 127


@contextmanager
def adb_server() -> Iterator[Callable[..., str]]:
    """Give what runs adb, beside a server of its own that is gone at the end."""
    server = str(free_port())

    def adb(*words: str) -> str:
        command = ["adb", "-P", server, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout

    try:
        yield adb
    finally:
        adb("kill-server")


def test_as_a_containers_first_process_it_ends_when_it_is_told_to(
    host: DockerHost, image: str
) -> None:
    with device(host, image) as (name, port):
        until_it_listens(port)
        host.stop(name)

        stopped = host.find(name)
        assert stopped is not None
        assert (stopped.state, stopped.exit_code) == ("exited", 0), "by itself, not by force"
