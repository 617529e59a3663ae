"""A pass over late containers: none of them is in another one's way, and it comes to an end."""

from datetime import timedelta

import pytest

from gateways.devices import HostAway
from tests.integration.dock import Dock, fails
from tests.integration.fleet import Fleet
from workflows.sweeping import LateContainers

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration


@pytest.fixture
def late(fleet: Fleet, dock: Dock) -> LateContainers:
    """Two of them."""
    for _ in range(2):
        device = fleet.create()
        fleet.reaches(device, "create_container")
        dock.puts_off()
        fleet.deliver()
        fleet.ann.cancel(device, reason="not wanted")
        assert fleet.ends(device) == "COMPENSATED"
    dock.finish()
    assert len(dock.boxes) == 2
    return LateContainers(fleet.engine, door=lambda: dock)


def test_one_that_cannot_be_removed_keeps_no_other_one(late: LateContainers, dock: Dock) -> None:
    dock.on("before remove", fails(HostAway("its disk is busy")))

    with pytest.raises(HostAway, match="its disk is busy"):
        late.run()
    assert len(dock.boxes) == 1
    assert late.scan() == 1


def test_one_that_a_person_made_a_record_of_is_no_more_late(
    late: LateContainers, fleet: Fleet, dock: Dock
) -> None:
    kept, _ = dock.boxes.values()
    fleet.execute(
        """INSERT INTO devices (id, user_id, name, cpu, memory_mb, storage_mb, width, height, dpi,
               android_version, status, container_name, container_id)
           VALUES (:id, 'user', 'kept', 1, 1, 1, 1, 1, 1, 11, 'idle', :name, :container)""",
        {
            "id": kept.wanted.labels["cloudphone.saga"],
            "name": kept.wanted.name,
            "container": kept.id,
        },
    )

    assert late.run() == 1
    assert list(dock.boxes) == [kept.id]


def test_a_pass_ends_when_its_time_is_over(late: LateContainers, dock: Dock) -> None:
    assert late.run(within=timedelta(0)) == 0
    assert len(dock.boxes) == 2
