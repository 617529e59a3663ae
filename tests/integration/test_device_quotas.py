"""A quota is reserved before anything is made, under its row's lock, and given back exactly."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from models import DeviceState, Specification
from saga import Refused
from settings import settings
from tasks import device_ports
from tasks.device_creation import check_quota
from tasks.device_ports import NoPortLeft
from tests.integration.dock import Dock
from tests.integration.fleet import Fleet
from tests.integration.wires import until
from workflows import DeviceInput, request_device
from workflows.device_creation import NotInQuota, UserUnknown

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

WAITS_FOR_A_LOCK = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'"""


# What the quota says is obeyed at the start, and again by the saga


@pytest.mark.parametrize(
    ("quota", "asked", "why"),
    [
        ({"devices": 0}, {}, "0 of 0 devices are taken of it"),
        ({"status": "suspended"}, {}, "it is suspended"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, {}, "it expired at 2020-01-01"),
        ({"device_cpu": 2}, {"cpu": 3}, "a device may have 2 cores, not 3"),
        ({"total_memory_mb": 5000}, {"memory_mb": 6000}, "5000 of 5000 MB of memory are left"),
        ({"total_storage_mb": 2000}, {"storage_mb": 2001}, "2000 of 2000 MB of storage are left"),
    ],
    ids=["no device", "suspended", "expired", "device's cpu", "total memory", "total storage"],
)
def test_what_a_quota_does_not_allow_is_not_begun(
    fleet: Fleet, dock: Dock, quota: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    fleet.user("poor", **quota)

    with pytest.raises(NotInQuota, match=why):
        fleet.create("poor", **asked)

    assert (dock.calls, fleet.wrong()) == ([], [])
    assert fleet.ask("SELECT 1 FROM saga_state") == []


def test_who_asks_again_with_the_same_key_gets_the_same_saga_though_nothing_is_left(
    fleet: Fleet,
) -> None:
    fleet.user("poor", devices=1)
    asked = DeviceInput(user_id="poor", name="phone")
    sagas = []
    for _ in range(2):
        with Session(fleet.database) as session, session.begin():
            sagas.append(request_device(fleet.engine, session, asked, "one").saga_id)
        fleet.work_off()

    assert sagas[0] == sagas[1]
    assert fleet.wrong(sagas[0]) == []


def test_what_one_user_takes_is_not_taken_of_anothers_quota(fleet: Fleet) -> None:
    for user in ("one", "two"):
        fleet.user(user, devices=1)

    assert fleet.wrong(fleet.created("one"), fleet.created("two")) == []


def test_who_has_no_quota_has_no_device(fleet: Fleet) -> None:
    with pytest.raises(UserUnknown):
        fleet.create("nobody")


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        ("UPDATE device_quotas SET status = 'suspended'", "it is suspended"),
        ("UPDATE device_quotas SET expires_at = now()", "it expired at"),
        ("UPDATE device_quotas SET devices = 0", "0 of 0 devices are taken of it"),
        ("DELETE FROM device_quotas", "user user has no quota of devices"),
    ],
)
def test_a_quota_that_changes_before_it_is_reserved_is_obeyed_as_it_is_then(
    fleet: Fleet, dock: Dock, meanwhile: str, why: str
) -> None:
    device = fleet.create()
    fleet.execute(meanwhile)

    assert fleet.ends(device) == "COMPENSATED"
    assert why in fleet.why(device)
    assert (dock.calls, fleet.wrong()) == ([], [])


def test_a_quota_that_expires_while_the_saga_waits_for_its_row_is_over(fleet: Fleet) -> None:
    """Time goes on while it waits: what counts is when the row is had, not when it was asked."""
    state = device_state()
    with fleet.database.begin() as holder:
        holder.execute(text("SELECT 1 FROM device_quotas FOR UPDATE"))
        with ThreadPoolExecutor() as others:
            reserving = others.submit(reserve, fleet, state)
            until(lambda: waiting(fleet) == 1)
            holder.execute(text("UPDATE device_quotas SET expires_at = clock_timestamp()"))
            holder.commit()

            with pytest.raises(Refused, match="it expired at"):
                reserving.result()


# Races


def test_who_waits_for_a_quota_sees_what_was_reserved_meanwhile(fleet: Fleet) -> None:
    fleet.user("one", devices=1)

    first, second = race(fleet, lambda session: check_quota(device_state("one"), session))

    assert first.exception() is None
    with pytest.raises(Refused, match="1 of 1 devices are taken of it"):
        second.result()
    assert len(fleet.ask("SELECT 1 FROM quota_shares")) == 1


def test_who_waits_for_a_port_sees_what_was_reserved_meanwhile(fleet: Fleet) -> None:
    only = range(5555, 5556)

    first, second = race(fleet, lambda session: device_ports.reserve(session, str(uuid4()), only))

    assert first.result() == 5555
    with pytest.raises(NoPortLeft):
        second.result()


def test_of_fifty_requests_for_the_last_place_one_is_granted(fleet: Fleet, dock: Dock) -> None:
    fleet.user("one", devices=3)
    there = [fleet.created("one") for _ in range(2)]
    racing = [fleet.create("one") for _ in range(50)]
    messages = [fleet.broker.queue.popleft() for _ in racing]

    with ThreadPoolExecutor(len(messages)) as others:
        list(others.map(fleet.deliver, messages))
    ends = {device: fleet.ends(device) for device in racing}

    [granted] = [device for device, end in ends.items() if end == "COMPLETED"]
    assert {end for device, end in ends.items() if device != granted} == {"COMPENSATED"}
    assert fleet.wrong(*there, granted) == []
    assert dock.calls.count("create") == 3, "nobody else came to the host"
    [taken] = fleet.ask("SELECT count(*) AS devices, sum(cpu) AS cpu FROM quota_shares")
    assert (taken.devices, taken.cpu) == (3, 6)


def test_a_place_that_is_given_back_can_be_taken_at_once(fleet: Fleet, dock: Dock) -> None:
    fleet.user("one", devices=1)
    dock.images.clear()
    assert fleet.ends(fleet.create("one")) == "COMPENSATED"
    dock.images.add(settings.device_image)

    device = fleet.created("one")
    with pytest.raises(NotInQuota):
        fleet.create("one")
    assert fleet.ends(fleet.delete(device)) == "COMPLETED"

    assert fleet.wrong(fleet.created("one")) == []


def device_state(user_id: str = "user") -> DeviceState:
    return DeviceState(
        device_id=str(uuid4()), user_id=user_id, name="phone", specification=Specification()
    )


def reserve(fleet: Fleet, state: DeviceState) -> None:
    with Session(fleet.database) as session, session.begin():
        check_quota(state, session)


def waiting(fleet: Fleet) -> int:
    found: int = fleet.ask(WAITS_FOR_A_LOCK)[0][0]
    return found


def race(fleet: Fleet, do: Callable[[Session], Any]) -> tuple[Future[Any], Future[Any]]:
    """What came of it twice: the second was begun before the first had committed."""
    first = Future[Any]()

    def late() -> Any:
        with Session(fleet.database) as session, session.begin():
            return do(session)

    with ThreadPoolExecutor() as others:
        with Session(fleet.database) as session, session.begin():
            first.set_result(do(session))
            second = others.submit(late)
            until(lambda: waiting(fleet) == 1)
        with suppress(Exception):
            second.result()
    return first, second
