"""Devices on a real Docker Engine: workers and containers die, and nothing is left behind."""

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import docker
import pytest

from gateways.devices import SAGA, Container
from gateways.devices.accounts import HostAccount
from gateways.devices.adb import AdbDevice
from gateways.devices.device import build_image
from gateways.devices.engine import DockerHost
from tests.acceptance.devices import DeviceWorld

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300, method="signal")]

URL = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
SLOTS = 6
PORTS = 10


class RealHost:
    """An engine, as far as a world of devices looks at its host: at the containers of ``sagas``.

    Others may use it, too.
    """

    url = URL

    def __init__(self, sagas: Callable[[], set[str]]) -> None:
        self.engine = DockerHost(HostAccount(url=URL), timedelta(seconds=30))
        self._sagas = sagas

    def start(self) -> None: ...

    def end(self, *, kill: bool) -> None: ...

    def books(self) -> list[dict[str, Any]]:
        found = [self.engine.find(each.name) for each in self._ours()]
        return [vars(each) for each in found if each is not None]

    def devices(self) -> list[str]:
        return [each.id for each in self._ours() if each.state == "running"]

    def _ours(self) -> list[Container]:
        sagas = self._sagas()
        return [each for each in self.engine.containers() if each.labels.get(SAGA) in sagas]


@dataclass
class RealWorld(DeviceWorld):
    """A world of devices on a real engine."""

    image: str = ""
    few_ports: range = field(default_factory=lambda: range(0))

    def new_host(self) -> Any:
        return RealHost(
            lambda: {str(row.saga_id) for row in self.rows("SELECT saga_id FROM saga_state")}
        )

    @property
    def environment(self) -> dict[str, str]:
        ports = f"{self.few_ports[0]}-{self.few_ports[-1]}"
        # A container host of this machine may hold no memory that a device asks for.
        few = {"DEVICE_LIMITS": "false", "DEVICE_IMAGE": self.image, "DEVICE_PORTS": ports}
        return {**super().environment, **few}

    def order(self, *_: Any) -> None:
        """Nothing: a real engine takes no orders."""

    def sagas(self, count: int) -> list[UUID]:
        return [self.create() for _ in range(count)]


@pytest.fixture(scope="module")
def image(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    name = f"celery-sagas-device-{uuid4().hex[:12]}"
    host = DockerHost(HostAccount(url=URL), timedelta(seconds=60))
    build_image(host, tmp_path_factory.mktemp("bin"), image=name)
    yield name
    with docker.APIClient(URL) as client:
        client.remove_image(name, force=True)


def ports_of_nobody(count: int) -> range:
    """Ports in a row that are free, below those that outgoing connections are given."""
    while True:
        ports = range(first := random.randrange(20_000, 32_000, 100), first + count)
        with suppress(OSError), ExitStack() as probes:
            for port in ports:
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports


@pytest.fixture(scope="module")
def world(
    image: str, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealWorld]:
    world = RealWorld(
        folder=tmp_path_factory.mktemp("devices"),
        postgres=None,
        database_url=new_database(),
        image=image,
        few_ports=ports_of_nobody(PORTS),
    )
    try:
        yield world.start(concurrency=SLOTS)
    finally:
        world.close()
        for container in world.host.books():
            world.host.engine.remove(container["id"])


def delete(world: RealWorld, *device_ids: UUID) -> None:
    for saga_id in [world.delete(device_id) for device_id in device_ids]:
        world.until_status(saga_id, "COMPLETED")
    world.until_nothing_remains()


def test_a_device_is_created_answers_adb_and_is_deleted(world: RealWorld) -> None:
    [device_id] = world.created(count=1)

    [device] = world.rows("SELECT * FROM devices WHERE id = :id", id=str(device_id))
    with AdbDevice(device.adb_address, device.adb_port, timeout=timedelta(seconds=5)) as asked:
        assert asked.run("wm size") == "Physical size: 1920x1080\n"
    assert world.remains() == []
    delete(world, device_id)
    assert world.host.books() == []


def test_kill_9_again_and_again_while_devices_are_created_and_deleted(world: RealWorld) -> None:
    old = world.created(count=3)
    new = world.sagas(3)
    deletions = [world.delete(device_id) for device_id in old]
    for _ in range(6):
        time.sleep(0.25)
        world.kill_child(world.main)

    for saga_id in (*deletions, *new):
        world.until_status(saga_id, "COMPLETED")
    world.until_nothing_remains()
    delete(world, *new)


def test_kill_9_while_a_device_goes_back(world: RealWorld) -> None:
    going_back = world.sagas(3)
    booting = "the devices boot"
    world.until(lambda: all(world.has(each, "accepted") for each in going_back), booting)
    for device_id in going_back:
        world.cancel(device_id)
    for _ in range(4):
        world.kill_child(world.main)
        time.sleep(0.25)

    for device_id in going_back:
        world.until_status(device_id, "COMPENSATED")
    world.until_nothing_remains()


@pytest.mark.parametrize("by_hand", ["kill", "remove", "pause"])
def test_a_container_that_somebody_takes_away_while_it_boots_ends_compensated(
    world: RealWorld, by_hand: str
) -> None:
    [device_id] = world.sagas(1)
    world.until(lambda: world.has(device_id, "accepted"), "it boots")
    name = f"cloudphone-{device_id}"
    with docker.APIClient(URL) as client:
        match by_hand:
            case "kill":
                client.update_container(name, restart_policy={"Name": "no"})
                client.kill(name)
            case "remove":
                client.remove_container(name, force=True)
            case "pause":
                client.pause(name)

    world.until_status(device_id, "COMPENSATED")
    world.until_nothing_remains()


def test_ports_that_others_have_are_passed_over_until_none_is_left(world: RealWorld) -> None:
    with ExitStack() as others:
        for port in world.few_ports[:4]:
            other = others.enter_context(socket.socket())
            other.bind(("127.0.0.1", port))
            other.listen()

        devices = world.created(count=PORTS - 4)
        [one_more] = world.sagas(1)
        world.until_status(one_more, "COMPENSATED")

    assert "no port" in world.said(one_more)
    delete(world, *devices)
