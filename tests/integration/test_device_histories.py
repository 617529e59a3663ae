"""Devices are made and deleted at random, many at once, while everything fails: the books agree."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from gateways.devices import HostAway, HostRefused, PortTaken
from gateways.devices.adb import AdbAway, AdbLocked, AdbNonsense
from saga.crashpoints import armed
from settings import settings
from tests.integration.by_hand import Killed
from tests.integration.dock import CALLS, Dock, fails, lost
from tests.integration.fleet import Fleet
from workflows.device_creation import NotInQuota

pytest_plugins = ["tests.integration.docked"]
pytestmark = pytest.mark.integration

PLACES = 12
CORES = 30
TIMES = [timedelta(seconds=each) for each in (1, 2, 2, 5, 10)]
HOST_ERRORS = (
    *(lost(), lost(), lost()),
    *(HostAway("nobody listens", sent=False), HostRefused("403", "not for you"), Killed()),
)
WORDS = (AdbAway("it hangs"), AdbNonsense("it is no adb"), AdbLocked("it asks for a key"))
ENDS = {"COMPLETED", "COMPENSATED", "TIMEOUT"}
# Rounds in which all must have come to rest, once nothing fails any more.
PATIENCE = 60


class History:
    """One history of a fleet, drawn by a seed: but for ids, ports and threads, which are chance."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet, self.dock, self.draw = fleet, fleet.dock, random.Random(seed)
        self.users = [
            fleet.user(f"user {number}", devices=PLACES, total_cpu=CORES) for number in range(3)
        ]
        self.creations: list[UUID] = []
        self.deletions: dict[UUID, UUID] = {}
        self.counts = Counter[str]()

    def go(self, requests: int) -> None:
        while self.counts["requests"] < requests:
            self.draw.choices(
                [self.create, self.delete, self.work, self.trouble, self.pass_by],
                weights=[4, 4, 40, 3, 2],
            )[0]()
        self.come_to_rest()

    def create(self) -> None:
        with suppress(NotInQuota):
            device = self.fleet.create(self.draw.choice(self.users), cpu=self.draw.randint(1, 4))
            self.creations.append(device)
            self.counts["requests"] += 1

    def delete(self) -> None:
        there = sorted(self.there() - set(self.deletions.values()))
        if there:
            device = self.draw.choice(there)
            self.deletions[self.fleet.delete(device)] = device
            self.counts["requests"] += 1

    def work(self) -> None:
        """A message is worked, well or not; perhaps it is lost, or comes once more."""
        queue = self.fleet.broker.queue
        if not queue:
            return self.pass_by()
        index = self.draw.randrange(len(queue))
        message = queue[index]
        if self.draw.random() < 0.9:
            del queue[index]
        if self.draw.random() < 0.05:
            return None
        dies_at = self.draw.randint(1, 150)

        def die(_: str) -> None:
            nonlocal dies_at
            if threading.current_thread() is threading.main_thread():
                dies_at -= 1
                if not dies_at:
                    self.counts["deaths"] += 1
                    raise Killed

        try:
            with armed(die):
                self.fleet.deliver(message)
        except Killed:
            queue.append(replace(message, redelivered=True))
        return self.look()

    def trouble(self) -> None:
        """Something goes wrong next time, at the host or at a device."""
        self.counts["troubles"] += 1
        moment = f"{self.draw.choice(['before', 'after'])} {self.draw.choice(CALLS)}"
        match self.draw.randrange(5):
            case 0:
                self.dock.devices.words.append(self.draw.choice(WORDS))
            case 1:
                self.dock.on("before start", fails(PortTaken("it is in use")))
            case 2:
                self.dock.puts_off()
            case 3:
                self.dock.on(moment, self.freeze)
            case _:
                self.dock.on(moment, fails(self.draw.choice(HOST_ERRORS)))

    def freeze(self) -> None:
        """Whoever works stands still, while others go on."""
        self.counts["freezes"] += 1
        self.fleet.let_pass(timedelta(seconds=2))
        self.fleet.recover()
        with suppress(Killed):
            for _ in range(min(self.draw.randint(1, 4), len(self.fleet.broker.queue))):
                self.fleet.deliver()

    def pass_by(self) -> None:
        self.fleet.let_pass(self.draw.choice(TIMES))
        held = self.fleet.broker.held
        self.fleet.broker.queue.extend(message for _, message in held)
        held.clear()
        self.fleet.recover()
        if self.draw.random() < 0.5:
            self.dock.finish()
        with suppress(HostAway, HostRefused, Killed):
            self.counts["late"] += self.fleet.tidy()

    def look(self) -> None:
        """At no moment more is taken than a quota allows."""
        for taken in self.fleet.ask(
            "SELECT user_id, count(*) AS devices, sum(cpu) AS cpu FROM quota_shares GROUP BY 1"
        ):
            assert taken.devices <= PLACES, taken
            assert taken.cpu <= CORES, taken

    def come_to_rest(self) -> None:
        """All is mended: what failed is tried again, what came late is removed."""
        self.dock.forget_troubles()
        self.dock.devices.words.clear()
        sagas = [*self.creations, *self.deletions]
        for _ in range(PATIENCE):
            self.fleet.work_off(most=10_000)
            statuses = self.statuses()
            for saga_id in sagas:
                if statuses[saga_id] == "FAILED":
                    self.counts["people"] += 1
                    self.fleet.ann.retry(saga_id, reason=f"it is mended: {self.draw.random()}")
            if ENDS.issuperset(statuses.values()):
                break
            self.fleet.let_pass(timedelta(minutes=1))
            self.fleet.recover()
        self.dock.finish()
        self.counts["late"] += self.fleet.tidy()
        self.counts.update(self.statuses().values())

    def statuses(self) -> dict[UUID, str]:
        rows = self.fleet.ask("SELECT saga_id, status FROM saga_state")
        return {row.saga_id: row.status for row in rows}

    def there(self) -> set[UUID]:
        """The devices that were made, and whose deletion is not over."""
        statuses = self.statuses()
        made = {device for device in self.creations if statuses[device] == "COMPLETED"}
        return made - {
            device for saga_id, device in self.deletions.items() if statuses[saga_id] == "COMPLETED"
        }


def test_after_200_creations_and_deletions_with_faults_the_books_agree(
    fleet: Fleet,
    dock: Dock,
    in_full: bool,  # noqa: FBT001 - a fixture
    proved: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(vars(settings), "device_poll_seconds", 20)
    counts = Counter[str]()
    for seed in [7, *(random.sample(range(10**6), 10) if in_full else [])]:
        again = Fleet(fleet.database, dock)
        dock.boxes.clear()
        history = History(again, seed)
        history.go(200)
        assert ENDS.issuperset(history.statuses().values()), f"seed {seed}"
        assert again.wrong(*history.there()) == [], f"seed {seed}"
        counts += history.counts

    told = ", ".join(f"{many} {what}" for what, many in sorted(counts.items()))
    proved(f"devices made and deleted at random: {told}, 0 left over", documented=False)
