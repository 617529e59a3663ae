"""The provider's books in a real file, with the time given."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.payments import RefundRequest, RefundStatus
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import Payment, Refund, Rejection


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


def order(refund_no: str = "R1", amount_minor: int = 10_000) -> RefundRequest:
    return RefundRequest(
        refund_no=refund_no,
        payment_no="PAY1",
        payment_minor=10_000,
        amount_minor=amount_minor,
        currency="CNY",
        reason="broken",
        notify_url="http://caller.test/",
    )


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
        assert len(books.callbacks_due(limit=10)) == 1
        books.callback_ended("R1", delivered=False)
        clock.now += patience_seconds - 0.1
        assert books.callbacks_due(limit=10) == []
        clock.now += 0.1
    books.callback_ended("R1", delivered=False)

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


@pytest.mark.parametrize(
    ("status", "callbacks"),
    [(RefundStatus.CLOSED, 1), (RefundStatus.SUCCESS, 1), (RefundStatus.ABNORMAL, 0)],
)
def test_what_was_decided_by_hand_stays_and_is_called_back_when_final(
    books: Books, clock: Clock, status: RefundStatus, callbacks: int
) -> None:
    books.refund(order(), final_in_seconds=60)

    books.decide("R1", status)
    clock.now += 60

    assert [refund.status for refund in books.refunds()] == [status]
    assert len(books.callbacks_due(limit=10)) == callbacks
