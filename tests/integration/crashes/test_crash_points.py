"""A process dies at every point where it can; recovery runs; the nine promises hold.

Each history is a refund through the real steps, PostgreSQL and the sandbox; or an order of the
shop, which waits for signals and which people pause, cancel and repair; or a device that is made
or deleted, through the real steps, on a dock that loses its answers. It is run once to write
its points down, and then once for each point and each fate there. Whoever acts from outside dies
there too, and does again what got no answer.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text

from saga import Timing, store
from settings import settings
from tests.integration.by_hand import Killed
from tests.integration.crashes.desk import Desk
from tests.integration.crashes.device_histories import DEVICES
from tests.integration.crashes.devices import DeviceDesk
from tests.integration.crashes.fate import DEATHS, FREEZABLE, FREEZES, Point, Then
from tests.integration.crashes.history import History, Run
from tests.integration.crashes.order_histories import ORDERS
from tests.integration.crashes.orders import OrderDesk
from tests.integration.crashes.refund_histories import REFUNDS
from tests.integration.crashes.refunds import RefundDesk
from tests.integration.crashes.sandbox import Sandbox
from tests.integration.dock import Dock, open_doors

pytest_plugins = ["tests.integration.merchant"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

PAIRED = [
    history
    for history in REFUNDS
    if history.name
    in {
        "all goes well",
        "the provider fails once",
        "the provider refunds, and says that it failed",
        "the provider refuses",
    }
]
ORDERS_OWN = {
    f"wrote {verb}"
    for verb in (
        *("keep_signal", "consume_signal", "take_in", "wait", "wait_on", "stop", "reopen"),
        *("pause", "resume", "sit", "pause_type", "resume_type", "lift"),
    )
}
OVER_AND_OVER = 2
WRITES = {f"wrote {verb}" for verb in set(store.__all__) - {"Record"}}


@pytest.fixture(scope="module")
def old_database(shop_database: Database) -> Database:
    """A server that has been up for longer than a lease: before that, recovery spares claims."""
    young = text("SELECT clock_timestamp() <= pg_postmaster_start_time() + :lease")
    while True:
        with shop_database.begin() as connection:
            if not connection.execute(young, {"lease": Timing().lease}).scalar_one():
                return shop_database
        time.sleep(0.2)


@pytest.fixture
def play(
    old_database: Database,
    sandbox: Sandbox,
    as_merchant: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Run]:
    """Go through a history from an empty database, and see that it ends as promised."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def opened(history: History) -> Desk:
        if history in ORDERS:
            return OrderDesk(old_database, timing=history.timing)
        if history in DEVICES:
            dock = Dock(settings.device_image)
            open_doors(old_database, dock, monkeypatch)
            return DeviceDesk(old_database, dock, timing=history.timing)
        return RefundDesk(old_database, sandbox, timing=history.timing)

    def play(history: History, strikes: dict[Point, Then] | None = None) -> Run:
        random.seed(history.name)  # waits are spread by chance; a history must come again as it was
        desk = opened(history)
        run = Run(desk, history, strikes or {})
        told = (
            f"{history.name}; {', '.join(f'at {at}: {then}' for at, then in run.strikes.items())}"
        )
        try:
            run.go()
            saga_id = desk.saga_id()
            assert saga_id is not None
            assert set(run.struck) == set(run.strikes), "the point was never reached"
            assert desk.status(saga_id) in may_end(run), desk.row(saga_id)["error_message"]
            if desk.status(saga_id) not in history.ends:
                assert "took effect after all" in desk.row(saga_id)["error_message"]
            assert desk.broken_promises() == []
        except (AssertionError, Killed) as error:
            raise AssertionError(f"{told}\n{error}\n{story(desk)}") from error
        return run

    return play


def may_end(run: Run) -> set[str]:
    """Who froze may have made a call when all was over: then a person must look."""
    thawed = {Then.THAWS_LATE, *([Then.THAWS] if run.history in ORDERS else [])}
    may_be_late = run.history in ORDERS or "COMPENSATED" in run.history.ends
    late = may_be_late and not thawed.isdisjoint(run.strikes.values())
    return {*run.history.ends, *(["FAILED"] if late else [])}


def story(desk: Desk) -> str:
    saga_id = desk.saga_id()
    if saga_id is None:
        return "no saga"
    events = [
        f"{event['seq']} {event['kind']} {event['step']} attempt {event['attempt']} "
        f"epoch {event['epoch']} {event['worker']} {event['detail']}"
        for event in desk.events(saga_id)
    ]
    return "\n".join([*events, str(desk.row(saga_id)), str(desk.books())])


