"""Sagas started in a transaction that somebody else's psycopg2 connection has open."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS, connection
from psycopg2.extras import RealDictCursor, register_default_jsonb
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from saga import BusinessKeyTaken, LoanError, borrowed
from tests.integration.shop import Order, Paid, Shop

pytestmark = pytest.mark.integration

Later = list[Callable[[], None]]


@pytest.fixture
def lender(shop: Shop) -> Iterator[connection]:
    """Somebody's connection, with rows and JSON as they like them."""
    url = shop.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(url, cursor_factory=RealDictCursor)) as lender:
        register_default_jsonb(lender, loads=lambda raw: raw)
        yield lender


def ask(lender: connection, sql: str) -> Any:
    with lender.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def begin(shop: Shop, lender: connection, later: Later, item: str = "tea") -> None:
    with borrowed(lender, on_commit=later.append) as session:
        shop.engine.start(session, shop.saga, Order(item=item), business_key=f"order:{item}")


def sagas(shop: Shop) -> int:
    with shop.database.connect() as own:
        return int(own.execute(text("SELECT count(*) FROM saga_state")).scalar_one())


def test_a_saga_is_there_and_published_once_its_lender_has_committed(
    shop: Shop, lender: connection
) -> None:
    later: Later = []
    ask(lender, "INSERT INTO did VALUES ('lend', 'a row of the lender')")

    begin(shop, lender, later)

    assert lender.info.transaction_status == TRANSACTION_STATUS_INTRANS
    assert (sagas(shop), len(shop.broker.queue)) == (0, 0)
    lender.commit()
    assert (sagas(shop), len(shop.broker.queue)) == (1, 0)
    [publish] = later
    publish()
    assert [message.step for message in shop.broker.queue] == ["reserve"]
    assert shop.did() == {"lend"}


def test_a_lender_who_rolls_back_leaves_nothing(shop: Shop, lender: connection) -> None:
    later: Later = []
    begin(shop, lender, later)

    lender.rollback()

    assert sagas(shop) == 0
    begin(shop, lender, later)
    lender.commit()
    assert sagas(shop) == 1


def test_what_its_lender_never_publishes_recovery_does(shop: Shop, lender: connection) -> None:
    with borrowed(lender, on_commit=lambda _: None) as session:
        started = shop.engine.start(session, shop.saga, Order())
    lender.commit()

    shop.let_pass(timedelta(minutes=1))
    shop.recover()

    assert [message.saga_id for message in shop.broker.queue] == [started.saga_id]


def test_savepoints_of_the_lender_and_of_the_session_hold(shop: Shop, lender: connection) -> None:
    later: Later = []
    begin(shop, lender, later, "kept")
    ask(lender, "SAVEPOINT of_the_lender")
    begin(shop, lender, later, "dropped")
    ask(lender, "ROLLBACK TO SAVEPOINT of_the_lender")
    with borrowed(lender, on_commit=later.append) as session:
        savepoint = session.begin_nested()
        shop.engine.start(session, shop.saga, Order(item="undone"))
        savepoint.rollback()
        with pytest.raises(DBAPIError), session.begin_nested():
            session.execute(text("SELECT 1 / 0"))
        shop.engine.start(session, shop.saga, Order(item="second"))
    lender.commit()

    for publish in later:
        publish()

    assert sagas(shop) == 2
    # A message of a saga that is not there is dropped; Django would not even send it.
    assert len(shop.broker.queue) == 3
    shop.work_off()
    assert shop.did() == {"reserve", "book"}


def test_what_the_lender_set_on_the_connection_stays(shop: Shop, lender: connection) -> None:
    begin(shop, lender, [])

    [row] = ask(lender, "SELECT state, saga_id::text AS id FROM saga_state")
    [zone] = ask(lender, "SHOW lock_timeout")

    assert (row["state"], zone["lock_timeout"]) == ('{"item": "tea", "notes": []}', "0")
    with pytest.raises(BusinessKeyTaken):
        begin(shop, lender, [])
    assert len(ask(lender, "SELECT 1 FROM saga_state")) == 1


def test_a_signal_goes_over_a_loan_too(shop: Shop, lender: connection) -> None:
    later: Later = []
    saga_id = shop.start()

    with borrowed(lender, on_commit=later.append) as session:
        received = shop.engine.signal(session, saga_id, "paid", Paid(by="Ann"))
    lender.commit()

    assert received.is_new
    assert later == []  # nobody waits for it yet


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_a_borrower_cannot_end_what_is_its_lenders(
    shop: Shop, lender: connection, end: str
) -> None:
    with borrowed(lender, on_commit=[].append) as session:
        shop.engine.start(session, shop.saga, Order())
        with pytest.raises(LoanError, match="its transaction is the lender's"):
            getattr(session, end)()

    assert lender.info.transaction_status == TRANSACTION_STATUS_INTRANS
    with pytest.raises(ResourceClosedError):
        session.execute(text("SELECT 1"))


def test_nothing_more_is_written_once_sqlalchemy_takes_all_for_undone(
    shop: Shop, lender: connection
) -> None:
    def sell() -> None:
        with borrowed(lender, on_commit=[].append) as session:
            own = session.connection()
            shop.engine.start(session, shop.saga, Order())
            own.rollback()
            with pytest.raises(LoanError, match="an error has ended the loan"):
                own.execute(text("SELECT 1"))

    with pytest.raises(LoanError, match="an error has ended the loan"):
        sell()


def test_an_error_that_leaves_the_block_publishes_nothing(shop: Shop, lender: connection) -> None:
    later: Later = []

    def sell() -> None:
        with borrowed(lender, on_commit=later.append) as session:
            shop.engine.start(session, shop.saga, Order())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sell()

    assert later == []
    assert not lender.closed


def test_an_error_of_the_database_that_is_hidden_comes_to_light(
    shop: Shop, lender: connection
) -> None:
    later: Later = []

    def sell() -> None:
        with borrowed(lender, on_commit=later.append) as session:
            shop.engine.start(session, shop.saga, Order())
            with suppress(DBAPIError):
                session.execute(text("SELECT 1 / 0"))

    with pytest.raises(LoanError, match="has failed: roll it back"):
        sell()

    assert later == []


def test_what_cannot_be_borrowed_says_what_to_do(lender: connection) -> None:
    def refusal(given: Any) -> str:
        with pytest.raises(LoanError) as refused, borrowed(given, on_commit=[].append):
            pass
        return str(refused.value)

    with pytest.raises(psycopg2.Error):
        ask(lender, "SELECT 1 / 0")
    assert "has failed: roll it back" in refusal(lender)
    lender.rollback()
    lender.autocommit = True
    assert "in autocommit: open a transaction first" in refusal(lender)
    ask(lender, "BEGIN")
    with borrowed(lender, on_commit=[].append) as session:
        session.execute(text("SELECT 1"))
    lender.close()
    assert "is closed" in refusal(lender)
    assert "transaction.atomic()" in refusal(None)

    class Connection:
        __module__ = "psycopg"

    assert "this is psycopg.Connection: in Django give connection.connection" in refusal(
        Connection()
    )
