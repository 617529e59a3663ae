"""The mistakes of a system that had devices before this one: each is shown not to happen here.

Most are proved harder elsewhere; here each stands alone, as short as it can be told.
"""

import pytest

from tests.integration.by_hand import Killed
from tests.integration.dock import Dock, fails
from tests.integration.fleet import Fleet

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

HOSTILE = "phone'; DROP TABLE devices; -- --privileged ../../../ 手机"


def test_a_quota_is_reserved_before_anything_is_made(fleet: Fleet, dock: Dock) -> None:
    """It was only looked at: whoever asked while another device was made had one too many."""
    fleet.user("one", devices=1)
    first, second = fleet.create("one"), fleet.create("one")

    fleet.deliver()
    assert dock.calls == [], "nothing is made yet"
    [share] = fleet.ask("SELECT device_id, status FROM quota_shares")
    assert (share.device_id, share.status) == (str(first), "reserved")

    assert (fleet.ends(second), fleet.ends(first)) == ("COMPENSATED", "COMPLETED")
    assert fleet.wrong(first) == []


def test_two_users_who_give_one_hostile_name_have_a_device_each(fleet: Fleet, dock: Dock) -> None:
    """Containers were named by what the user wrote: two of one name clashed."""
    fleet.user("other")

    devices = [fleet.created(user, name=HOSTILE) for user in ("user", "other")]

    assert fleet.wrong(*devices) == []
    names = {box.wanted.name for box in dock.boxes.values()}
    assert names == {f"cloudphone-{device}" for device in devices}
    assert not [box for box in dock.boxes.values() if "DROP" in str(box.wanted)]
    assert [row.name for row in fleet.ask("SELECT name FROM devices")] == [HOSTILE] * 2


@pytest.mark.parametrize("ends", ["COMPLETED", "COMPENSATED"])
@pytest.mark.parametrize("moment", ["after create", "after start"])
def test_a_worker_that_dies_before_it_saved_the_containers_id_leaves_no_orphan(
    fleet: Fleet, dock: Dock, moment: str, ends: str
) -> None:
    """Nobody knew of the container: its id was nowhere yet."""
    device = fleet.create()
    fleet.reaches(device, "create_container")
    dock.on(moment, fails(Killed()))

    fleet.kill()

    assert len(dock.boxes) == 1
    assert (
        "container_id" not in fleet.row(device)["state"]
        or not (fleet.row(device)["state"]["container_id"])
    )
    if ends == "COMPENSATED":
        fleet.ann.cancel(device, reason="not wanted")
    assert fleet.ends(device) == ends
    assert fleet.wrong(*([device] if ends == "COMPLETED" else [])) == []


def test_a_device_counts_once_however_often_its_usage_is_told(fleet: Fleet) -> None:
    """Usage was reported without an operation's id, so that a repeated report counted twice."""
    device = fleet.create(cpu=3)
    fleet.reaches(device, "update_quota_usage")
    message = fleet.broker.queue.popleft()

    for redelivered in (False, True, True):
        fleet.deliver(message, redelivered=redelivered)

    assert fleet.ends(device) == "COMPLETED"
    [taken] = fleet.ask("SELECT count(*) AS devices, sum(cpu) AS cpu FROM quota_shares")
    assert (taken.devices, taken.cpu) == (1, 3)
    assert fleet.wrong(device) == []
