"""The provider's books in a real file, with the time given."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateways.payments import RefundStatus
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import (
    ALIPAY,
    WECHAT,
    Payment,
    Refund,
    RefundOrder,
    Rejection,
)
from gateways.payments.sandbox.schema import _TABLES


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def books(tmp_path: Path, clock: Clock) -> Iterator[Books]:
    opened = Books(tmp_path / "books.sqlite3", clock=clock)
    opened.know([Payment(payment_no="PAY1", amount_minor=10_000, method="wechat")])
    yield opened
    opened.close()


def order(refund_no: str = "R1", amount_minor: int = 10_000, **more: Any) -> RefundOrder:
    asked = {
        "method": WECHAT,
        "payment_no": "PAY1",
        "payment_minor": 10_000,
        "reason": "broken",
        "notify_url": "http://caller.test/",
    }
    return RefundOrder(refund_no=refund_no, amount_minor=amount_minor, **asked | more)


def told(books: Books) -> list[tuple[str, str]]:
    """What is to be called back now: which refund, and as what."""
    due = books.callbacks_due(limit=10)
    return [(callback.refund.refund_no, callback.refund.status) for callback in due]


def answer(books: Books, *, delivered: bool) -> None:
    [callback] = books.callbacks_due(limit=10)
    books.callback_ended(callback.event_id, delivered=delivered)


def test_a_late_refund_is_there_from_the_moment_it_is_due(books: Books, clock: Clock) -> None:
    books.refund_later(order(), seconds=60)

    clock.now += 59.9
    assert books.find("R1") is None
    assert books.refunds() == []

    clock.now += 0.1
    found = books.find("R1")
    assert found is not None
    assert (found.status, found.requests) == (RefundStatus.SUCCESS, 1)


def test_a_late_refund_does_not_happen_when_the_money_is_gone_by_then(
    books: Books, clock: Clock
) -> None:
    books.refund_later(order("R1", 6_000), seconds=60)
    books.refund(order("R2", 6_000))

    clock.now += 60

    assert [refund.refund_no for refund in books.refunds()] == ["R2"]


def test_a_late_refund_takes_its_money_before_a_request_that_comes_after_it_was_due(
    books: Books, clock: Clock
) -> None:
    books.refund_later(order("R1", 6_000), seconds=60)
    clock.now += 60

    assert isinstance(books.refund(order("R2", 6_000)), Rejection)


def test_what_was_done_late_is_not_looked_at_again(books: Books, clock: Clock) -> None:
    books.refund_later(order(), seconds=60)
    clock.now += 60
    books.find("R1")

    waiting = books._sql.execute("SELECT count(*) FROM late_refund").fetchone()[0]

    assert waiting == 0


def test_processing_is_over_from_the_moment_it_is_due(books: Books, clock: Clock) -> None:
    books.refund(order(), final_in_seconds=60)

    clock.now += 59.9
    assert [refund.status for refund in books.refunds()] == [RefundStatus.PROCESSING]

    clock.now += 0.1
    assert [refund.status for refund in books.refunds()] == [RefundStatus.SUCCESS]


def test_a_callback_is_tried_six_times_with_growing_patience(books: Books, clock: Clock) -> None:
    books.refund(order(), final_in_seconds=60)
    assert books.callbacks_due(limit=10) == []
    clock.now += 60

    for patience_seconds in (1, 2, 4, 8, 16):
        answer(books, delivered=False)
        clock.now += patience_seconds - 0.1
        assert books.callbacks_due(limit=10) == []
        clock.now += 0.1
    answer(books, delivered=False)

    clock.now += 1_000_000
    assert books.callbacks_due(limit=10) == []


def test_a_refund_done_at_once_calls_nobody_back(books: Books, clock: Clock) -> None:
    assert isinstance(books.refund(order()), Refund)

    clock.now += 1_000_000

    assert books.callbacks_due(limit=10) == []


def test_a_request_that_did_nothing_is_counted_when_the_refund_happens(books: Books) -> None:
    books.count(order())
    assert books.refunds() == []

    books.refund(order())

    assert [refund.requests for refund in books.refunds()] == [2]


@pytest.mark.parametrize("status", ["CLOSED", "SUCCESS", "ABNORMAL"])
def test_what_was_decided_by_hand_stays_and_is_called_back(
    books: Books, clock: Clock, status: str
) -> None:
    books.refund(order(), final_in_seconds=60)

    books.decide("R1", RefundStatus(status))
    clock.now += 60

    assert [refund.status for refund in books.refunds()] == [status]
    assert told(books) == [("R1", status)]


def test_an_event_has_one_id_however_often_it_is_told_and_the_next_one_another(
    books: Books, clock: Clock
) -> None:
    books.refund(order(), final_in_seconds=60)
    books.decide("R1", RefundStatus.ABNORMAL)
    [first] = books.callbacks_due(limit=10)
    books.callback_ended(first.event_id, delivered=False)
    clock.now += 1
    [again] = books.callbacks_due(limit=10)

    books.decide("R1", RefundStatus.SUCCESS)
    # The answer to the old event comes while the new one waits to be told.
    books.callback_ended(first.event_id, delivered=True)

    [other] = books.callbacks_due(limit=10)
    assert first.event_id == again.event_id != other.event_id
    assert other.refund.status is RefundStatus.SUCCESS


def test_a_new_event_is_told_as_often_as_the_first_although_nobody_took_that(
    books: Books, clock: Clock
) -> None:
    books.refund(order(), final_in_seconds=60)

    for status in (RefundStatus.ABNORMAL, RefundStatus.SUCCESS):
        books.decide("R1", status)
        tries = 0
        while told(books):
            answer(books, delivered=False)
            clock.now += 16
            tries += 1
        assert tries == 6


def test_who_was_cut_off_is_told_when_the_late_refund_is_done(books: Books, clock: Clock) -> None:
    books.refund_later(order(), seconds=60)
    clock.now += 60

    assert told(books) == [("R1", "SUCCESS")]


def test_a_payments_own_address_is_told_where_the_refund_names_none(
    books: Books, clock: Clock
) -> None:
    paid = Payment(payment_no="PAY2", amount_minor=500, method=ALIPAY, notify_url="http://shop/")
    books.know([paid])
    alipay = {"method": ALIPAY, "payment_no": "PAY2", "notify_url": None, "payment_minor": None}

    books.refund(order("R2", 200, **alipay), final_in_seconds=60)
    books.refund(order("R3", 300, **alipay))
    clock.now += 60

    [callback] = books.callbacks_due(limit=10)
    assert (callback.url, callback.refunded_minor) == ("http://shop/", 500)


def test_a_closed_number_is_over_at_wechat_and_free_again_at_alipay(books: Books) -> None:
    books.know([Payment(payment_no="PAY2", amount_minor=10_000, method=ALIPAY)])
    alipay = order("R2", method=ALIPAY, payment_no="PAY2")
    for asked in (order("R1"), alipay):
        books.refund(asked, final_in_seconds=60)
        books.decide(asked.refund_no, RefundStatus.CLOSED)

    again = [books.refund(asked) for asked in (order("R1"), alipay)]

    assert [isinstance(each, Refund) and each.status for each in again] == ["CLOSED", "SUCCESS"]


def test_books_of_an_earlier_release_are_read_on(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(file)) as old:
        old.executescript(_TABLES)
        old.execute("INSERT INTO payment VALUES ('PAY1', 10000, 'wechat')")
        old.execute("INSERT INTO request VALUES ('R1', 'PAY1', 1)")
        old.execute(
            "INSERT INTO refund (refund_no, payment_no, amount_minor, reason, status)"
            " VALUES ('R1', 'PAY1', 6000, '', 'SUCCESS')"
        )
        old.commit()

    for _ in range(2):
        with closing(Books(file)) as books:
            assert [refund.amount_minor for refund in books.refunds()] == [6_000]
            assert books.refund(order("R2", 6_000)) is Rejection.TOO_MUCH
