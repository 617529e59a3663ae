"""What devices leave: found when nobody owns it, kept as long as somebody does."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty, Fault
from gateways.devices import MANAGED, SAGA, HostAway, HostRefused, Wanted
from models import DevicePort, DeviceQuota, QuotaShare, container_name
from saga import connect
from tasks.doors import NoSuchDoor
from tests.integration.attic import DAY, Watched
from tests.integration.dock import Box, Dock, fails
from tests.integration.fleet import Fleet
from tests.integration.test_cli import NOBODY, Shell, environment
from workflows.sweeping import (
    Finding,
    Kind,
    LateContainers,
    Removal,
    Source,
    Sweeper,
    Swept,
    Thing,
    Verdict,
)
from workflows.sweeping.device_sources import Containers, Ports, Shares

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

ALL = ("container", "port", "share")
WHOSE, SIZES = ("device", "total"), ("cpu", "memory_mb", "storage_mb")
FAIL = """
UPDATE saga_state SET status = 'FAILED', failed_from = 'RUNNING', holds_key = true,
    completed_at = NULL, wake_at = NULL"""


class Sweep:
    """Sweeps a fleet's places as if it were in two days."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.later = fleet, 2 * DAY
        fleet.execute("DELETE FROM sweep_alarms")

    def sources(self) -> list[Source]:
        database = self.fleet.database
        return [
            Containers(lambda: self.fleet.dock),
            Ports(lambda: database),
            Shares(lambda: database),
        ]

    def sweeper(self, sources: list[Source] | None = None) -> Sweeper:
        return Sweeper(
            self.fleet.engine,
            sources=self.sources() if sources is None else sources,
            inventories=[],
            clock=lambda: datetime.now(UTC) + self.later,
        )

    def run(
        self, *, remove: bool = False, sources: list[Source] | None = None, **bounds: Any
    ) -> tuple[Swept, list[Finding]]:
        found: list[Finding] = []
        swept = self.sweeper(sources).run(grace=DAY, remove=remove, tell=found.extend, **bounds)
        return swept, found

    def told(self, **bounds: Any) -> list[tuple[str, str, str]]:
        """Kind, verdict and what came of it, of all that a sweep tells."""
        _, found = self.run(**bounds)
        return sorted((one.thing.kind.value, one.verdict.value, one.removal.value) for one in found)


@pytest.fixture
def sweep(fleet: Fleet) -> Sweep:
    return Sweep(fleet)


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **said: Any) -> None:
            assert event == "alarm"
            heard.append(said)

        def info(self, event: str, **said: Any) -> None: ...

        def warning(self, event: str, **said: Any) -> None: ...

    monkeypatch.setattr("workflows.sweeping.sweeper.log", Log())
    return heard


def wanted(device_id: UUID | str, **others: Any) -> Wanted:
    """The container of a device, as a worker asks for it."""
    given: dict[str, Any] = {
        "name": container_name(str(device_id)),
        "image": "celery-sagas-device",
        "labels": {MANAGED: "true", SAGA: str(device_id)},
        "command": [],
        "environment": {},
        "port": 6000,
    }
    return Wanted(**given | others)


def gone_back(fleet: Fleet) -> UUID:
    """The creation of a device that is COMPENSATED."""
    saga_id = fleet.create()
    fleet.ann.cancel(saga_id, reason="a test")
    assert fleet.ends(saga_id) == "COMPENSATED"
    return saga_id


def reserve_by_hand(fleet: Fleet, device_id: UUID | str, port: int = 6000) -> None:
    """Rows that no saga made: a port and a share."""
    fleet.execute(
        "INSERT INTO device_ports (port, device_id, since) VALUES (:port, :id, now()); "
        "INSERT INTO quota_shares (device_id, user_id, cpu, memory_mb, storage_mb, status) "
        "VALUES (:id, 'user', 1, 1, 1, 'reserved')",
        {"port": port, "id": str(device_id)},
    )


# Who owns what


