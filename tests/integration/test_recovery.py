"""Recovery: whatever was lost is found; nothing is published twice; nothing stops a pass."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from saga import Timing, TryAgain
from saga.crashpoints import armed
from saga.followup import Drop, Lane
from saga.recovery import Pass, Recovery
from tests.integration.by_hand import TIMING, Killed
from tests.integration.shop import Shop
from tests.integration.shop import shop as shop_saga

pytestmark = pytest.mark.integration

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PATIENCE = TIMING.patience


def sql(shop: Shop, statement: str, **params: Any) -> Any:
    with shop.database.begin() as connection:
        return connection.execute(text(statement), params)


def test_what_is_on_its_way_is_left_alone(shop: Shop) -> None:
    shop.start()
    shop.let_pass(PATIENCE - SECOND)

    assert shop.recover() == Pass()


def test_a_message_that_was_lost_is_published_again_in_its_epoch(shop: Shop) -> None:
    saga_id = shop.start()
    for dispatches in (2, 3):
        shop.broker.lose_all()
        shop.let_pass(PATIENCE)
        assert shop.recover().published == 1
        row = shop.row(saga_id)
        assert (row["epoch"], row["dispatches"]) == (1, dispatches)

    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


@pytest.mark.parametrize("step", ["reserve", "ship", "pay", "book", "tell"])
def test_a_broker_that_loses_all_in_any_step(shop: Shop, step: str) -> None:
    saga_id = shop.start()
    shop.work_off(until=step)
    shop.broker.lose_all()
    shop.let_pass(PATIENCE)
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert Counter(shop.script.order()) == Counter(["reserve", "ship", "pay", "book", "tell"])


def test_a_delayed_retry_that_was_lost_comes_a_patience_later(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("reserve", TryAgain("busy", after=timedelta(seconds=30)))
    shop.deliver()
    shop.broker.lose_all()

    shop.let_pass(timedelta(seconds=31))
    assert shop.recover().published == 0
    shop.let_pass(PATIENCE)
    assert shop.recover().published == 1
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_while_a_queue_is_long_nothing_is_sent_to_it_twice(shop: Shop) -> None:
    sagas = [shop.start() for _ in range(30)]
    shop.broker.lengths = dict.fromkeys(Lane, TIMING.short_queue + 1)
    shop.broker.asked = 0

    for _ in range(3):
        shop.let_pass(PATIENCE)
        assert shop.recover().published == 0
    assert shop.broker.asked == 3  # one length check a pass
    assert len(shop.broker.queue) == len(sagas)
    assert {len(shop.events(saga_id)) for saga_id in sagas} == {1}

    shop.broker.lengths = dict.fromkeys(Lane, TIMING.short_queue)
    shop.let_pass(PATIENCE)
    assert shop.recover().published == len(sagas)


def test_a_long_queue_does_not_hold_up_what_is_in_no_queue(shop: Shop) -> None:
    """A lost lease, a wait that is over and a saga's end need their message now."""
    lost, waiting = shop.start(), shop.start()
    shop.script.say("reserve", None, TryAgain("busy", after=2 * MINUTE))
    shop.deliver()
    shop.deliver()
    shop.script.say("ship", Killed())
    shop.kill()
    shop.broker.lengths = dict.fromkeys(Lane, 10**6)
    shop.let_pass(2 * MINUTE)

    assert shop.recover().published == 2
    assert {publication.saga_id for publication in shop.broker.published[-2:]} == {lost, waiting}


def test_only_the_lane_of_a_saga_counts(shop: Shop) -> None:
    shop.start()
    begun = shop.start()
    shop.deliver(shop.broker.queue[1])
    shop.broker.lose_all()
    shop.broker.lengths = {Lane.NEW: 10**6}
    shop.let_pass(PATIENCE)

    assert shop.recover().published == 1
    assert shop.broker.published[-1].saga_id == begun


def race(shop: Shop, threads: int) -> list[Pass]:
    barrier = Barrier(threads)

    def scan(_: int) -> Pass:
        barrier.wait()
        return Recovery(shop.engine).scan()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(scan, range(threads)))


@pytest.mark.parametrize("kind", ["unclaimed", "lost"])
def test_four_scans_at_once_never_publish_a_saga_twice(shop: Shop, kind: str) -> None:
    sagas = [shop.start() for _ in range(40)]
    if kind == "lost":
        for message in list(shop.broker.queue):
            shop.deliver(message)
            shop.broker.queue.popleft()
        shop.script.say("ship", *[Killed()] * len(sagas))
        for message in list(shop.broker.queue)[-len(sagas) :]:
            shop.kill(message)
    shop.broker.lose_all()
    shop.broker.published.clear()
    shop.let_pass(PATIENCE)

    passes = race(shop, 4)

    published = Counter(publication.saga_id for publication in shop.broker.published)
    assert published == Counter(sagas)
    assert sum(done.published for done in passes) == len(sagas)
    assert sum(done.failed for done in passes) == 0
    assert {shop.row(saga_id)["epoch"] for saga_id in sagas} == {2 if kind == "lost" else 1}


