"""The simulated host answers as an engine does, and no device of it outlives it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from gateways.devices import (
    HostAway,
    HostError,
    HostRefused,
    ImageMissing,
    NameTaken,
    NoSuchContainer,
    PortTaken,
)
from gateways.devices.adb import AdbAway, AdbError, AdbNonsense, CommandFailed
from gateways.devices.device import NoCompiler, binary
from tests.integration.simulated import Simulated, adb, simulated, wanted
from tests.integration.wires import until

pytestmark = pytest.mark.integration

A_MOMENT = timedelta(seconds=1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulated(tmp_path_factory.mktemp("host") / "data") as started:
        yield started


@pytest.fixture
def simulation(shared: Simulated) -> Iterator[Simulated]:
    """Give a host without a container and without a fault."""
    yield shared
    httpx.delete(f"{shared.url}/control/faults", trust_env=False)
    for container in shared.books():
        shared.host.remove(container["id"])


def test_a_container_lives_as_on_an_engine(simulation: Simulated) -> None:
    host = simulation.host
    asked = wanted("cloudphone-a", labels={"cloudphone.managed": "true", "cloudphone.saga": "s"})

    made = host.create(asked)
    assert (made.state, host.find("cloudphone-a")) == ("created", host.find(made.name))
    host.create(wanted("somebody-elses", labels={"cloudphone.managed": "false"}))
    assert [each.name for each in host.containers()] == ["cloudphone-a"]
    host.start(made.id)
    host.start(made.id)
    running = host.find("cloudphone-a")
    assert running is not None
    assert (running.id, running.state, running.port) == (made.id, "running", asked.port)
    assert running.labels == asked.labels
    assert running.started_at is not None
    assert [each.name for each in host.containers()] == ["cloudphone-a"]
    with adb(asked.port) as device:
        assert device.is_booted()
    host.stop(made.id)
    host.stop(made.name)
    stopped = host.find("cloudphone-a")
    assert stopped is not None
    assert stopped.state == "exited"
    with pytest.raises(AdbAway), adb(asked.port):
        pass
    host.remove(made.name)
    host.remove(made.name)
    host.stop(made.id)
    assert host.find("cloudphone-a") is None
    assert simulation.devices() == []


def test_what_an_engine_refuses_is_refused(simulation: Simulated) -> None:
    host = simulation.host
    first = host.create(wanted("cloudphone-a"))

    with pytest.raises(NameTaken):
        host.create(wanted("cloudphone-a"))
    with pytest.raises(ImageMissing):
        host.create(wanted("cloudphone-b", image="somebody/else:1"))
    with pytest.raises(NoSuchContainer):
        host.start("cloudphone-b")
    assert host.find(first.id[:12]) is None, "an id is no name"
    assert [host.has_image(each) for each in ("celery-sagas-device", "nothing")] == [True, False]


def test_a_port_that_is_in_use_is_told_at_the_start_and_the_container_stays(
    simulation: Simulated,
) -> None:
    host, first = simulation.host, wanted("cloudphone-a")
    host.start(host.create(first).id)
    second = host.create(wanted("cloudphone-b", first.port))

    with pytest.raises(PortTaken):
        host.start(second.id)

    left = host.find("cloudphone-b")
    assert left is not None
    assert left.state == "created"
    host.remove("cloudphone-a")
    host.start(second.id)


def test_a_device_knows_its_size_and_keeps_its_settings(simulation: Simulated) -> None:
    asked = wanted("cloudphone-a", command=["androidboot.redroid_width=720", "other=1"])
    simulation.host.start(simulation.host.create(asked).id)

    with adb(asked.port) as device:
        assert device.run("wm size") == "Physical size: 720x1080\n"
        device.run("wm size 1920x1080 && settings put global a 7 && setprop x.y 'z'")
    with adb(asked.port) as device:
        assert device.run("wm size && settings get global a") == "Physical size: 1920x1080\n7\n"
        with pytest.raises(CommandFailed):
            device.run("settings get global a && rm -rf /")
        with pytest.raises(CommandFailed):
            device.run("wm size 1920x1080; reboot")


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_no_device_outlives_its_host_and_those_that_ran_are_back_with_it(
    tmp_path: Path, by: signal.Signals
) -> None:
    with simulated(tmp_path / "data") as simulation:
        ran, stopped = wanted("cloudphone-a"), wanted("cloudphone-b")
        for each in (ran, stopped):
            simulation.host.start(simulation.host.create(each).id)
        simulation.host.stop("cloudphone-b")
        simulation.host.create(wanted("cloudphone-c"))

        simulation.end(kill=by is signal.SIGKILL)
        until(lambda: simulation.devices() == [])
        simulation.start()

        states = {each["name"]: each["state"] for each in simulation.books()}
        assert states == {
            "cloudphone-a": "running",
            "cloudphone-b": "exited",
            "cloudphone-c": "created",
        }
        with adb(ran.port) as device:
            assert device.is_booted()
        assert len(simulation.devices()) == 1
    until(lambda: simulation.devices() == [])


def test_a_device_that_ends_is_seen_to_have_ended(simulation: Simulated) -> None:
    host = simulation.host
    host.start(host.create(wanted("cloudphone-a")).id)
    [device] = simulation.devices()
    device.kill()

    until(lambda: simulation.books()[0]["state"] == "exited")
    host.start("cloudphone-a")
    assert simulation.books()[0]["state"] == "running"


IS_DONE = {"error_after", "slow", "late"}


@pytest.mark.parametrize(
    "kind", ["down", "error_before", "error_after", "hang", "slow", "late", "refuse"]
)
@pytest.mark.parametrize("operation", ["create", "start", "stop", "remove"])
def test_each_fault_does_what_its_name_says_once(
    simulation: Simulated, operation: str, kind: str
) -> None:
    host = simulation.host
    made = host.create(wanted("cloudphone-a")) if operation != "create" else None
    if operation in {"stop", "remove"} and made is not None:
        host.start(made.id)
    ask: dict[str, Callable[[], object]] = {
        "create": lambda: host.create(wanted("cloudphone-a")),
        "start": lambda: host.start("cloudphone-a"),
        "stop": lambda: host.stop("cloudphone-a"),
        "remove": lambda: host.remove("cloudphone-a"),
    }
    done = {"create": "created", "start": "running", "stop": "exited", "remove": None}[operation]
    # Late is later than we look, also on a busy machine.
    simulation.order(operation=operation, kind=kind, seconds=3 if kind == "late" else 0.1)
    before = state(simulation)

    error = HostRefused if kind == "refuse" else HostAway
    if kind == "slow":
        ask[operation]()
    else:
        with pytest.raises(error) as said:
            ask[operation]()
        assert not isinstance(said.value, HostAway) or said.value.sent
    if kind == "late":
        assert state(simulation) == before, "not yet"
        until(lambda: state(simulation) == done)
    assert state(simulation) == (done if kind in IS_DONE else before)
    with suppress(NameTaken):
        ask[operation]()
    assert state(simulation) == done


def state(simulation: Simulated) -> str | None:
    return next((str(each["state"]) for each in simulation.books()), None)


@pytest.mark.parametrize(("operation", "kind"), [("create", "image_missing"), ("any", "down")])
def test_looks_and_images_go_wrong_as_ordered(
    simulation: Simulated, operation: str, kind: str
) -> None:
    simulation.order(operation=operation, kind=kind, name="cloudphone-a")

    simulation.host.create(wanted("cloudphone-b"))
    with pytest.raises((ImageMissing, HostAway)):
        simulation.host.create(wanted("cloudphone-a"))
    simulation.host.create(wanted("cloudphone-a"))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [("start", "image_missing"), ("create", "never"), ("boot", "down"), ("list", "nonsense")],
)
def test_a_fault_that_cannot_be_is_refused(
    simulation: Simulated, operation: str, kind: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        simulation.order(operation=operation, kind=kind)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("hang", AdbAway), ("nonsense", AdbNonsense), ("trickle", AdbAway), ("never", None)],
)
def test_a_device_that_misbehaves_is_seen_through_in_time(
    simulation: Simulated, kind: str, expected: type[AdbError] | None
) -> None:
    simulation.order(operation="boot", kind=kind)
    asked = wanted("cloudphone-a")
    simulation.host.start(simulation.host.create(asked).id)

    if expected is None:
        with adb(asked.port) as device:
            assert not device.is_booted()
    else:
        with pytest.raises(expected), adb(asked.port, within=A_MOMENT) as device:
            device.is_booted()


def test_a_device_that_dies_tells_its_exit_code(simulation: Simulated) -> None:
    simulation.order(operation="boot", kind="die", seconds=0)
    simulation.host.start(simulation.host.create(wanted("cloudphone-a")).id)

    until(lambda: state(simulation) == "exited")
    died = simulation.host.find("cloudphone-a")
    assert died is not None
    assert died.exit_code == 3


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    with simulated(tmp_path / "data", PATH="/nowhere", CC="") as simulation:
        assert not simulation.host.has_image("celery-sagas-device")
        with pytest.raises(HostError, match="apt-get install gcc"):
            simulation.host.create(wanted("cloudphone-a"))


def test_the_device_is_compiled_once_for_each_state_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = binary(tmp_path / "bin")
    assert os.access(made, os.X_OK)
    monkeypatch.setenv("CC", "/bin/false")

    assert binary(tmp_path / "bin") == made
    with pytest.raises(NoCompiler, match="does not compile"):
        binary(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
