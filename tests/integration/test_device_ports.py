"""Ports of devices: the host has the last word, and what clashes is blocked for a while."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from gateways.devices import PortTaken
from settings import settings
from tasks import device_ports
from tests.integration.dock import Dock, fails
from tests.integration.fleet import Fleet

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


def blocked(fleet: Fleet) -> set[int]:
    return {row.port for row in fleet.ask("SELECT port FROM device_ports WHERE device_id IS NULL")}


def test_a_port_that_something_else_has_is_blocked_and_another_one_taken(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_container")
    first = fleet.port(device)
    assert first is not None
    dock.strangers.add(first)

    assert fleet.ends(device) == "COMPLETED"
    assert fleet.port(device) != first
    assert blocked(fleet) == {first}
    assert fleet.wrong(device) == []


def test_twenty_ports_are_tried_at_once_and_more_later(fleet: Fleet, dock: Dock) -> None:
    dock.on("before start", fails(PortTaken("in use")), times=20)
    device = fleet.create()
    fleet.reaches(device, "create_container")

    fleet.deliver()

    assert (dock.calls.count("create"), len(blocked(fleet))) == (20, 20)
    assert blocked(fleet) != set(settings.device_port_range[:20]), "any, and not the lowest"
    assert [box.state for box in dock.boxes.values()] == ["created"], (
        "each was removed but the last"
    )
    assert fleet.status(device) == "RUNNING"
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_where_every_port_is_something_elses_no_device_is_created(
    fleet: Fleet, dock: Dock, few_ports: range
) -> None:
    dock.strangers.update(few_ports)
    device = fleet.create()

    assert fleet.ends(device) == "COMPENSATED"
    assert "no port from 5555 to 5557 is free" in fleet.why(device)
    assert fleet.wrong() == []


def test_where_every_port_is_a_devices_none_more_is_created_until_one_is_deleted(
    fleet: Fleet, dock: Dock, few_ports: range
) -> None:
    devices = [fleet.created() for _ in few_ports]
    asked = len(dock.calls)
    late = fleet.create()

    assert fleet.ends(late) == "COMPENSATED"
    assert "delete devices, or widen DEVICE_PORTS" in fleet.why(late)
    assert len(dock.calls) == asked, "the host was asked for nothing"
    assert fleet.wrong(*devices) == []

    assert fleet.ends(fleet.delete(devices[0])) == "COMPLETED"
    assert fleet.wrong(*devices[1:], fleet.created()) == []


def test_a_port_that_was_blocked_is_tried_again_after_an_hour(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(settings), "device_port_range", range(5555, 5556))
    fleet.execute("INSERT INTO device_ports (port, since) VALUES (5555, clock_timestamp())")
    assert fleet.ends(fleet.create()) == "COMPENSATED"

    fleet.execute("UPDATE device_ports SET since = clock_timestamp() - :hour", {"hour": HOUR})

    assert fleet.wrong(fleet.created()) == []


def test_a_host_that_finds_out_later_that_the_port_is_taken_costs_no_device(
    fleet: Fleet, dock: Dock
) -> None:
    """A container that was made and never started by a worker that died."""
    device = fleet.create()
    fleet.reaches(device, "create_container")
    port = fleet.port(device)
    assert port is not None
    dock.on("before start", fails(ConnectionResetError("the worker is cut off")))
    fleet.deliver()
    dock.strangers.add(port)

    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_a_clash_that_is_told_late_takes_no_port_from_the_device_that_has_it_by_now(
    fleet: Fleet,
) -> None:
    gone, device = fleet.create(), fleet.create()
    fleet.reaches(gone, "create_container")
    fleet.reaches(device, "create_container")
    port = fleet.port(device)
    assert port is not None

    with Session(fleet.database) as session, session.begin():
        device_ports.release(session, str(gone))
        device_ports.replace(session, str(gone), port, settings.device_port_range)

    assert (fleet.port(gone), fleet.port(device)) == (None, port)
    assert blocked(fleet) == set()
