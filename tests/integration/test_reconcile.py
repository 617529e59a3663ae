"""Refunds beside their providers' books: every way to differ is found, alarmed and cleared."""

from typing import Any

import pytest

from gateways.payments import (
    RefundStatus,
)
from saga import Outcome
from tests.integration.office import FULL, Office, key

pytest_plugins = ["tests.integration.reconciled"]
pytestmark = pytest.mark.integration


def test_what_agrees_is_no_difference(office: Office, alarms: list[dict[str, Any]]) -> None:
    booked, gone_back, by_wallet = (
        office.completed(),
        office.compensated(),
        office.completed("balance"),
    )

    done = office.run()

    assert (done.checked, done.under_way, done.not_answered) == (3, 0, 0)
    assert set(office.provider.asked) == {key(booked), key(gone_back)}
    assert key(by_wallet) not in office.provider.books
    assert (office.on_file(), alarms) == ([], [])


@pytest.mark.parametrize(
    ("theirs", "difference"),
    [
        (None, "not_refunded"),
        (RefundStatus.CLOSED, "not_refunded"),
        (RefundStatus.PROCESSING, "not_final"),
        (RefundStatus.ABNORMAL, "not_final"),
    ],
)
def test_what_is_booked_and_not_refunded_is_alarmed_once_and_cleared_when_it_is(
    office: Office,
    alarms: list[dict[str, Any]],
    theirs: RefundStatus | None,
    difference: str,
) -> None:
    saga_id = office.completed()
    before = office.provider.books.pop(key(saga_id))
    if theirs is not None:
        office.provider.write(key(saga_id), theirs)

    office.run()
    first = office.on_file()
    office.run()

    assert office.found() == [("1", difference)]
    assert office.on_file() == first, "it is as old as when it was found"
    assert first[0].ours == "COMPLETED, booked 100.00"
    assert first[0].theirs == ("none" if theirs is None else f"{theirs} 100.00")
    assert [alarm["refund_no"] for alarm in alarms] == [key(saga_id)]

    office.provider.books[key(saga_id)] = before
    office.run()

    assert office.on_file() == []


def test_another_amount_than_what_is_booked_is_found(office: Office) -> None:
    saga_id = office.completed()
    office.provider.write(key(saga_id), RefundStatus.SUCCESS, FULL - 1)

    office.run()

    assert office.found() == [("1", "other_amount")]
    assert office.on_file()[0].theirs == "SUCCESS 99.99"


def test_a_number_that_is_another_payments_refund_is_an_answer(office: Office) -> None:
    saga_id = office.compensated()
    office.provider.reused = {key(saga_id): 1}

    assert office.run().checked == 1
    assert office.found() == [("1", "number_reused")]
    assert office.on_file()[0].theirs == "ANOTHER_REFUND 0.01"


def test_money_that_left_the_wallet_by_another_way_is_found(office: Office) -> None:
    office.completed("balance")
    office.execute("UPDATE wallet_entry SET amount_minor = 1")

    office.run()

    assert office.found() == [("1", "other_amount")]


@pytest.mark.parametrize("status", [RefundStatus.PROCESSING, RefundStatus.ABNORMAL])
def test_what_may_still_happen_after_its_saga_went_back_is_found(
    office: Office, status: RefundStatus
) -> None:
    office.provider.write(key(office.compensated()), status)

    office.run()

    assert office.found() == [("1", "may_still_happen")]


def test_a_refund_that_the_provider_closed_is_as_good_as_none(office: Office) -> None:
    office.provider.write(key(office.compensated()), RefundStatus.CLOSED)

    assert office.run().checked == 1
    assert office.on_file() == []


def test_a_success_that_its_saga_gave_up_fails_it_and_is_cleared_when_it_is_booked(
    office: Office, alarms: list[dict[str, Any]]
) -> None:
    saga_id = office.compensated()
    office.provider.write(key(saga_id), RefundStatus.SUCCESS)

    office.run()
    office.run()

    assert office.status(saga_id) == "FAILED"
    assert office.found() == [("1", "not_booked")]
    assert office.on_file()[0].ours == "FAILED, not booked"
    assert len(alarms) == 1

    office.book(saga_id)
    office.resolve(saga_id, Outcome.DONE)
    office.run()

    assert office.status(saga_id) == "COMPLETED"
    assert office.on_file() == []


def test_a_success_that_a_person_knew_when_they_let_the_saga_rest_is_no_difference(
    office: Office,
) -> None:
    saga_id = office.compensated()
    office.provider.write(key(saga_id), RefundStatus.SUCCESS)
    office.run()

    office.resolve(saga_id, Outcome.NOT_DONE)
    office.run()

    assert office.status(saga_id) == "COMPENSATED"
    assert office.on_file() == []


def test_a_success_is_told_also_where_another_refund_has_the_payment_now(office: Office) -> None:
    payment_id = office.paid()
    gone_back = office.compensated(payment_id)
    office.start(payment_id)
    office.provider.write(key(gone_back), RefundStatus.SUCCESS)

    office.run()

    assert office.status(gone_back) == "FAILED"
    assert office.found() == [("1", "not_booked")]


def test_a_success_that_cannot_be_told_to_its_saga_is_on_file_all_the_same(office: Office) -> None:
    saga_id = office.compensated()
    office.provider.write(key(saga_id), RefundStatus.SUCCESS)
    office.execute("UPDATE saga_state SET definition_version = 99")

    office.run()

    assert office.status(saga_id) == "COMPENSATED"
    assert office.found() == [("1", "not_booked")]


def test_a_saga_that_refunded_under_two_numbers_is_found(office: Office) -> None:
    saga_id = office.completed()
    office.give_new_number()
    office.provider.write(key(saga_id, 2), RefundStatus.SUCCESS)

    office.run()

    assert office.found() == [("1", "over_the_payment"), ("2", "refunded_twice")]
    assert office.status(saga_id) == "COMPLETED"


def test_an_earlier_number_that_the_provider_refunded_after_all_stays_on_file(
    office: Office,
) -> None:
    saga_id = office.compensated()
    office.give_new_number()
    office.provider.write(key(saga_id), RefundStatus.SUCCESS)

    office.run()
    office.run()

    assert office.found() == [("1", "not_booked")]
    assert office.kinds(saga_id)[-1] == "late_success"


def test_more_than_was_paid_is_found_across_refunds_and_told_of_one(office: Office) -> None:
    payment_id = office.paid()
    lost = office.compensated(payment_id)
    for amount in ("60.00", "40.00"):
        office.start(payment_id, amount)
        office.work_off()
    office.provider.write(key(lost), RefundStatus.SUCCESS)
    office.run()
    office.resolve(lost, Outcome.NOT_DONE)

    office.run()
    office.run()

    assert [found.difference.value for found in office.on_file()] == ["over_the_payment"]


def test_a_payment_that_is_not_the_sum_of_its_refunds_is_told_of_one(office: Office) -> None:
    payment_id = office.paid()
    for amount in ("10.00", "20.00"):
        office.start(payment_id, amount)
        office.work_off()
    office.execute("UPDATE payments SET refunded_minor = 1")

    office.run()
    office.run()

    assert office.found() == [("1", "payment_differs")]
