"""What a real Docker Engine does with what we ask of it."""

import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from gateways.devices import (
    MANAGED,
    SAGA,
    Container,
    HostRefused,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
    Wanted,
)
from gateways.devices.accounts import HostAccount
from gateways.devices.engine import DockerHost
from tests.containers.composition import free_port
from tests.containers.conftest import missing
from tests.containers.own_engine import OwnEngine, own_engine

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300, method="signal")]

WAITS = """
#include <signal.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
int main(int count, char **arguments) {
  (void)arguments;
  if (count == 1) signal(SIGTERM, end); /* else it is deaf, as a first process is by itself */
  for (;;) pause();
}
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a program that waits, and needs nothing besides."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        missing("there is no C compiler")
    folder = tmp_path_factory.mktemp("waits")
    (folder / "waits.c").write_text(WAITS)
    command = [str(compiler), "-static", "-o", "waits", "waits.c"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "waits"


def bring(url: str, program: Path) -> str:
    """Make an image of the program; give its name."""
    packed, name = BytesIO(), f"celery-sagas-waits-{uuid4().hex[:12]}"
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(program, "waits")
    with docker.APIClient(url) as client:
        client.import_image_from_data(
            packed.getvalue(), repository=name, tag="1", changes=['ENTRYPOINT ["/waits"]']
        )
    return f"{name}:1"


def at(url: str) -> DockerHost:
    return DockerHost(HostAccount(url=url), timedelta(seconds=60))


@pytest.fixture(scope="session")
def url(engine: None) -> str:  # noqa: ARG001
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture(scope="session")
def waits(url: str, program: Path) -> Iterator[str]:
    name = bring(url, program)
    yield name
    with docker.APIClient(url) as client:
        client.remove_image(name, force=True)


@pytest.fixture
def host(url: str) -> DockerHost:
    return at(url)


class Wishes:
    """Containers of one test, that are gone at its end."""

    def __init__(self, image: str) -> None:
        self.id = uuid4().hex[:12]
        self.image = image

    def __call__(self, name: str, **more: Any) -> Wanted:
        labels = {MANAGED: "true", SAGA: self.id}
        asked = {"port": free_port(), "command": [], "labels": labels, "image": self.image}
        return Wanted(name=f"cloudphone-{self.id}-{name}", environment={}, **(asked | more))

    def seen(self, host: DockerHost) -> dict[str, Container]:
        ours = [each for each in host.containers() if each.labels.get(SAGA) == self.id]
        return {each.name.rpartition("-")[2]: each for each in ours}


@pytest.fixture
def wanted(host: DockerHost, waits: str) -> Iterator[Wishes]:
    wishes = Wishes(waits)
    yield wishes
    for container in wishes.seen(host).values():
        host.remove(container.id)


def test_a_container_lives_and_is_gone_and_each_step_may_be_done_twice(
    host: DockerHost, wanted: Wishes
) -> None:
    asked = wanted("a")
    host.check()
    before = datetime.now(UTC) - timedelta(minutes=1)

    made = host.create(asked)
    created = host.find(asked.name)
    host.start(made.id)
    host.start(made.id)
    running = host.find(asked.name)
    host.stop(asked.name)
    host.stop(asked.name)
    ended = host.find(asked.name)
    host.remove(asked.name)
    host.remove(asked.name)
    host.stop(asked.name)

    assert created is not None
    assert running is not None
    assert ended is not None
    assert [each.state for each in (made, created, running, ended)] == [
        *("created", "created", "running", "exited"),
    ]
    assert (created.id, created.port, created.labels) == (made.id, asked.port, asked.labels)
    assert before < created.created_at < datetime.now(UTC) + timedelta(minutes=1)
    assert created.started_at is None
    assert running.started_at is not None
    assert (running.exit_code, ended.exit_code) == (None, 0)
    assert host.find(asked.name) is None
    with pytest.raises(NoSuchContainer):
        host.start(made.id)


def test_what_does_not_end_by_itself_is_ended(url: str, wanted: Wishes) -> None:
    host = DockerHost(HostAccount(url=url), timedelta(seconds=2.5))
    asked = wanted("deaf", command=["deaf"])
    host.start(host.create(asked).id)

    host.stop(asked.name)

    found = host.find(asked.name)
    assert found is not None
    assert (found.state, found.exit_code) == ("exited", 137)


def test_all_containers_of_ours_are_listed_running_or_not(
    host: DockerHost, wanted: Wishes, url: str
) -> None:
    host.create(wanted("created"))
    running, ended = host.create(wanted("running")), host.create(wanted("ended"))
    host.start(running.id)
    host.start(ended.id)
    host.stop(ended.id)
    with docker.APIClient(url) as client:
        other = client.create_container(wanted.image, labels={SAGA: wanted.id})["Id"]
        try:
            seen = wanted.seen(host)
        finally:
            client.remove_container(other)

    states = {name: container.state for name, container in seen.items()}
    assert states == {"created": "created", "running": "running", "ended": "exited"}
    assert seen["running"].id == running.id


def test_five_at_once_of_one_name_make_one_container(url: str, wanted: Wishes) -> None:
    asked = wanted("a")

    def create(_: int) -> str | None:
        try:
            return at(url).create(asked).id
        except NameTaken:
            return None

    with ThreadPoolExecutor(5) as threads:
        made = [container_id for container_id in threads.map(create, range(5)) if container_id]

    assert [each.id for each in wanted.seen(at(url)).values()] == made
    assert len(made) == 1


def test_a_port_that_a_container_has_is_refused_at_the_start_and_leaves_a_container(
    host: DockerHost, wanted: Wishes
) -> None:
    first = wanted("first")
    host.start(host.create(first).id)
    second = host.create(wanted("second", port=first.port))

    for _ in range(2):  # it may be tried again
        with pytest.raises(PortTaken):
            host.start(second.id)

    left = host.find(second.name)
    assert left is not None
    assert (left.id, left.state, left.port, left.exit_code) == (
        *(second.id, "created", first.port, None),
    )
    host.remove(first.name)
    host.start(second.id)


def test_a_port_that_a_process_has_is_refused_at_the_start_too(
    host: DockerHost, wanted: Wishes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = host.create(wanted("a", port=taken.getsockname()[1]))
        with pytest.raises(PortTaken):
            host.start(made.id)

    host.start(made.id)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"cpu": 100_000}, "LIMITS"),
        ({"memory_mb": 1}, "LIMITS"),
        ({"bind_address": "192.0.2.1"}, "BIND_ADDRESS"),
    ],
)
def test_what_the_host_cannot_give_is_refused_for_good(
    host: DockerHost, wanted: Wishes, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(HostRefused, match="set DEVICE_") as refused:
        host.start(host.create(wanted("a", **more)).id)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("more", "code"),
    [({"storage_mb": 100}, "STORAGE_LIMIT"), ({"privileged": True}, "PRIVILEGED")],
)
def test_what_depends_on_the_host_is_done_or_refused_for_good(
    host: DockerHost, wanted: Wishes, more: dict[str, Any], code: str
) -> None:
    try:
        host.start(host.create(wanted("a", **more)).id)
    except HostRefused as refused:
        assert refused.code == code  # noqa: PT017 - not every engine refuses


def test_limits_that_the_host_can_give_are_given(
    host: DockerHost, wanted: Wishes, url: str
) -> None:
    made = host.create(wanted("a", cpu=1, memory_mb=64))
    host.start(made.id)

    with docker.APIClient(url) as client:
        limits = client.inspect_container(made.id)["HostConfig"]

    assert (limits["NanoCpus"], limits["Memory"]) == (10**9, 64 * 1024 * 1024)


def test_an_image_that_is_not_there_is_missing(host: DockerHost, wanted: Wishes) -> None:
    assert host.has_image(wanted.image)
    assert not host.has_image("celery-sagas-nowhere:1")
    with pytest.raises(ImageMissing, match="DEVICE_IMAGE"):
        host.create(wanted("a", image="celery-sagas-nowhere:1"))


@pytest.fixture
def another() -> Iterator[OwnEngine]:
    with own_engine() as made:
        yield made


def test_after_its_engine_started_anew_a_device_runs_on_at_its_port(
    another: OwnEngine, program: Path
) -> None:
    host, wanted = at(another.url), Wishes(bring(another.url, program))
    stays, rests, never = wanted("stays"), wanted("rests"), wanted("never")
    made = {asked.name: host.create(asked) for asked in (stays, rests, never)}
    host.start(made[stays.name].id)
    host.start(made[rests.name].id)
    host.stop(made[rests.name].id)

    another.restart()

    # The same gateway, whose connections the old engine had.
    found = {asked.name: host.find(asked.name) for asked in (stays, rests, never)}
    assert {name: each.id for name, each in found.items() if each is not None} == {
        name: each.id for name, each in made.items()
    }
    assert [each.port for each in found.values() if each is not None] == [
        *(stays.port, rests.port, never.port),
    ]
    assert [each.state for each in found.values() if each is not None] == [
        *("running", "exited", "created"),
    ]
