"""Starting a saga inside the caller's own transaction."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    BusinessKeyTaken,
    DefinitionError,
    IdempotencyKeyReused,
    Refused,
    Saga,
    Started,
    StartError,
)
from saga.followup import Lane
from saga.outbox import LATER
from tests.integration.shop import Order, Shop
from tests.integration.shop import shop as shop_saga

pytestmark = pytest.mark.integration

TEA, RICE = Order(item="tea"), Order(item="rice")


def count(shop: Shop, table: str = "saga_state") -> int:
    with shop.database.begin() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return found


def test_nothing_is_published_before_the_callers_commit(shop: Shop) -> None:
    with Session(shop.database) as session:
        started = shop.engine.start(session, shop.saga, TEA)
        assert count(shop) == 0
        assert not shop.broker.published
        session.commit()

    (publication,) = shop.broker.published
    assert count(shop) == 1
    assert publication.saga_id == started.saga_id
    assert publication.lane is Lane.NEW
    assert publication.tasks == (
        *("shop.reserve", "shop.ship", "shop.pay", "shop.book", "shop.tell"),
    )


def test_a_start_that_is_rolled_back_leaves_nothing(shop: Shop) -> None:
    with Session(shop.database) as session:
        shop.engine.start(session, shop.saga, TEA)
        session.rollback()
        session.commit()

    assert (count(shop), count(shop, "saga_event")) == (0, 0)
    assert not shop.broker.published


def test_a_session_that_is_closed_without_a_commit_publishes_nothing_later(shop: Shop) -> None:
    session = Session(shop.database)
    shop.engine.start(session, shop.saga, TEA)
    session.close()
    second = shop.engine.start(session, shop.saga, RICE)
    session.commit()
    session.close()

    assert [publication.saga_id for publication in shop.broker.published] == [second.saga_id]


def test_a_start_stands_or_falls_with_the_callers_own_rows(shop: Shop) -> None:
    with Session(shop.database) as session:
        shop.engine.start(session, shop.saga, TEA)
        session.execute(text("INSERT INTO did VALUES ('mine', '')"))
        session.commit()

    assert shop.did() == {"mine"}
    assert count(shop) == 1


def test_a_savepoint_that_is_released_publishes_nothing_yet(shop: Shop) -> None:
    with Session(shop.database) as session:
        with session.begin_nested(), session.begin_nested():
            shop.engine.start(session, shop.saga, TEA)
        assert not shop.broker.published
        session.commit()

    assert len(shop.broker.published) == 1


def test_a_savepoint_that_is_rolled_back_takes_its_saga_along(shop: Shop) -> None:
    with Session(shop.database) as session:
        kept = shop.engine.start(session, shop.saga, TEA)
        savepoint = session.begin_nested()
        with session.begin_nested():
            shop.engine.start(session, shop.saga, RICE)
        savepoint.rollback()
        also = shop.engine.start(session, shop.saga, RICE)
        session.commit()

    assert count(shop) == 2
    published = [publication.saga_id for publication in shop.broker.published]
    assert published == [kept.saga_id, also.saga_id]


def test_a_session_may_start_sagas_in_many_transactions(shop: Shop) -> None:
    with Session(shop.database) as session:
        for _ in range(3):
            shop.engine.start(session, shop.saga, TEA)
            session.commit()

    assert len(shop.broker.published) == 3


def test_a_broker_that_is_away_does_not_stop_a_start(shop: Shop) -> None:
    shop.broker.is_away = True
    saga_id = shop.start()
    assert shop.status(saga_id) == "RUNNING"

    shop.broker.is_away = False
    shop.let_pass(shop.engine.timing.patience)
    shop.recover()
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"


def test_no_trouble_in_publishing_looks_like_a_commit_that_failed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no publisher should do this")

    with monkeypatch.context() as patch:
        patch.setattr(shop.broker, "publish", broken)
        saga_id = shop.start()

    shop.let_pass(shop.engine.timing.patience)
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_saga_whose_time_is_shorter_than_patience_is_woken_by_its_end(shop: Shop) -> None:
    short = timedelta(seconds=3)
    shop.saga = shop_saga(shop.script, timeout=short)
    shop.engine = shop.engine_for(shop.saga)
    saga_id = shop.start()

    shop.let_pass(short)
    shop.recover()

    assert shop.status(saga_id) == "TIMEOUT"


def test_a_saga_that_the_engine_was_not_given_is_not_started(shop: Shop) -> None:
    other: Saga[Order] = shop_saga(shop.script, version=2)
    with Session(shop.database) as session, pytest.raises(DefinitionError):
        shop.engine.start(session, other, TEA)


def started(shop: Shop, state: Order = TEA, **options: str) -> Started:
    with Session(shop.database) as session, session.begin():
        return shop.engine.start(session, shop.saga, state, **options)  # type: ignore[arg-type]


def test_who_opens_a_session_may_say_who_publishes_after_its_commit(shop: Shop) -> None:
    put_off: list[Callable[[], None]] = []
    with Session(shop.database, info={LATER: put_off.append}) as session:
        shop.engine.start(session, shop.saga, TEA)
        assert not put_off
        session.commit()

    assert (count(shop), len(shop.broker.published)) == (1, 0)
    [publish] = put_off
    publish()
    assert len(shop.broker.published) == 1


def test_the_same_idempotency_key_and_input_is_the_same_saga(shop: Shop) -> None:
    first = started(shop, idempotency_key="k", business_key="order:1")
    again = started(shop, idempotency_key="k", business_key="order:1")

    assert first.is_new
    assert not again.is_new
    assert again.saga_id == first.saga_id
    assert (count(shop), len(shop.broker.published)) == (1, 1)


def test_the_same_idempotency_key_tells_where_its_saga_stands(shop: Shop) -> None:
    started(shop, idempotency_key="k")
    shop.work_off()

    assert started(shop, idempotency_key="k").status == "COMPLETED"


def test_the_same_idempotency_key_with_another_input_is_an_error(shop: Shop) -> None:
    first = started(shop, idempotency_key="k")

    with pytest.raises(IdempotencyKeyReused) as reused:
        started(shop, RICE, idempotency_key="k")

    assert reused.value.saga_id == first.saga_id
    assert count(shop) == 1


def test_an_idempotency_key_is_compared_by_what_was_asked_where_a_state_is_never_the_same(
    shop: Shop,
) -> None:
    class Asked(BaseModel):
        text: str

    def start(state: Order, text: str) -> Started:
        with Session(shop.database) as session, session.begin():
            asked, key = Asked(text=text), "k"
            keys: dict[str, Any] = {"idempotency_key": key, "business_key": None, "asked": asked}
            before = shop.engine.earlier(session, shop.saga, state, **keys)
            return before or shop.engine.start(session, shop.saga, state, **keys)

    first = start(TEA, "something hot")

    assert start(RICE, "something hot").saga_id == first.saga_id
    with pytest.raises(IdempotencyKeyReused):
        start(TEA, "something cold")


def test_a_business_key_belongs_to_one_open_saga(shop: Shop) -> None:
    first = started(shop, business_key="order:1")

    with pytest.raises(BusinessKeyTaken) as taken:
        started(shop, business_key="order:1")
    assert taken.value.saga_id == first.saga_id
    assert started(shop, business_key="order:2").is_new

    shop.work_off()
    assert started(shop, business_key="order:1").is_new


def test_a_business_key_is_free_once_its_saga_is_compensated(shop: Shop) -> None:
    shop.script.say("reserve", Refused("sold out"))
    started(shop, business_key="order:1")
    shop.work_off()

    assert started(shop, business_key="order:1").is_new


def test_a_business_key_stays_taken_while_a_person_must_decide(shop: Shop) -> None:
    shop.script.say("book", Refused("broken"))
    first = started(shop, business_key="order:1")
    shop.work_off()
    assert shop.status(first.saga_id) == "FAILED"

    with pytest.raises(BusinessKeyTaken):
        started(shop, business_key="order:1")


def race(shop: Shop, threads: int, **options: str) -> list[Started | StartError]:
    barrier = Barrier(threads)

    def one(_: int) -> Started | StartError:
        barrier.wait()
        try:
            return started(shop, **options)
        except StartError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def test_of_twenty_racing_for_a_business_key_one_wins_and_the_others_learn_who(shop: Shop) -> None:
    outcomes = race(shop, 20, business_key="order:1")

    (winner,) = [each for each in outcomes if isinstance(each, Started)]
    losers = [each for each in outcomes if isinstance(each, BusinessKeyTaken)]
    assert {loser.saga_id for loser in losers} == {winner.saga_id}
    assert (len(losers), count(shop), len(shop.broker.published)) == (19, 1, 1)


def test_twenty_racing_with_one_idempotency_key_get_the_same_saga(shop: Shop) -> None:
    outcomes = race(shop, 20, idempotency_key="k", business_key="order:1")

    assert all(isinstance(each, Started) for each in outcomes)
    found = [each for each in outcomes if isinstance(each, Started)]
    assert len({each.saga_id for each in found}) == 1
    assert [each.is_new for each in found].count(True) == 1
    assert (count(shop), len(shop.broker.published)) == (1, 1)


@pytest.mark.parametrize("key", ["business_key", "idempotency_key"])
def test_a_start_that_meets_an_unfinished_one_waits_for_its_end(shop: Shop, key: str) -> None:
    with ThreadPoolExecutor(1) as pool, Session(shop.database) as session:
        first = shop.engine.start(session, shop.saga, TEA, **{key: "k"})  # type: ignore[arg-type]
        second = pool.submit(started, shop, **{key: "k"})
        while not (waits_for_a_lock(shop) or second.done()):
            time.sleep(0.01)
        session.commit()

    if key == "idempotency_key":
        assert (second.result().saga_id, second.result().is_new) == (first.saga_id, False)
    else:
        with pytest.raises(BusinessKeyTaken) as taken:
            second.result()
        assert taken.value.saga_id == first.saga_id
    assert (count(shop), len(shop.broker.published)) == (1, 1)


def waits_for_a_lock(shop: Shop) -> bool:
    waiting = text(
        "SELECT EXISTS (SELECT FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    with shop.database.begin() as connection:
        return bool(connection.execute(waiting).scalar_one())


def test_an_id_that_is_taken_is_an_error(shop: Shop) -> None:
    saga_id = uuid4()

    def start(chosen: UUID) -> Started:
        with Session(shop.database) as session, session.begin():
            session.execute(text("SET LOCAL statement_timeout = '2s'"))
            return shop.engine.start(session, shop.saga, TEA, saga_id=chosen)

    assert start(saga_id).saga_id == saga_id
    with pytest.raises(StartError):
        start(saga_id)


@pytest.mark.parametrize("key", ["business_key", "idempotency_key"])
def test_a_start_does_not_wait_for_who_moves_the_saga_that_has_its_key(
    shop: Shop, key: str
) -> None:
    keys: dict[str, Any] = {key: "k"}
    first = started(shop, **keys)

    with shop.database.connect() as moving, Session(shop.database) as session:
        moving.execute(text("UPDATE saga_state SET version = version + 1"))
        session.execute(text("SET LOCAL lock_timeout = '1s'"))
        if key == "idempotency_key":
            assert shop.engine.start(session, shop.saga, TEA, **keys).saga_id == first.saga_id
        else:
            with pytest.raises(BusinessKeyTaken):
                shop.engine.start(session, shop.saga, TEA, **keys)


def test_a_key_that_a_failed_saga_keeps_is_told_to_wait_for_a_person(shop: Shop) -> None:
    saga_id = shop.start(business_key="order:1")
    shop.script.say("book", *[Refused("closed")])
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"

    with pytest.raises(BusinessKeyTaken, match="keeps it until a person has decided"):
        shop.start(business_key="order:1")
