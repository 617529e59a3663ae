"""Two workers at one container: whoever comes later finds it, and nobody removes the other's."""

import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from gateways.devices import PortTaken
from saga import IdempotencyKey
from settings import settings
from tasks import device_ports
from tests.integration.by_hand import Killed
from tests.integration.dock import Dock, fails, lost
from tests.integration.fleet import Fleet
from workflows.sweeping import ownership

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

MOMENTS = [
    f"{when} {call}"
    for call in ("check", "find", "create", "start")
    for when in ("before", "after")
]
CLASHES = pytest.mark.parametrize("clashes", [False, True], ids=["a port", "a clash"])


def begun(fleet: Fleet, dock: Dock, *, clashes: bool = False, user: str = "user") -> UUID:
    """A device whose container is to be created by the next message."""
    device = fleet.create(user)
    fleet.reaches(device, "create_container")
    if clashes:
        port = fleet.port(device)
        assert port is not None
        dock.strangers.add(port)
    return device


@CLASHES
@pytest.mark.parametrize("moment", [*MOMENTS, "before remove", "after remove"])
def test_a_worker_that_thaws_after_its_successor_finds_that_ones_container(
    fleet: Fleet,
    dock: Dock,
    moment: str,
    clashes: bool,  # noqa: FBT001 - a parameter
) -> None:
    device = begun(fleet, dock, clashes=clashes)
    made: list[str] = []

    def freezes() -> None:
        fleet.taken_over()
        assert fleet.row(device)["current_step"] == "device_creation.create_device_record"
        made.append(dock.the(device).id)

    dock.on(moment, freezes)
    fleet.deliver()

    if not made:
        assert "remove" in moment, "nothing is removed where nothing clashes"
        assert not clashes
    for container_id in made:
        assert dock.the(device).id == container_id, "the successor's container is still there"
        assert dock.the(device).state == "running"
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_whoever_freezes_and_whoever_dies_meanwhile_one_container_is_left(
    fleet: Fleet,
    dock: Dock,
    in_full: bool,  # noqa: FBT001 - a fixture
) -> None:
    """The first freezes anywhere, its successor dies anywhere, and the first goes on."""
    moments = [*MOMENTS, "before remove", "after remove"]
    pairs = list(itertools.product(moments, moments, (False, True)))
    made: list[UUID] = []
    user = fleet.user("many", devices=len(pairs))
    for frozen, dead, clashes in pairs[:: 1 if in_full else 7]:
        dock.forget_troubles()
        device = begun(fleet, dock, clashes=clashes, user=user)

        def freezes(dead: str = dead) -> None:
            dock.on(dead, fails(Killed()))
            with suppress(Killed):
                fleet.taken_over()

        dock.on(frozen, freezes)
        with suppress(Killed):  # where the successor did not come that far, the first one dies
            fleet.deliver()
        dock.forget_troubles()
        assert fleet.ends(device) == "COMPLETED", (frozen, dead, clashes)
        made.append(device)
        assert fleet.wrong(*made) == [], (frozen, dead, clashes)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_thaws_when_its_saga_went_back_leaves_no_container(
    fleet: Fleet, dock: Dock, moment: str
) -> None:
    device = begun(fleet, dock)
    dock.on(moment, lambda: goes_back(fleet, device))

    fleet.deliver()

    assert fleet.status(device) == "COMPENSATED"
    assert fleet.wrong() == []


def goes_back(fleet: Fleet, device: UUID) -> None:
    """Somebody cancels it while its worker stands still, and it comes to its end."""
    fleet.ann.cancel(device, reason="not wanted")
    assert fleet.ends(device) == "COMPENSATED"


# A container that is finished after its compensation


def test_a_container_that_the_host_finishes_when_its_saga_went_back_is_removed(
    fleet: Fleet, dock: Dock
) -> None:
    device = begun(fleet, dock)
    dock.puts_off()
    fleet.deliver()
    fleet.ann.cancel(device, reason="not wanted")
    assert fleet.ends(device) == "COMPENSATED"
    other = fleet.created()

    dock.finish()

    assert dock.the(device).state == "running"
    assert fleet.tidy() == 1
    assert fleet.wrong(other) == []
    assert fleet.tidy() == 0


def test_a_container_that_the_host_finishes_when_its_device_was_deleted_is_removed(
    fleet: Fleet, dock: Dock
) -> None:
    device = begun(fleet, dock)
    dock.puts_off()
    fleet.deliver()
    assert fleet.ends(device) == "COMPLETED"
    other = fleet.created()
    deletion = fleet.delete(device)
    fleet.reaches(deletion, "delete_record")
    dock.finish()
    assert fleet.tidy() == 0, "its record is still there"

    assert fleet.ends(deletion) == "COMPLETED"

    assert fleet.tidy() == 1
    assert fleet.wrong(other) == []


