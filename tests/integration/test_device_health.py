"""What the doctor finds of devices: their host, its images and the ports."""

from collections.abc import Iterator

import pytest

from commands.device_health import findings
from gateways.account import AccountFaulty, Fault
from gateways.devices import HostRefused
from saga import Engine, connect
from saga.doctor import Finding, Level
from settings import settings
from tasks import doors
from tasks.doors import NoSuchDoor
from tests.integration.dock import Dock, fails
from tests.integration.fleet import Fleet

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

HOST, IMAGE, PORTS = "container host", "device image", "device ports"


@pytest.fixture(autouse=True)
def door(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host that doctor has by its settings."""
    monkeypatch.setattr(doors, "container_host", lambda: dock)


@pytest.fixture
def nowhere() -> Iterator[Engine]:
    """An engine whose database is away."""
    away = connect("postgresql://postgres@127.0.0.1:1/none")
    yield Engine(database=away, sagas=[], publisher=None)  # type: ignore[arg-type]
    away.dispose()


def found(engine: Engine) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings(engine)}


def levels(engine: Engine) -> dict[str, Level]:
    return {name: finding.level for name, finding in found(engine).items()}


def test_a_host_that_answers_with_its_image_and_its_ports_is_well(fleet: Fleet) -> None:
    fleet.created()

    well = found(fleet.engine)

    assert {name: finding.level for name, finding in well.items()} == dict.fromkeys(
        (HOST, IMAGE, PORTS), Level.OK
    )
    assert well[HOST].detail == "the dock answers"
    assert well[PORTS].detail == "999 of 1000 are free, from 5555 to 6554"


def test_without_a_host_it_is_said_that_no_device_can_be_created(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "container_host", fails(NoSuchDoor("none")))

    [finding] = findings(fleet.engine)

    assert (finding.name, finding.level) == (HOST, Level.WARN)
    assert finding.advice == "set DEVICE_HOST_URL to a Docker Engine"


def test_each_setting_of_the_host_that_is_wrong_is_named(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [
        Fault("DEVICE_HOST_URL", "is none", "give one"),
        Fault("DEVICE_HOST_CERTS", "is empty", "fill it"),
    ]
    monkeypatch.setattr(doors, "container_host", fails(AccountFaulty(faults)))

    assert levels(fleet.engine) == {fault.variable: Level.BAD for fault in faults}


def test_of_a_host_that_does_not_answer_the_ports_are_told_all_the_same(
    fleet: Fleet, dock: Dock
) -> None:
    dock.is_away = True

    told = found(fleet.engine)

    assert (told[HOST].level, told[HOST].detail) == (Level.BAD, "nobody listens")
    assert told[PORTS].level is Level.OK
    assert IMAGE not in told


def test_a_host_that_refuses_is_told_with_its_reason(fleet: Fleet, dock: Dock) -> None:
    dock.on("before check", fails(HostRefused("403", "not for you")))

    assert found(fleet.engine)[HOST].detail == "not for you"


def test_each_image_that_the_host_does_not_have_is_named(
    fleet: Fleet, dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "device_image", "redroid:{android}")
    dock.images = {"redroid:11", "redroid:13"}

    missing = found(fleet.engine)[IMAGE]

    assert (missing.level, missing.detail) == (Level.BAD, "the dock has no redroid:12")
    assert "DEVICE_IMAGE" in missing.advice
    dock.images.add("redroid:12")
    assert found(fleet.engine)[IMAGE].detail == "redroid:11, redroid:12, redroid:13 can be run"


def test_few_ports_that_are_left_are_told_before_there_is_none(
    fleet: Fleet, few_ports: range
) -> None:
    fleet.created()
    assert levels(fleet.engine)[PORTS] is Level.OK
    for port in few_ports:
        fleet.execute(
            "INSERT INTO device_ports (port, since) VALUES (:port, now()) ON CONFLICT DO NOTHING",
            {"port": port},
        )

    told = found(fleet.engine)[PORTS]

    assert (told.level, told.detail) == (
        Level.WARN,
        "only 0 of 3 are free, from 5555 to 5557",
    )
    assert "DEVICE_PORTS" in told.advice


def test_where_the_database_is_away_the_host_is_told_of_all_the_same(nowhere: Engine) -> None:
    assert levels(nowhere) == {HOST: Level.OK, IMAGE: Level.OK}
