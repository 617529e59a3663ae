"""Devices whose worker, host or container dies in every step; counted: nothing is left behind."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from tests.acceptance.devices import (
    CHECK,
    CREATE,
    FORGET,
    INITIALIZE,
    PORTS,
    QUOTA,
    RECORD,
    REMOVE,
    STOP,
    USE,
    DeviceWorld,
    boots,
    slow,
    wrong,
)
from tests.acceptance.holding import Hold
from workflows import NotInQuota

SLOTS = 28
# Held in the transaction that records what they did.
FORWARD = [
    *(("step_done", step) for step in (CHECK, CREATE, RECORD, INITIALIZE)),
    ("completed", USE),
]
BACK = [("step_compensated", RECORD), ("step_compensated", CREATE), ("compensated", CHECK)]
DELETED = [*(("step_done", step) for step in (STOP, REMOVE, PORTS, QUOTA)), ("completed", FORGET)]
# Held in the middle of the call to the host.
CALLS = ["create", "start"]
CALLS_OF_DELETION = ["stop", "remove"]
LONG = 7


@pytest.fixture(scope="module")
def world(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DeviceWorld]:
    """One world for all tests; each leaves nothing in it but its COMPLETED sagas' devices."""
    world = DeviceWorld(
        folder=tmp_path_factory.mktemp("devices"), postgres=None, database_url=new_database()
    )
    try:
        yield world.start(concurrency=SLOTS)
    finally:
        world.close()


@pytest.mark.parametrize("victim", ["children", "main process"])
def test_kill_9_in_every_step_forward_and_back_at_once(world: DeviceWorld, victim: str) -> None:
    to_delete = world.created(count=len(DELETED) + len(CALLS_OF_DELETION))
    back = [world.create(boots("never")) for _ in BACK]
    world.until(lambda: all(world.has(each, "accepted") for each in back), "they are booting")
    with world.held() as hold:
        through = [world.create(before=_hold(hold, *event)) for event in FORWARD]
        for device_id, event in zip(to_delete, DELETED, strict=False):
            through.append(world.delete(device_id, before=_hold(hold, *event)))
        for device_id, event in zip(back, BACK, strict=True):
            _hold(hold, *event)(device_id)
            world.cancel(device_id)
        held = len(FORWARD) + len(DELETED) + len(BACK)
        world.until(lambda: hold.count() == held, "these wait in a record")
        calls = [(world.create(slow(call, seconds=LONG)), CREATE) for call in CALLS]
        for device_id, call in zip(to_delete[len(DELETED) :], CALLS_OF_DELETION, strict=True):
            step = {"stop": STOP, "remove": REMOVE}[call]
            calls.append((world.delete(device_id, slow(call, seconds=LONG)), step))
        through += [saga_id for saga_id, _ in calls]
        # Not before: a device that boots for too long is taken back without anybody's word.
        back.append(world.create(boots("never")))
        world.until(lambda: world.has(back[-1], "accepted"), "it is booting, too")
        world.order(back[-1], slow("remove", seconds=LONG))
        world.cancel(back[-1])
        calls.append((back[-1], CREATE))
        world.until(lambda: all(world.is_calling(*call) for call in calls), "the others call")

        if victim == "children":
            world.kill_child(world.main)
        else:
            world.kill_main(world.main)  # its children die with it: so Celery asked the kernel
    if victim == "main process":
        world.next_worker(concurrency=SLOTS)

    for saga_id in through:
        world.until_status(saga_id, "COMPLETED")
    for device_id in back:
        world.until_status(device_id, "COMPENSATED")
    world.until_nothing_remains()


def _hold(hold: Hold, kind: str, step: str) -> Callable[[UUID], None]:
    return lambda saga_id: hold.event(saga_id, kind, step)


def test_the_host_dies_in_the_middle_and_is_back_after_a_while(world: DeviceWorld) -> None:
    there = world.created(count=2)
    calling = [world.create(slow(call, seconds=LONG)) for call in CALLS]
    booting = world.create(boots("slow", seconds=3))
    deleting = world.delete(there[0], slow("remove", seconds=LONG))
    world.until(
        lambda: (
            world.has(booting, "accepted")
            and world.is_calling(deleting, REMOVE)
            and all(world.is_calling(each, CREATE) for each in calling)
        ),
        "all of them are at the host",
    )

    world.host.end(kill=True)
    world.until(lambda: not world.host.devices(), "no device outlives its host", within=5)
    refused = world.create(is_host_there=False)
    world.host.start()

    for saga_id in (*calling, deleting, refused):
        world.until_status(saga_id, "COMPLETED")
    world.until_status(booting, "COMPLETED", "COMPENSATED")
    world.until_nothing_remains()


