"""A device boots and is set up, or is given up, whatever answers at its port."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from gateways.devices.adb import AdbAway, AdbError, AdbLocked, AdbNonsense
from settings import settings
from tests.integration.dock import Dock
from tests.integration.fleet import Fleet

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

ALWAYS = 100


def test_a_device_that_boots_keeps_no_worker_while_it_does(fleet: Fleet, dock: Dock) -> None:
    dock.devices.boot = False
    device = fleet.create()
    fleet.reaches(device, "initialize_device")

    fleet.deliver()

    assert fleet.row(device)["claimed_by"] is None
    assert fleet.row(device)["waiting_for"] == "poll"
    dock.devices.boot = True
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


def test_a_device_that_never_boots_is_given_up_after_its_time(fleet: Fleet, dock: Dock) -> None:
    dock.devices.boot = False
    device = fleet.create()
    fleet.reaches(device, "initialize_device")
    fleet.deliver()
    assert fleet.status(device) == "RUNNING"

    fleet.let_pass(timedelta(seconds=settings.device_boot_seconds))

    assert fleet.ends(device) == "COMPENSATED"
    assert "it did not boot within 60 s: it boots" in fleet.why(device)
    assert fleet.wrong() == []


@pytest.mark.parametrize(
    "word",
    [
        AdbAway("adb at 127.0.0.1:5555 did not answer in time"),
        AdbNonsense("what answers is no adb"),
    ],
    ids=["hangs", "talks nonsense"],
)
@pytest.mark.parametrize("times", [1, ALWAYS])
def test_a_device_whose_adb_does_not_answer_well_may_be_booting_until_its_time_is_over(
    fleet: Fleet, dock: Dock, word: AdbError, times: int
) -> None:
    dock.devices.words.extend([word] * times)
    device = fleet.create()

    if times == 1:
        assert fleet.ends(device) == "COMPLETED"
        assert fleet.wrong(device) == []
    else:
        assert fleet.ends(device) == "COMPENSATED"
        assert f"it did not boot within 60 s: {word}" in fleet.why(device)
        assert fleet.wrong() == []


def test_a_device_that_asks_for_a_key_is_given_up_at_once(fleet: Fleet, dock: Dock) -> None:
    dock.devices.words.append(AdbLocked("let the image take adb without a key"))
    device = fleet.create()

    assert fleet.ends(device) == "COMPENSATED"
    assert "take adb without a key" in fleet.why(device)
    assert fleet.wrong() == []


def test_a_device_that_cannot_be_set_up_is_tried_again_and_then_given_up(
    fleet: Fleet, dock: Dock
) -> None:
    dock.devices.breaks.add("wm density 240")
    device = fleet.create()

    assert fleet.ends(device) == "COMPENSATED"
    assert "'wm density 240' failed on the device: not found" in fleet.why(device)
    assert fleet.wrong() == []


def test_a_device_that_boots_again_when_it_is_set_up_is_waited_for(
    fleet: Fleet, dock: Dock
) -> None:
    dock.devices.reboots.add("settings put global stay_on_while_plugged_in 3")
    device = fleet.create()
    fleet.reaches(device, "initialize_device")

    fleet.deliver()

    assert fleet.row(device)["waiting_for"] == "poll"
    dock.devices.reboots.clear()
    dock.devices.boot = True
    assert fleet.ends(device) == "COMPLETED"
    assert fleet.wrong(device) == []


@pytest.mark.parametrize(
    ("strikes", "why"),
    [
        (
            lambda dock, device: dock.the(device).ends(137),
            "its container is exited, with exit code 137",
        ),
        (lambda dock, device: dock.remove(f"cloudphone-{device}"), "its container is gone"),
    ],
    ids=["dies", "is removed"],
)
def test_a_container_that_is_gone_before_its_device_has_booted_is_given_up(
    fleet: Fleet, dock: Dock, strikes: Callable[[Dock, str], None], why: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "initialize_device")

    strikes(dock, str(device))

    assert fleet.ends(device) == "COMPENSATED"
    assert why in fleet.why(device)
    assert fleet.wrong() == []


def test_who_answers_in_place_of_a_container_that_ended_is_not_taken_for_its_device(
    fleet: Fleet, dock: Dock
) -> None:
    device = fleet.create()
    fleet.reaches(device, "initialize_device")
    ended = dock.the(device)
    ended.ends(0)
    # As another installation's device does, which the host gave the port meanwhile.
    strangers = dock.put(replace(ended.wanted, name="a-stranger", labels={}))

    assert fleet.ends(device) == "COMPENSATED"
    assert "its container is exited" in fleet.why(device)
    assert list(dock.boxes.values()) == [strangers]


def test_a_saga_whose_time_is_over_while_its_device_boots_leaves_nothing(
    fleet: Fleet, dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "device_boot_seconds", 10_000)
    dock.devices.boot = False
    device = fleet.create()

    assert fleet.ends(device) == "TIMEOUT"
    assert fleet.wrong() == []