def test_the_container_of_a_device_whose_record_is_lost_is_for_a_person(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.created()
    fleet.execute("DELETE FROM devices")

    assert fleet.tidy() == 0
    assert dock.the(device).state == "running"


@pytest.mark.parametrize("rests_as", ["TIMEOUT", "COMPENSATED"])
def test_a_container_whose_saga_went_back_is_tidied_away(
    fleet: Fleet, dock: Dock, rests_as: str
) -> None:
    device = begun(fleet, dock)
    dock.puts_off()
    fleet.deliver()
    dock.images.clear()
    if rests_as == "TIMEOUT":
        fleet.let_pass(timedelta(hours=1))
    assert fleet.ends(device) == rests_as
    dock.finish()

    assert fleet.tidy() == 1
    assert fleet.wrong() == []


@pytest.mark.parametrize("step", ["create_device_record", "update_quota_usage", "remove_container"])
def test_the_container_of_a_saga_that_is_open_is_never_tidied_away(
    fleet: Fleet, dock: Dock, step: str
) -> None:
    device = begun(fleet, dock)
    fleet.reaches(device, "create_device_record")
    if step == "remove_container":
        fleet.ann.cancel(device, reason="not wanted")
    fleet.reaches(device, step)
    fleet.let_pass(timedelta(days=2))

    assert fleet.tidy() == 0
    assert dock.the(device).state == "running"


def test_the_container_of_a_saga_that_failed_is_for_a_person(fleet: Fleet, dock: Dock) -> None:
    device = begun(fleet, dock)
    fleet.reaches(device, "create_device_record")
    fleet.ann.cancel(device, reason="not wanted")
    dock.on("before remove", fails(lost()), times=100)
    assert fleet.ends(device) == "FAILED"
    dock.forget_troubles()

    assert fleet.tidy() == 0

    fleet.ann.retry(device, reason="the host is well again")
    assert fleet.ends(device) == "COMPENSATED"
    assert fleet.wrong() == []


def test_a_devices_container_is_never_tidied_away_nor_one_that_bears_another_name(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.created()
    gone_back = begun(fleet, dock)
    dock.images.clear()
    assert fleet.ends(gone_back) == "COMPENSATED"
    labels = {"cloudphone.managed": "true", "cloudphone.saga": str(gone_back)}
    copy = dock.put(replace(dock.the(device).wanted, name="mine", labels=labels))

    assert fleet.tidy() == 0
    assert copy.id in dock.boxes
    del dock.boxes[copy.id]
    assert fleet.wrong(device) == []


def test_a_late_container_whose_saga_was_woken_meanwhile_is_left_to_a_person(
    fleet: Fleet, dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late word comes between the look at its saga and its removal."""
    device = begun(fleet, dock)
    dock.puts_off()
    fleet.deliver()
    dock.images.clear()
    assert fleet.ends(device) == "COMPENSATED"
    dock.finish()
    key = IdempotencyKey.of(device, "device_creation.create_container")
    looked, words = ownership.statuses, ["it runs"]

    def looks(session: Session, saga_ids: Iterable[UUID]) -> dict[UUID, str]:
        found = looked(session, saga_ids)
        if words.pop():
            words.append("")
            with Session(fleet.database) as other, other.begin():
                fleet.engine.late_success(other, device, key=key)
        return found

    monkeypatch.setattr(ownership, "statuses", looks)

    assert fleet.tidy() == 0
    assert words == [], "it was asked twice"
    assert fleet.status(device) == "FAILED"
    assert dock.the(device).state == "running"


@pytest.mark.parametrize("until", ["it is created", "it rests"])
def test_a_worker_that_saw_a_clash_and_froze_leaves_the_container_that_another_one_started(
    fleet: Fleet, dock: Dock, until: str
) -> None:
    """Whatever had the port is gone by then: the other one could start the very same container."""
    device = begun(fleet, dock)
    made: list[str] = []

    def clashes_and_freezes() -> None:
        fleet.taken_over()
        if until == "it rests":
            assert fleet.ends(device) == "COMPLETED"
        made.append(dock.the(device).id)
        raise PortTaken("it was in use")

    dock.on("before start", clashes_and_freezes)
    fleet.deliver()

    assert [dock.the(device).id] == made
    assert dock.the(device).state == "running"
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_whose_port_an_older_worker_replaces_takes_the_other_port(fleet: Fleet, dock: Dock) -> None:
    """The older one had seen a clash, and thaws before this one has settled for its port."""
    device = begun(fleet, dock)
    port = fleet.port(device)
    assert port is not None

    def thaws() -> None:
        with Session(fleet.database) as session, session.begin():
            device_ports.replace(session, str(device), port, settings.device_port_range)

    dock.on("after start", thaws)

    assert fleet.ends(device) == "COMPLETED"
    assert fleet.port(device) != port
    assert fleet.wrong(device) == []


def test_what_is_removed_is_what_was_seen_and_not_what_bears_its_name_by_now(
    fleet: Fleet, dock: Dock
) -> None:
    """A container that could not be started was seen, and another worker made a better one."""
    device = begun(fleet, dock, clashes=True)
    dock.on("before start", fails(lost()))
    fleet.deliver()
    assert [box.state for box in dock.boxes.values()] == ["created"]
    made: list[str] = []

    def freezes() -> None:
        fleet.taken_over()
        made.append(dock.the(device).id)

    dock.on("after find", freezes)
    fleet.work_off(until="create_device_record")

    assert [box.id for box in dock.bearing(device)] == made
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []
