"""Every write names what it expects; what was moved meanwhile is not written over."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from saga import Status, queries, store
from saga.position import Paused, StopReason, WaitingFor
from saga.row import Row
from saga.store import Record
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
GAVE_UP = StopReason.GAVE_UP
Write = Callable[[Connection, Row, Record], Row | None]

WRITES: dict[str, Write] = {
    "claim": lambda c, row, note: store.claim(
        c, row, note, token=uuid4(), lease=SECOND, limit=HOUR
    ),
    "count_attempt": lambda c, row, note: store.count_attempt(c, row, note, patience=SECOND),
    "advance": lambda c, row, note: store.advance(
        *(c, row, note),
        state={},
        effects={},
        step="shop.ship",
        index=1,
        max_retries=3,
        raise_epoch=0,
        patience=SECOND,
    ),
    "complete": lambda c, row, note: store.complete(
        c, row, note, state={}, effects={}, raise_epoch=0
    ),
    "retry": lambda c, row, note: store.retry(
        *(c, row, note),
        attempt=1,
        error="",
        effects={},
        not_before=SECOND,
        wake=SECOND,
        time_ends=True,
        dispatches=0,
    ),
    "wait": lambda c, row, note: store.wait(
        *(c, replace(row, attempt=1), note),
        what=WaitingFor.SIGNAL,
        signal="paid",
        reason=None,
        effects={},
        after=SECOND,
        called=True,
    ),
    "wait_on": store.wait_on,
    "take_in": lambda c, row, note: store.take_in(
        *(c, row, note), state={}, accepted=True, patience=SECOND
    ),
    "stop": lambda c, row, note: store.stop(c, row, note, reason=StopReason.CANCELLED),
    "reopen": lambda c, row, note: store.reopen(
        *(c, row, note),
        status=Status.RUNNING,
        reason=None,
        effects={},
        generations={},
        max_retries=3,
        timeout=HOUR,
        patience=SECOND,
    ),
    "pause": lambda c, row, note: store.pause(c, row, note, what=Paused.SAGA),
    "resume": lambda c, row, note: store.resume(
        *(c, row, note), stood=SECOND, waits=False, dispatches=1, patience=SECOND
    ),
    "ask_probe": lambda c, row, note: store.ask_probe(
        *(c, row, note),
        reason=GAVE_UP,
        effects={},
        attempt=0,
        error=None,
        call_ended_at=None,
        raise_epoch=0,
        dispatches=1,
        after=SECOND,
        wake=SECOND,
    ),
    "compensate": lambda c, row, note: store.compensate(
        *(c, row, note),
        step="shop.reserve",
        index=0,
        reason=GAVE_UP,
        max_retries=2,
        effects={},
        look_at=None,
        error=None,
        dispatches=1,
        patience=SECOND,
    ),
    "rest": lambda c, row, note: store.rest(
        *(c, row, note),
        status=Status.COMPENSATED,
        reason=GAVE_UP,
        effects={},
        look_at=None,
        look_index=None,
        error=None,
        first_look=None,
    ),
    "fail": lambda c, row, note: store.fail(c, row, note, effects={}, error="broken"),
    "dispatch": lambda c, row, note: store.dispatch(
        *(c, row, note),
        patience=SECOND,
        effects={},
        overdue=False,
        raise_epoch=0,
        call_ended_at=None,
        error=None,
    ),
    "miss_definition": lambda c, row, note: store.miss_definition(c, row, note, again=SECOND),
    "look_again": lambda c, row, note: store.look_again(c, row, note, next_look=HOUR),
    "note": lambda c, row, note: store.note(c, row, note, effects={}),
}
MOVES = sorted(set(WRITES))
STALE = {
    "version": {"version": 7},
    "epoch": {"epoch": 7},
    "claim": {"claimed_by": uuid4()},
}


@pytest.fixture
def row(shop: Shop) -> Row:
    saga_id = shop.start()
    with shop.database.begin() as connection:
        connection.execute(text("UPDATE saga_state SET attempt = 1"))
        found = queries.lock(connection, saga_id)
    assert found is not None
    return found


@pytest.mark.parametrize("name", MOVES)
def test_a_write_lands_raises_the_version_and_tells_its_event(
    shop: Shop, row: Row, name: str
) -> None:
    with shop.database.connect() as connection:
        moved = WRITES[name](connection, row, Record(kind="tried", actor="me", detail={"a": 1}))
        assert moved is not None
        assert moved.version == row.version + 1
        sql = text("SELECT seq, kind, actor, detail, step, epoch FROM saga_event WHERE seq = 2")
        event = connection.execute(sql).one()
        assert event == (2, "tried", "me", {"a": 1}, "shop.reserve", moved.epoch)
        connection.rollback()


@pytest.mark.parametrize("stale", STALE)
@pytest.mark.parametrize("name", MOVES)
def test_a_write_that_expects_something_else_does_not_land(
    shop: Shop, row: Row, name: str, stale: str
) -> None:
    before = shop.row(row.saga_id), shop.events(row.saga_id)
    expected: dict[str, Any] = STALE[stale]

    with shop.database.begin() as connection:
        assert WRITES[name](connection, replace(row, **expected), Record(kind="tried")) is None

    assert (shop.row(row.saga_id), shop.events(row.saga_id)) == before


def test_a_lease_is_renewed_up_to_its_hard_limit_and_by_its_owner_alone(
    shop: Shop, row: Row
) -> None:
    mine = uuid4()
    with shop.database.begin() as connection:
        store.claim(
            connection, row, Record(kind="tried"), token=mine, lease=SECOND, limit=10 * SECOND
        )
        assert store.renew_lease(connection, row.saga_id, token=mine, lease=HOUR)
        assert not store.renew_lease(connection, row.saga_id, token=uuid4(), lease=HOUR)
        says = Record(kind="progress")
        assert store.note_progress(connection, row, says, token=mine, lease=HOUR)
        assert not store.note_progress(connection, row, says, token=uuid4(), lease=HOUR)

    assert shop.kinds(row.saga_id)[-2:] == ["tried", "progress"]
    claimed = shop.row(row.saga_id)
    assert claimed["wake_at"] == claimed["claim_deadline"]
    shop.let_pass(10 * SECOND)
    with shop.database.begin() as connection:
        assert not store.renew_lease(connection, row.saga_id, token=mine, lease=HOUR)
        assert not store.note_progress(connection, row, says, token=mine, lease=HOUR)


def test_a_heartbeat_never_waits_for_a_row_that_is_being_settled(shop: Shop, row: Row) -> None:
    """Having waited, it would hold the row for a moment, and the next message would be dropped."""
    mine = uuid4()
    with shop.database.begin() as connection:
        store.claim(
            connection, row, Record(kind="tried"), token=mine, lease=SECOND, limit=10 * SECOND
        )
    with shop.database.begin() as settling, shop.database.begin() as beating:
        settling.execute(text("SELECT FROM saga_state FOR UPDATE"))
        beating.execute(text("SET LOCAL lock_timeout = '1ms'"))

        assert not store.renew_lease(beating, row.saga_id, token=mine, lease=HOUR)
        says = Record(kind="progress")
        assert not store.note_progress(beating, row, says, token=mine, lease=HOUR)


def counted(connection: Connection, row: Row) -> Row:
    found = store.count_attempt(connection, row, Record(kind="tried"), patience=SECOND)
    assert found is not None
    return found


def test_a_count_is_taken_back_once(shop: Shop, row: Row) -> None:
    with shop.database.begin() as connection:
        count = counted(connection, row)

        assert store.uncount_attempt(connection, count)
        assert not store.uncount_attempt(connection, count)
    assert shop.row(row.saga_id)["attempt"] == row.attempt


def test_the_count_of_a_saga_that_moved_on_is_not_taken_back(shop: Shop, row: Row) -> None:
    with shop.database.begin() as connection:
        count = counted(connection, row)
        assert WRITES["dispatch"](connection, count, Record(kind="tried"))

        assert not store.uncount_attempt(connection, count)
    assert shop.row(row.saga_id)["attempt"] == count.attempt


def test_a_step_that_is_found_done_forgets_why_it_was_given_up(shop: Shop, row: Row) -> None:
    with shop.database.begin() as connection:
        asked = WRITES["ask_probe"](connection, row, Record(kind="tried"))
        assert asked is not None
        assert asked.stop_reason is GAVE_UP
        advanced = WRITES["advance"](connection, asked, Record(kind="tried"))

    assert advanced is not None
    assert (advanced.stop_reason, advanced.waiting_for, advanced.call_ended_at) == (
        *(None, None, None),
    )


@pytest.mark.parametrize("write", ["postpone", "put_off"])
def test_what_is_not_due_any_more_is_not_put_off(shop: Shop, row: Row, write: str) -> None:
    def put_off(connection: Connection) -> bool:
        if write == "postpone":
            return store.postpone(connection, row, after=HOUR)
        return store.put_off(connection, row.saga_id, after=HOUR)

    with shop.database.begin() as connection:
        assert not put_off(connection)
        connection.execute(text("UPDATE saga_state SET wake_at = clock_timestamp()"))
        assert put_off(connection)
    assert len(shop.events(row.saga_id)) == 1