def test_a_host_that_stays_away_leaves_nothing_once_it_is_back(world: DeviceWorld) -> None:
    before = world.create(wrong("create", "slow", seconds=1))
    world.until(lambda: world.is_calling(before, CREATE), "it calls")
    world.host.end(kill=True)
    try:
        world.until(lambda: world.status(before) == "COMPENSATING", "it goes back")
    finally:
        world.host.start()
    world.until_status(before, "COMPENSATED")
    world.until_nothing_remains()


def test_a_host_that_is_away_at_the_start_leaves_nothing(world: DeviceWorld) -> None:
    world.host.end(kill=True)
    try:
        at_the_start = world.create(is_host_there=False)
        world.until_status(at_the_start, "COMPENSATED")
    finally:
        world.host.start()
    world.until_nothing_remains()


def test_a_container_that_a_slow_host_finishes_after_its_compensation_goes_away(
    world: DeviceWorld,
) -> None:
    late = world.create(wrong("create", "late", times=4, seconds=LONG))
    world.until_status(late, "COMPENSATED")

    line = f"container=cloudphone-{late}"
    world.until(lambda: any(line in world.log(name) for name in world.processes), "it is removed")
    world.until_nothing_remains()
    assert world.status(late) == "COMPENSATED"


def test_a_frozen_worker_leaves_nothing_of_what_was_taken_back_meanwhile(
    world: DeviceWorld,
) -> None:
    lost = [world.create(slow(call, seconds=1)) for call in CALLS]
    world.until(lambda: all(world.is_calling(each, CREATE) for each in lost), "they call")
    frozen = world.main
    with world.frozen(frozen):
        for device_id in lost:
            world.cancel(device_id)
        world.next_worker(concurrency=SLOTS)
        for device_id in lost:
            world.until_status(device_id, "COMPENSATED")

    def has_dropped_all() -> bool:
        dropped = [line for line in world.log(frozen).splitlines() if "dropped" in line]
        return all(any(str(device_id) in line for line in dropped) for device_id in lost)

    world.until(has_dropped_all, "the thawed calls find that they lost")
    world.kill(frozen)
    world.until_nothing_remains()
    assert [world.status(device_id) for device_id in lost] == ["COMPENSATED"] * len(lost)


BAD_LUCK: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "its boot never ends": ("COMPENSATED", "did not boot", [boots("never")]),
    "its adb hangs": ("COMPENSATED", "did not boot", [boots("hang")]),
    "its adb talks nonsense": ("COMPENSATED", "does not speak adb", [boots("nonsense")]),
    "it dies": ("COMPENSATED", "exit code 3", [boots("die", seconds=1)]),
    "no image": ("COMPENSATED", "no image", [wrong("create", "image_missing")]),
    "refused": ("COMPENSATED", "refuse", [wrong("create", "refuse")]),
    "away for a while": ("COMPLETED", "", [wrong("create", "down", times=2)]),
    "done, and not said so": ("COMPLETED", "", [wrong("create", "error_after")]),
    "started, and not said so": ("COMPLETED", "", [wrong("start", "error_after")]),
    "away for good": ("COMPENSATED", "does not answer", [wrong("create", "down", times=9)]),
    "its port is in use": ("COMPLETED", "", [wrong("start", "port_taken", times=3)]),
    "every port is": ("COMPENSATED", "in use", [wrong("start", "port_taken", times=999)]),
    "it cannot be removed at first": (
        "COMPENSATED",
        "does not answer",
        [boots("never"), wrong("remove", "down", times=2)],
    ),
}


def test_whatever_goes_wrong_each_ends_as_it_should(world: DeviceWorld) -> None:
    ends = {name: world.create(*faults) for name, (_, _, faults) in BAD_LUCK.items()}

    for name, device_id in ends.items():
        status, said, _ = BAD_LUCK[name]
        world.until_status(device_id, status)
        assert said in world.said(device_id), name
    world.until_nothing_remains()


def test_of_50_who_race_for_the_last_place_one_has_it(world: DeviceWorld) -> None:
    world.quota("racer", devices=1)

    def race(_: int) -> UUID | None:
        try:
            return world.create(user_id="racer")
        except NotInQuota:
            return None  # it was taken already when they asked

    with ThreadPoolExecutor(50) as racers:
        started = [saga_id for saga_id in racers.map(race, range(50)) if saga_id is not None]
    for saga_id in started:
        world.until_status(saga_id, "COMPLETED", "COMPENSATED")

    statuses = [world.status(saga_id) for saga_id in started]
    assert statuses.count("COMPLETED") == 1
    assert len(statuses) > 1, "somebody raced"
    losers = [each for each in started if world.status(each) == "COMPENSATED"]
    assert all("1 of 1 devices are taken" in world.said(saga_id) for saga_id in losers)
    world.until_nothing_remains()
