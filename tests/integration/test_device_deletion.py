"""A device is deleted whatever of it is gone already, and by no other road than forward."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from gateways.devices import HostAway
from saga import BusinessKeyTaken
from tests.integration.dock import Dock, fails, lost
from tests.integration.fleet import Fleet
from tests.integration.test_device_creation import stranger
from workflows.device_creation import DeviceNotFound, find_device

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

STEPS = ("stop_container", "remove_container", "release_ports", "release_quota", "delete_record")
GONE = {
    "container": lambda fleet: fleet.dock.boxes.clear(),
    "running": lambda fleet: [box.ends(1) for box in fleet.dock.boxes.values()],
    "port": lambda fleet: fleet.execute("DELETE FROM device_ports"),
    "share": lambda fleet: fleet.execute("DELETE FROM quota_shares"),
    "record": lambda fleet: fleet.execute("DELETE FROM devices"),
}


def test_a_device_is_stopped_before_it_is_removed_and_then_told_as_deleted(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.created()
    deleting = fleet.delete(device)
    record = "SELECT status, adb_address, adb_port FROM devices"

    fleet.reaches(deleting, "remove_container")
    assert dock.the(device).state == "exited"
    assert fleet.ask(record)[0].status == "idle"
    with Session(fleet.database) as session:
        assert find_device(session, str(deleting)) is None, "that is no device's id"
    fleet.reaches(deleting, "release_quota")
    assert dock.bearing(device) == []
    assert fleet.ask(record) == [("deleted", None, None)]
    assert fleet.ends(deleting) == "COMPLETED"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("gone", GONE)
def test_a_device_of_which_something_is_gone_already_is_deleted(
    fleet: Fleet, step: str, gone: str
) -> None:
    deleting = fleet.delete(fleet.created())
    fleet.reaches(deleting, step)

    does: Callable[[Fleet], object] = GONE[gone]
    does(fleet)

    assert fleet.ends(deleting) == "COMPLETED"
    assert fleet.wrong() == []


@pytest.mark.parametrize("moment", ["before stop", "after stop", "before remove", "after remove"])
def test_a_call_whose_answer_is_lost_is_made_again(fleet: Fleet, dock: Dock, moment: str) -> None:
    deleting = fleet.delete(fleet.created())
    dock.on(moment, fails(lost()), times=3)

    assert fleet.ends(deleting) == "COMPLETED"
    assert fleet.wrong() == []


def test_a_host_that_is_away_for_long_calls_a_person_and_nothing_is_given_back_before(
    fleet: Fleet, dock: Dock
) -> None:
    """Its port and its share belong to the container for as long as that may run."""
    device = fleet.created()
    deleting = fleet.delete(device)
    dock.on("before find", fails(HostAway("nobody listens", sent=False)), times=100)

    assert fleet.ends(deleting) == "FAILED"
    assert fleet.wrong(device) == []
    with pytest.raises(BusinessKeyTaken):
        fleet.delete(device)

    dock.forget_troubles()
    fleet.ann.retry(deleting, reason="the host is back")
    assert fleet.ends(deleting) == "COMPLETED"
    assert fleet.wrong() == []


def test_a_strangers_container_of_the_name_is_neither_stopped_nor_removed(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.created()
    dock.boxes.clear()
    strangers = dock.put(stranger(f"cloudphone-{device}"))

    assert fleet.ends(fleet.delete(device)) == "COMPLETED"
    assert dock.boxes == {strangers.id: strangers}
    assert strangers.state == "running"


def test_a_device_is_deleted_once_however_often_that_is_asked(fleet: Fleet) -> None:
    device = fleet.created()
    deleting = fleet.delete(device, key="mine")

    assert fleet.delete(device) == deleting
    assert fleet.ends(deleting) == "COMPLETED"
    assert fleet.delete(device, key="mine") == deleting
    with pytest.raises(DeviceNotFound):
        fleet.delete(device)
    assert fleet.wrong() == []


def test_a_device_is_not_deleted_while_it_is_created(fleet: Fleet) -> None:
    device = fleet.create()
    fleet.reaches(device, "initialize_device")

    with pytest.raises(BusinessKeyTaken) as taken:
        fleet.delete(device)

    assert taken.value.saga_id == device
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_a_port_is_not_anothers_before_the_container_that_has_it_is_gone(
    fleet: Fleet,
    dock: Dock,
    few_ports: range,  # noqa: ARG001 - there are no others
) -> None:
    devices = [fleet.created() for _ in range(3)]
    deleting = fleet.delete(devices[0])
    fleet.reaches(deleting, "release_ports")
    late = fleet.create()
    message = fleet.broker.queue.pop()
    fleet.deliver(message)
    assert fleet.port(late) is None

    assert fleet.ends(deleting) == "COMPLETED"
    assert fleet.ends(late) == "COMPLETED"
    assert "start" in dock.calls
    assert fleet.wrong(*devices[1:], late) == []


def test_a_worker_that_thaws_in_a_deletion_that_is_over_touches_nobody_elses_device(
    fleet: Fleet, dock: Dock
) -> None:
    device, other = fleet.created(), fleet.created()
    deleting = fleet.delete(device)

    def overtaken() -> None:
        fleet.taken_over()
        assert fleet.ends(deleting) == "COMPLETED"

    dock.on("after find", overtaken)
    fleet.deliver()

    assert fleet.status(deleting) == "COMPLETED"
    assert fleet.wrong(other) == []
