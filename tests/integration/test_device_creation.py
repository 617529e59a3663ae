"""A device is created, or nothing is left of it, whatever its host and the device itself do."""

import pytest

from gateways.devices import HostAway, HostRefused, PortTaken, Wanted
from settings import settings
from tests.integration.dock import Dock, fails, lost
from tests.integration.fleet import Fleet
from workflows.device_creation import RETRY

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

ALWAYS = 100
ATTEMPTS = 1 + RETRY.retries
HOST_CALLS = ("check", "find", "create", "start")


def test_a_device_is_created_and_deleted_with_all_that_belongs_to_it(fleet: Fleet) -> None:
    device, other = fleet.create(cpu=4), fleet.create(memory_mb=512)

    assert [fleet.ends(each) for each in (device, other)] == ["COMPLETED", "COMPLETED"]
    assert fleet.wrong(device, other) == []
    assert fleet.ends(fleet.delete(device)) == "COMPLETED"
    assert fleet.wrong(other) == []


def test_a_container_tells_whose_it_is_and_is_of_the_size_that_was_asked(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.created(cpu=3, memory_mb=1024, width=720, height=1280, dpi=320)

    wanted = dock.the(device).wanted
    assert wanted.name == f"cloudphone-{device}"
    assert wanted.labels == {
        "cloudphone.managed": "true",
        "cloudphone.saga": str(device),
        "cloudphone.step": "device_creation.create_container",
    }
    assert (wanted.cpu, wanted.memory_mb, wanted.storage_mb) == (3, 1024, None)
    assert (wanted.privileged, wanted.bind_address) == (False, "127.0.0.1")
    assert wanted.command == [
        "androidboot.redroid_width=720",
        "androidboot.redroid_height=1280",
        "androidboot.redroid_dpi=320",
    ]
    ran = [command for name, command in dock.devices.ran if name == wanted.name]
    assert ran[:2] == ["wm size 720x1280", "wm density 320"]


def test_the_settings_say_what_a_container_may_do_on_its_host(
    fleet: Fleet, dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "device_image": "android:{android}",
        "device_limits": False,
        "device_storage_limit": True,
        "device_privileged": True,
        "device_bind_address": "10.0.0.1",
        "device_adb_address": "10.0.0.2",
    }.items():
        monkeypatch.setitem(vars(settings), name, value)
    dock.images.add("android:12")
    device = fleet.created(android_version=12, storage_mb=2048)

    wanted = dock.the(device).wanted
    assert (wanted.image, wanted.privileged) == ("android:12", True)
    assert (wanted.cpu, wanted.memory_mb, wanted.storage_mb) == (None, None, 2048)
    assert wanted.bind_address == "10.0.0.1"
    assert fleet.ask("SELECT adb_address FROM devices") == [("10.0.0.2",)]


# The host


def test_a_host_that_is_away_at_the_start_is_waited_for(fleet: Fleet, dock: Dock) -> None:
    dock.is_away = True
    device = fleet.create()
    fleet.reaches(device, "create_container")
    fleet.deliver()
    dock.is_away = False

    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_of_a_host_that_stays_away_nothing_is_asked_and_nothing_is_left(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_container")
    dock.on("before check", fails(HostAway("nobody listens", sent=False)), times=ALWAYS)

    assert fleet.ends(device) == "COMPENSATED"
    assert "create" not in dock.calls
    assert fleet.wrong() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", HOST_CALLS)
def test_a_call_to_the_host_whose_answer_is_lost_is_made_again(
    fleet: Fleet, dock: Dock, call: str, when: str
) -> None:
    dock.on(f"{when} {call}", fails(lost()))
    device = fleet.create()

    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


@pytest.mark.parametrize(
    "moment", ["before find", "after find", "before create", "before start", "after start"]
)
def test_of_a_host_that_answers_no_more_in_the_middle_nothing_is_left(
    fleet: Fleet, dock: Dock, moment: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_container")
    dock.on(moment, fails(lost()), times=ATTEMPTS)

    assert fleet.ends(device) == "COMPENSATED"
    assert fleet.wrong() == []


def test_of_a_host_that_is_never_back_a_person_is_told_and_its_container_is_not_forgotten(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_container")

    def goes_away() -> None:
        dock.is_away = True
        raise lost()

    dock.on("after start", goes_away)

    assert fleet.ends(device) == "FAILED"
    assert fleet.port(device) is not None, "it belongs to a container that is there"

    dock.is_away = False
    assert fleet.tidy() == 0, "a FAILED saga's container is for a person"
    fleet.ann.retry(device, reason="the host is back")
    assert fleet.ends(device) == "COMPENSATED"
    assert fleet.wrong() == []


def test_without_its_image_no_device_is_created_and_nothing_is_left(
    fleet: Fleet, dock: Dock
) -> None:
    dock.images.clear()
    device = fleet.create()

    assert fleet.ends(device) == "COMPENSATED"
    assert "correct DEVICE_IMAGE" in fleet.why(device)
    assert dock.calls.count("create") == 1, "what is missing is not asked for again"
    assert fleet.wrong() == []


@pytest.mark.parametrize("moment", ["before check", "before find", "before create"])
def test_a_host_that_refuses_is_not_asked_again_and_nothing_is_left(
    fleet: Fleet, dock: Dock, moment: str
) -> None:
    dock.on(moment, fails(HostRefused("403", "not for you")))
    device = fleet.create()

    assert fleet.ends(device) == "COMPENSATED"
    assert "not for you" in fleet.why(device)
    assert fleet.wrong() == []


def test_what_a_host_refuses_to_start_is_removed_in_the_end(fleet: Fleet, dock: Dock) -> None:
    """Not at once: another worker may have started it by then."""
    dock.on("before start", fails(HostRefused("403", "not for you")), times=ALWAYS)
    device = fleet.create()

    assert fleet.ends(device) == "COMPENSATED"
    assert dock.calls.count("create") == 1
    assert "not for you" in fleet.why(device)
    assert fleet.wrong() == []


@pytest.mark.parametrize("refused", ["find", "remove"])
def test_a_refusal_after_a_clash_does_not_hide_the_container_that_clashed(
    fleet: Fleet, dock: Dock, refused: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_container")

    def clashes() -> None:
        dock.on(f"before {refused}", fails(HostRefused("403", "not for you")))
        raise PortTaken("something else has it")

    dock.on("before start", clashes, *(fails(lost()) for _ in range(ATTEMPTS)))

    assert fleet.ends(device) == "COMPENSATED"
    assert fleet.wrong() == []


def test_without_a_host_that_is_set_up_nothing_is_left(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, dock: Dock
) -> None:
    from tasks.doors import NoSuchDoor  # noqa: PLC0415 - the only one

    device = fleet.create()
    fleet.reaches(device, "create_container")
    with monkeypatch.context() as patch:
        unset = fails(NoSuchDoor("no container host is set up: set DEVICE_HOST_URL"))
        patch.setattr("tasks.device_creation.container_host", unset)
        fleet.deliver()

    assert fleet.ends(device) == "COMPENSATED"
    assert "set DEVICE_HOST_URL" in fleet.why(device)
    assert dock.calls.count("create") == 0
    assert fleet.wrong() == []


# A container by somebody else


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"cloudphone.managed": "true", "cloudphone.saga": "x"},
        {"cloudphone.managed": "false", "cloudphone.saga": "{device}"},
    ],
)
def test_a_strangers_container_of_the_name_is_neither_used_nor_removed(
    fleet: Fleet, dock: Dock, labels: dict[str, str]
) -> None:
    device = fleet.create()
    labels = {name: value.format(device=device) for name, value in labels.items()}
    strangers = dock.put(stranger(f"cloudphone-{device}", labels=labels))

    assert fleet.ends(device) == "COMPENSATED"
    assert "this saga did not make" in fleet.why(device)
    assert fleet.tidy() == 0
    assert dock.boxes == {strangers.id: strangers}
    assert strangers.state == "running"
    del dock.boxes[strangers.id]
    assert fleet.wrong() == []


def test_a_strangers_container_that_comes_between_is_neither_used_nor_removed(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.create()
    made = []
    dock.on("before create", lambda: made.append(dock.put(stranger(f"cloudphone-{device}"))))

    assert fleet.ends(device) == "COMPENSATED"
    assert "this saga did not make" in fleet.why(device)
    assert list(dock.boxes.values()) == made


@pytest.mark.parametrize("does", ["makes it", "takes it away"])
def test_what_a_twin_does_to_the_container_meanwhile_costs_no_attempt(
    fleet: Fleet, dock: Dock, does: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_container")
    port = fleet.port(device)
    assert port is not None
    labels = {"cloudphone.managed": "true", "cloudphone.saga": str(device)}
    twins = stranger(f"cloudphone-{device}", labels=labels, port=port)
    if does == "makes it":
        dock.on("before create", lambda: dock.put(twins))
    else:
        dock.on("before start", dock.boxes.clear)
    fleet.deliver()

    assert fleet.row(device)["current_step"] == "device_creation.create_device_record"
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def stranger(name: str, *, labels: dict[str, str] | None = None, port: int = 80) -> Wanted:
    return Wanted(
        name=name, image="postgres", labels=labels or {}, command=(), environment={}, port=port
    )


# Records that somebody moved


@pytest.mark.parametrize(
    "moved",
    [
        "UPDATE devices SET status = 'error'",
        "DELETE FROM devices",
        "UPDATE quota_shares SET status = 'used'",
        "DELETE FROM quota_shares",
    ],
)
def test_a_device_whose_rows_somebody_moved_is_not_handed_to_its_user(
    fleet: Fleet, moved: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "update_quota_usage")
    fleet.execute(moved)

    assert fleet.ends(device) == "COMPENSATED"
    assert "somebody moved it while it was being created" in fleet.why(device)
    assert fleet.wrong() == []