def fates(
    points: list[Point], *, all_of_them: bool, what: str = "a refund"
) -> Iterator[tuple[Point, Then]]:
    """Each point with each fate that it can have; else one death a point, and one thaw, in turn.

    What a history does more than twice is then struck each fifteenth time. Of an order the points
    around what no refund writes are enough, of a device those around what is asked outside.
    """
    chosen = {"an order": is_near, "a device": is_outside}.get(what)
    times = Counter[str]()
    for turn, point in enumerate(points):
        times[point.name] += 1
        is_enough = times[point.name] > OVER_AND_OVER and turn % 15 != 0
        thaws = FREEZES if point.name in FREEZABLE and not point.is_heartbeat else []
        if all_of_them:
            yield from ((point, then) for then in [*DEATHS, *thaws])
        elif chosen(points, turn) if chosen else not is_enough:
            yield point, DEATHS[turn % len(DEATHS)]
            yield from ((point, then) for then in thaws[turn % 2 :][:1])


def is_near(points: list[Point], number: int) -> bool:
    """Whether one of the orders' own writes is this point, or one of the two before it.

    Where there is none, as everybody writes what is written, each tenth point is.
    """
    if ORDERS_OWN.isdisjoint(point.name for point in points):
        return number % 10 == 0
    near = points[max(number - 2, 0) : number + 1]
    return not ORDERS_OWN.isdisjoint(point.name for point in near)


def is_outside(points: list[Point], number: int) -> bool:
    """Whether this point is one at the host or the device; of all others each tenth is enough."""
    return points[number].name.endswith(("at the host", "to the device")) or number % 10 == 0


def committed(reached: list[Point]) -> Iterator[str]:
    """The writes that stand between a point before their commit and a point after it."""
    for is_heartbeat in (False, True):
        names = [point.name for point in reached if point.is_heartbeat == is_heartbeat]
        written: list[str] = []
        for name, after in itertools.pairwise(names):
            if name.startswith("wrote "):
                written.append(name)
            # Who publishes as soon as it is committed does so within the caller's own commit.
            elif name == "before commit" and after in {"after commit", "before publish"}:
                yield from written
                written.clear()


def test_every_write_of_the_store_has_a_crash_point_before_and_after_its_commit(
    play: Callable[..., Run], proved: Callable[..., None]
) -> None:
    runs = {history.name: play(history) for history in [*REFUNDS, *ORDERS, *DEVICES]}

    reached = [run.fates.reached for run in runs.values()]
    assert WRITES - {wrote for points in reached for wrote in committed(points)} == set()
    whats = (("a refund", REFUNDS), ("an order", ORDERS), ("a device", DEVICES))
    for what, histories in whats:
        of_each = [runs[history.name].points for history in histories]
        here, in_full = (
            sum(len(list(fates(points, all_of_them=all_of_them, what=what))) for points in of_each)
            for all_of_them in (False, True)
        )
        proved(
            f"{sum(map(len, of_each)):,} crash points in {len(histories)} histories of {what}, "
            f"with {here:,} fates in short and {in_full:,} in full"
        )


@pytest.mark.parametrize("history", [*REFUNDS, *ORDERS, *DEVICES], ids=lambda history: history.name)
def test_whoever_dies_or_freezes_at_any_point_the_promises_hold(
    history: History,
    play: Callable[..., Run],
    in_full: bool,  # noqa: FBT001 - a fixture
    proved: Callable[..., None],
) -> None:
    points = play(history).points
    what = "an order" if history in ORDERS else "a device" if history in DEVICES else "a refund"

    planned = fates(points, all_of_them=in_full, what=what)
    struck = [play(history, {point: then}) for point, then in planned]

    proved(
        f"{history.name}: {len(points)} points, {len(struck)} fates, 0 violations",
        documented=False,
    )


@pytest.mark.parametrize("history", PAIRED, ids=lambda history: history.name)
def test_whoever_dies_twice_the_promises_hold(
    history: History,
    play: Callable[..., Run],
    in_full: bool,  # noqa: FBT001 - a fixture
    proved: Callable[..., None],
) -> None:
    every = 1 if in_full else 12
    pairs = 0
    for then in DEATHS if in_full else DEATHS[:1]:
        for first in play(history).points[::every]:
            later = [point for point in play(history, {first: then}).points if point > first]
            for second in later[::every]:
                play(history, {first: then, second: then})
                pairs += 1

    proved(f"{history.name}: {pairs} pairs of deaths, 0 violations", documented=False)