def test_a_pass_is_bounded_and_takes_the_longest_due_first(shop: Shop) -> None:
    shop.engine = shop.engine_for(shop.saga, timing=replace(TIMING, batch=3))
    sagas = []
    for _ in range(5):
        sagas.append(shop.start())
        shop.let_pass(SECOND)
    shop.broker.published.clear()
    shop.let_pass(MINUTE)

    assert shop.recover().published == 3
    assert [publication.saga_id for publication in shop.broker.published] == sagas[:3]
    assert shop.recover().published == 2


def test_a_broker_that_is_away_stops_the_pass_and_loses_nothing(shop: Shop) -> None:
    sagas = [shop.start() for _ in range(5)]
    shop.broker.lose_all()
    shop.broker.is_away = True
    shop.let_pass(PATIENCE)

    for _ in range(20):
        assert shop.recover().published == 0
    assert sum(len(shop.events(saga_id)) for saga_id in sagas) == 5  # nothing to tell

    shop.broker.is_away = False
    assert shop.recover().published == 5
    shop.work_off()
    assert {shop.status(saga_id) for saga_id in sagas} == {"COMPLETED"}


def test_a_broker_that_goes_away_while_publishing_loses_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    shop.broker.lose_all()
    shop.let_pass(PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(shop.broker, "waiting", lambda _: 0)
        shop.broker.is_away = True
        assert shop.recover().published == 0
    shop.broker.is_away = False

    shop.let_pass(PATIENCE)
    assert shop.recover().published == 1
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_what_recovery_publishes_is_committed(shop: Shop) -> None:
    saga_id = shop.start()
    shop.let_pass(PATIENCE)
    dispatches: list[int] = []

    def look(point: str) -> None:
        if point == "before publish":
            dispatches.append(shop.row(saga_id)["dispatches"])

    with armed(look):
        shop.recover()

    assert dispatches == [2]


def break_row(shop: Shop, saga_id: UUID) -> None:
    """A row that no release ever wrote: recovery cannot even read it."""
    sql(
        shop,
        'UPDATE saga_state SET effects = \'{"shop.reserve": "odd"}\' WHERE saga_id = :id',
        id=saga_id,
    )


def test_one_bad_row_does_not_stop_the_pass(shop: Shop) -> None:
    bad, *good = [shop.start() for _ in range(3)]
    break_row(shop, bad)
    shop.broker.lose_all()
    shop.let_pass(PATIENCE)

    done = shop.recover()

    assert (done.failed, done.published) == (1, 2)
    shop.work_off()
    assert {shop.status(saga_id) for saga_id in good} == {"COMPLETED"}


@pytest.mark.parametrize("claimed", [False, True])
def test_more_bad_rows_than_a_pass_takes_do_not_hide_the_good(shop: Shop, claimed: bool) -> None:  # noqa: FBT001
    shop.engine = shop.engine_for(shop.saga, timing=replace(TIMING, batch=2))
    bad = [shop.start() for _ in range(3)]
    shop.let_pass(SECOND)
    good = shop.start()
    for saga_id in bad:
        break_row(shop, saga_id)
    if claimed:
        sql(
            shop,
            "UPDATE saga_state SET claimed_by = gen_random_uuid(), claim_deadline = now() "
            "WHERE saga_id = ANY(:bad)",
            bad=bad,
        )
    shop.let_pass(MINUTE)
    shop.broker.published.clear()

    for _ in range(3):
        shop.recover()

    assert [publication.saga_id for publication in shop.broker.published] == [good]


def test_a_row_that_cannot_be_locked_for_a_minute_is_alarmed(shop: Shop) -> None:
    held, free = shop.start(), shop.start()
    shop.let_pass(PATIENCE + MINUTE + SECOND)
    with shop.database.begin() as connection:
        statement = text("SELECT FROM saga_state WHERE saga_id = :held FOR UPDATE")
        connection.execute(statement, {"held": held})
        done = shop.recover()

    assert done.stuck == [held]
    assert done.published == 1
    assert shop.broker.published[-1].saga_id == free


def test_a_row_that_stays_locked_is_alarmed_once(shop: Shop) -> None:
    held = shop.start()
    shop.let_pass(PATIENCE + MINUTE + SECOND)
    recovery = Recovery(shop.engine)
    with shop.database.begin() as connection, capture_logs() as logs:
        connection.execute(text("SELECT FROM saga_state FOR UPDATE"))
        for _ in range(3):
            assert recovery.scan().stuck == [held]

    assert [line["saga_id"] for line in logs if line["event"] == "alarm"] == [str(held)]


def test_every_pass_leaves_a_pulse(shop: Shop) -> None:
    shop.recover()
    first = sql(shop, "SELECT at, detail FROM saga_pulse WHERE name = 'recovery'").one()
    shop.recover()
    second = sql(shop, "SELECT at, detail FROM saga_pulse WHERE name = 'recovery'").one()

    assert second.at > first.at
    assert second.detail == {"due": 0, "published": 0, "failed": 0, "stuck": []}


def test_a_server_that_just_came_back_gives_live_workers_one_lease(shop: Shop) -> None:
    shop.engine = shop.engine_for(shop.saga, timing=replace(TIMING, lease=timedelta(days=365)))
    shop.start()
    shop.work_off(until="ship")
    shop.script.say("ship", Killed())
    shop.kill()
    shop.let_pass(timedelta(days=366))

    assert shop.recover().due == 0


UNKNOWN = Timing(
    lease=TIMING.lease, unknown_again=MINUTE, unknown_for=HOUR, patience=TIMING.patience
)


def deploy(shop: Shop, *, version: int) -> None:
    shop.engine = shop.engine_for(shop_saga(shop.script, version=version), timing=UNKNOWN)


def test_an_unknown_definition_is_alarmed_once_and_looked_at_every_minute(shop: Shop) -> None:
    saga_id = shop.start()
    deploy(shop, version=2)
    shop.let_pass(PATIENCE)

    for _ in range(10):
        assert shop.recover().due == 1
        assert shop.recover().due == 0
        shop.let_pass(MINUTE)

    assert shop.kinds(saga_id) == ["started", "unknown_definition"]
    assert "shop version 1" in shop.events(saga_id)[-1]["detail"]["alarm"]
    assert shop.status(saga_id) == "RUNNING"


def test_a_rolling_deploy_mends_itself(shop: Shop) -> None:
    saga_id = shop.start()
    deploy(shop, version=2)
    shop.let_pass(PATIENCE)
    shop.recover()
    assert shop.deliver() == Drop("unknown definition")

    shop.engine = shop.engine_for(shop.saga, timing=UNKNOWN)
    shop.let_pass(MINUTE)
    shop.recover()
    assert shop.row(saga_id)["unknown_since"] is None
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_whatever_moves_a_saga_on_begins_the_hour_of_the_unknown_anew(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="pay")
    deploy(shop, version=2)
    shop.let_pass(PATIENCE)
    shop.recover()
    assert shop.row(saga_id)["unknown_since"] is not None

    shop.engine = shop.engine_for(shop.saga, timing=UNKNOWN)
    shop.let_pass(timedelta(minutes=50))
    shop.recover()  # its time is over, so that it goes back

    assert shop.status(saga_id) == "COMPENSATING"
    assert shop.row(saga_id)["unknown_since"] is None


@pytest.mark.parametrize("claimed", [False, True])
def test_after_an_hour_an_unknown_definition_needs_a_person(shop: Shop, claimed: bool) -> None:  # noqa: FBT001
    saga_id = shop.start()
    if claimed:
        shop.work_off(until="ship")
        shop.script.say("ship", Killed())
        shop.kill()
    deploy(shop, version=2)
    shop.let_pass(PATIENCE)

    minutes = 0
    while shop.status(saga_id) == "RUNNING":
        assert shop.recover().due == 1
        assert shop.recover().due == 0
        shop.let_pass(MINUTE)
        minutes += 1

    assert minutes in {60, 61}
    row = shop.row(saga_id)
    assert (row["status"], row["claimed_by"]) == ("FAILED", None)
    assert "no worker knew shop version 1" in row["error_message"]
    # The call of a worker that was lost may have taken effect.
    assert row["effects"].get("shop.ship") == ("unknown" if claimed else None)


def test_an_unknown_step_is_an_unknown_definition_too(shop: Shop) -> None:
    saga_id = shop.start()
    sql(shop, "UPDATE saga_state SET current_step = 'shop.dance'")
    shop.let_pass(PATIENCE)
    shop.recover()

    assert shop.kinds(saga_id)[-1] == "unknown_definition"


def test_a_time_that_is_over_is_noticed_by_the_second(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="pay")
    shop.broker.lose_all()
    shop.let_pass(timedelta(minutes=5))
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "TIMEOUT"
    assert shop.script.order() == ["reserve", "ship", "recall", "release"]


def test_recovery_runs_no_business_code(shop: Shop) -> None:
    for _ in range(3):
        shop.start()
    shop.let_pass(timedelta(minutes=6))
    for _ in range(5):
        shop.recover()
        shop.let_pass(MINUTE)

    assert shop.script.calls == []


def test_a_second_look_waits_for_its_definition_and_never_fails_for_it(shop: Shop) -> None:
    shop.script.say("pay", *[RuntimeError("cut off")] * 4)
    saga_id = shop.start()
    shop.work_off()
    assert shop.recover_until_rest(saga_id, step=MINUTE) == "COMPENSATED"
    shop.execute("UPDATE saga_state SET definition_version = 9")

    for _ in range(3):
        shop.let_pass(HOUR)
        shop.recover()

    assert shop.status(saga_id) == "COMPENSATED"
    shop.execute("UPDATE saga_state SET definition_version = 1")
    shop.let_pass(MINUTE)
    shop.recover()
    shop.work_off()
    assert "looked_again" in shop.kinds(saga_id)