@pytest.mark.parametrize("status", ["RUNNING", "COMPENSATING", "FAILED"])
def test_what_an_open_or_failed_saga_made_is_its_own_however_old_it_is(
    fleet: Fleet, sweep: Sweep, status: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_device_record")
    match status:
        case "COMPENSATING":
            fleet.ann.cancel(device, reason="a test")
        case "FAILED":
            fleet.execute(FAIL)
    assert fleet.status(device) == status

    swept, found = sweep.run(remove=True, strays=True)

    assert (found, swept.verdicts) == ([], {Verdict.OWNED: 3})


def test_what_a_devices_record_has_is_kept_whatever_its_status(fleet: Fleet, sweep: Sweep) -> None:
    device = fleet.created()
    fleet.execute("UPDATE devices SET status = 'error'")

    assert sweep.told(remove=True, strays=True) == []
    fleet.execute("UPDATE devices SET status = 'idle'")
    assert fleet.wrong(device) == []


def test_what_is_left_of_a_device_whose_record_somebody_deleted_is_removed(
    fleet: Fleet, sweep: Sweep
) -> None:
    kept, device = fleet.created(), fleet.created()
    fleet.execute("DELETE FROM devices WHERE id = :id", {"id": str(device)})

    assert sweep.told() == [(kind, "orphan", "not_asked") for kind in ALL]
    assert sweep.told(remove=True) == [(kind, "orphan", "removed") for kind in ALL]
    assert sweep.told() == []
    assert fleet.wrong(kept) == []


def test_what_came_after_its_saga_had_gone_back_is_an_orphan(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    device = gone_back(fleet)
    dock.put(wanted(device))
    reserve_by_hand(fleet, device)

    _, found = sweep.run(remove=True)

    assert [(one.thing.kind.value, one.removal) for one in found] == [
        (kind, Removal.REMOVED) for kind in ALL
    ]
    assert {one.why for one in found} == {"its saga is COMPENSATED, and no record has it"}
    assert fleet.wrong() == []


def test_a_share_that_is_removed_is_its_users_again(fleet: Fleet, sweep: Sweep) -> None:
    fleet.user("of one", devices=1)
    lost = fleet.created("of one")
    fleet.execute("DELETE FROM devices WHERE id = :id", {"id": str(lost)})

    sweep.run(remove=True)

    assert fleet.wrong(fleet.created("of one")) == []


def test_a_container_that_no_saga_here_ever_had_may_be_another_databases(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    dock.put(wanted(uuid4()))

    assert sweep.told(remove=True) == [("container", "stray", "not_asked")]
    assert len(dock.boxes) == 1
    assert sweep.told(remove=True, strays=True) == [("container", "stray", "removed")]
    assert fleet.wrong() == []


def test_a_row_that_no_saga_ever_had_is_ours_all_the_same(fleet: Fleet, sweep: Sweep) -> None:
    reserve_by_hand(fleet, uuid4())

    assert sweep.told(remove=True) == [(kind, "orphan", "removed") for kind in ALL[1:]]
    assert fleet.wrong() == []


def foreign() -> Iterator[tuple[str, Callable[[str], Wanted]]]:
    yield "of another name", lambda device: wanted(device, name="a-persons-own")
    yield "of a name with more", lambda device: wanted(device, name=f"cloudphone-{device}-2")
    yield "without a saga", lambda device: wanted(device, labels={MANAGED: "true"})
    yield "of no saga", lambda device: wanted(device, labels={MANAGED: "true", SAGA: "mine"})
    yield "of another saga", lambda device: wanted(uuid4(), labels=wanted(device).labels)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in foreign()])
def test_a_container_that_is_not_named_as_we_name_them_is_told_of_and_never_removed(
    fleet: Fleet, sweep: Sweep, dock: Dock, make: Callable[[str], Wanted]
) -> None:
    box = dock.put(make(str(gone_back(fleet))))

    assert sweep.told(remove=True, strays=True) == [("container", "foreign", "not_asked")]
    assert fleet.tidy() == 0
    assert list(dock.boxes) == [box.id]


def test_a_container_without_our_label_is_not_looked_at(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    device = gone_back(fleet)
    dock.put(wanted(device, labels={SAGA: str(device)}))
    dock.put(wanted(device, name="other", labels={MANAGED: "false", SAGA: str(device)}))

    swept, _ = sweep.run(remove=True, strays=True)

    assert (swept.seen, len(dock.boxes)) == (0, 2)


def test_a_row_that_bears_no_sagas_id_is_a_persons(fleet: Fleet, sweep: Sweep) -> None:
    reserve_by_hand(fleet, "kept for the fair")

    told = sweep.told(remove=True, strays=True)

    assert told == [(kind, "foreign", "not_asked") for kind in ALL[1:]]


def test_a_port_that_something_else_has_is_no_orphan(fleet: Fleet, sweep: Sweep) -> None:
    fleet.execute("INSERT INTO device_ports (port, since) VALUES (6000, now())")

    swept, _ = sweep.run(remove=True)

    assert swept.seen == 0


def test_what_is_not_older_than_the_grace_time_is_left_alone(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    device = gone_back(fleet)
    box = dock.put(wanted(device))
    reserve_by_hand(fleet, device)

    sweep.later = DAY - timedelta(minutes=1)
    young, _ = sweep.run(remove=True)
    sweep.later = DAY + timedelta(minutes=1)
    old, _ = sweep.run()

    assert (young.verdicts, old.verdicts) == ({Verdict.YOUNG: 3}, {Verdict.ORPHAN: 3})
    assert list(dock.boxes) == [box.id]


# Races


def test_what_is_removed_is_what_was_listed_and_not_what_has_its_name_by_now(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    device = gone_back(fleet)
    listed, others = dock.put(wanted(device)), list[Box]()

    def another_takes_its_name(_: Thing) -> None:
        dock.boxes.pop(listed.id)
        others.append(dock.put(wanted(device)))

    source = Watched(Containers(lambda: dock), before_removal=another_takes_its_name)

    sweep.run(remove=True, sources=[source])

    assert list(dock.boxes) == [others[0].id]


@pytest.mark.parametrize("kind", ALL)
def test_what_somebody_comes_to_own_before_its_removal_is_kept(
    fleet: Fleet, sweep: Sweep, dock: Dock, kind: str
) -> None:
    for number in range(2):
        device = gone_back(fleet)
        dock.put(wanted(device))
        reserve_by_hand(fleet, device, 6000 + number)
    [source] = [source for source in sweep.sources() if source.kind.value == kind]

    def wake_the_other(thing: Thing) -> None:
        fleet.execute(f"{FAIL} WHERE saga_id <> :this", {"this": thing.saga_id})

    watched = Watched(source, before_removal=wake_the_other)
    _, found = sweep.run(remove=True, sources=[watched])

    assert sorted(one.removal for one in found) == [Removal.OWNED_NOW, Removal.REMOVED]


@pytest.mark.parametrize("kind", ALL)
def test_a_saga_that_completes_between_the_questions_for_its_owners_keeps_all_of_its_device(
    fleet: Fleet, sweep: Sweep, kind: str
) -> None:
    device = fleet.create()
    fleet.reaches(device, "create_device_record")
    [source] = [source for source in sweep.sources() if source.kind.value == kind]

    def listed() -> None:
        # Right behind the next question, whichever that is.
        event.listen(fleet.database, "after_cursor_execute", completes, once=True)

    def completes(*_: object) -> None:
        fleet.work_off()

    told = sweep.told(remove=True, strays=True, sources=[Watched(source, listed=listed)])

    assert fleet.status(device) == "COMPLETED"
    assert told == []
    assert fleet.wrong(device) == []


# A host that is not there


def test_where_the_host_is_away_our_own_tables_are_swept_all_the_same(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    reserve_by_hand(fleet, gone_back(fleet))
    dock.is_away = True

    swept, found = sweep.run(remove=True)

    assert swept.faults == {Kind.CONTAINER: "nobody listens"}
    assert swept.whole == {Kind.PORT, Kind.SHARE}
    assert [one.removal for one in found] == [Removal.REMOVED] * 2


def test_without_a_host_that_is_set_up_it_is_said_and_no_fault(sweep: Sweep) -> None:
    def no_door() -> Dock:
        raise NoSuchDoor("set DEVICE_HOST_URL")

    swept, _ = sweep.run(sources=[Containers(no_door), *sweep.sources()[1:]])

    assert (swept.not_set_up, swept.faults) == ({Kind.CONTAINER: "set DEVICE_HOST_URL"}, {})
    assert swept.whole == {Kind.PORT, Kind.SHARE}


def test_a_container_that_the_host_does_not_remove_is_told_of_with_its_reason(
    fleet: Fleet, sweep: Sweep, dock: Dock
) -> None:
    for _ in range(2):
        dock.put(wanted(gone_back(fleet)))
    dock.on("before remove", fails(HostRefused("403", "not for you")))

    _, found = sweep.run(remove=True)

    assert sorted(one.removal for one in found) == [Removal.FAILED, Removal.REMOVED]
    assert {one.fault for one in found} == {"not for you", None}
    assert len(dock.boxes) == 1


# Calling people, and beat


def test_a_person_is_called_once_for_each_thing_and_not_again_where_the_host_was_away(
    fleet: Fleet, sweep: Sweep, dock: Dock, alarms: list[dict[str, Any]]
) -> None:
    device = gone_back(fleet)
    dock.put(wanted(device))
    dock.put(wanted(device, name="a-persons-own"))
    reserve_by_hand(fleet, device)

    for is_away in (False, False, True, False):
        dock.is_away = is_away
        sweep.sweeper().scan(grace=DAY)

    assert [(alarm["kind"], alarm["saga_id"]) for alarm in alarms] == [
        (kind, str(device)) for kind in ALL
    ]
    assert [alarm["key"] for alarm in alarms] == [
        container_name(str(device)),
        f"port 6000 of device {device}",
        f"share of device {device} in the quota of user user",
    ]
    assert len(dock.boxes) == 2, "beat's sweep removes nothing"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoSuchDoor("none is set up"), None),
        (HostAway("nobody listens"), "nobody listens"),
        (HostRefused("403", "not for you"), "not for you"),
        (AccountFaulty([Fault("DEVICE_HOST_URL", "is wrong", "mend it")]), "DEVICE_HOST_URL"),
    ],
)
def test_beat_goes_on_where_containers_cannot_be_tidied(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str | None
) -> None:
    heard: list[str] = []

    class Log:
        def warning(self, _: str, *, why: str) -> None:
            heard.append(why)

    monkeypatch.setattr("workflows.sweeping.late_containers.log", Log())

    assert LateContainers(fleet.engine, door=fails(error)).scan() == 0  # type: ignore[arg-type]
    assert [why for why in heard if says is None or says not in why] == []
    assert len(heard) == (0 if says is None else 1)


def test_beat_goes_on_while_the_database_is_away(
    fleet: Fleet, dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = gone_back(fleet)
    dock.put(wanted(device))
    away = connect("postgresql://postgres@127.0.0.1:1/none")
    monkeypatch.setattr(fleet.engine, "database", away)

    assert LateContainers(fleet.engine, door=lambda: dock).scan() == 0
    assert len(dock.boxes) == 1


def test_a_strays_container_is_never_tidied_away_by_beat(fleet: Fleet, dock: Dock) -> None:
    dock.put(wanted(uuid4()))
    completed = fleet.created()
    fleet.execute("DELETE FROM devices")

    assert fleet.tidy() == 0
    assert len(dock.boxes) == 2
    assert len(dock.bearing(completed)) == 1


# The command


def test_the_command_sweeps_our_tables_and_fails_where_the_host_is_away(
    database: Database, database_url: str
) -> None:
    quota = dict.fromkeys((f"{whose}_{size}" for whose in WHOSE for size in SIZES), 1)
    old = {"device_id": str(uuid4()), "since": datetime.now(UTC) - 2 * DAY}
    with Session(database) as session, session.begin():
        session.add(DeviceQuota(user_id="user", devices=1, **quota))
        session.flush()
        session.add(QuotaShare(user_id="user", **dict.fromkeys(SIZES, 1), **old))
        session.add(DevicePort(port=6000, **old))
    shell = Shell(
        environment(
            DATABASE_URL=database_url,
            CELERY_BROKER_URL=NOBODY,
            DEVICE_HOST_URL="tcp://127.0.0.1:1",
        )
    )

    done = shell.run("sweep", "--remove", "--json")

    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert "saga: not looked through: the Docker Engine at tcp://127.0.0.1:1" in done.stderr
    assert list(told["notLookedThrough"]) == ["container"]
    assert (told["orphans"], told["removed"]) == (2, 2)
    assert [(one["kind"], one["why"]) for one in told["findings"]] == [
        ("port", "no saga has its id"),
        ("share", "no saga has its id"),
    ]
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM quota_shares")).scalar_one() == 0
