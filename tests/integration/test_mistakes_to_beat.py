"""The mistakes of a system that refunded before this one: each is shown not to happen here.

Most are proved harder elsewhere; here each stands alone, as short as it can be told.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import BusinessKeyTaken
from tests.integration.payee import Payee
from workflows import RefundInput, request_refund

pytest_plugins = ["tests.integration.merchant"]
pytestmark = pytest.mark.integration

BOTH = pytest.mark.parametrize("method", ["wechat", "alipay"])
ELSEWHERE = """
from app import engine
from saga import Engine
from saga.recovery import Recovery

class Broker:
    def publish(self, publication): print(publication.tasks[0])
    def waiting(self, lane): return 0

Recovery(Engine(database=engine.database, sagas=list(engine.registry), publisher=Broker())).scan()
"""
ROOT = Path(__file__).resolve().parents[2]


@BOTH
def test_a_call_that_timed_out_is_repeated_under_the_same_refund_number(
    payee: Payee, method: str
) -> None:
    """The refund number was made inside the retried step: a time-out refunded twice."""
    payment = payee.payment(method)
    payee.sandbox.fault({"operation": "refund", "kind": "error_after"})
    saga_id = payee.start(payment, "40.00")

    assert payee.rests(saga_id) == "COMPLETED"

    mine = [book for book in payee.sandbox.books() if book["paymentNo"] == payment.payment_no]
    assert [(book["refundNo"], book["requests"]) for book in mine] == [(payee.number(saga_id), 2)]
    assert payee.agree()


def test_a_second_part_of_an_alipay_payment_goes_back_too(payee: Payee) -> None:
    """Alipay was called without out_request_no: it took the second part for the first one."""
    payment = payee.payment("alipay")

    for amount in ("40.00", "40.00"):
        assert payee.rests(payee.start(payment, amount)) == "COMPLETED"

    [paid] = payee.ask("SELECT refunded_minor FROM payments")
    assert paid.refunded_minor == 8000
    assert payee.agree()


@BOTH
def test_what_the_provider_is_still_at_is_not_refunded(payee: Payee, method: str) -> None:
    """WeChat Pay's PROCESSING was taken for refunded."""
    saga_id = payee.accepted(payee.payment(method))

    assert payee.status(saga_id) == "RUNNING"
    assert [paid.status for paid in payee.ask("SELECT status FROM payments")] == ["refunding"]
    assert not payee.ask("SELECT 1 FROM refunds")

    payee.let_pass(timedelta(days=2))
    payee.sandbox.clock.ahead += timedelta(days=2)
    assert payee.rests(saga_id) == "COMPLETED"
    assert payee.agree()


@BOTH
def test_a_provider_that_calls_back_is_heard(payee: Payee, method: str) -> None:
    """There was no route for callbacks."""
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)
    payee.decided(saga_id, "SUCCESS")

    assert payee.tell(payment, saga_id, "SUCCESS", event=f"one of {method}").status == 200

    payee.work_off()
    assert payee.status(saga_id) == "COMPLETED"
    assert payee.agree()


def test_a_failure_after_the_providers_success_leaves_the_payment_refunding(payee: Payee) -> None:
    """It put the payment back to success, although the money had left."""
    payee.execute("ALTER TABLE refunds ADD CONSTRAINT trouble CHECK (amount_minor < 0) NOT VALID")
    try:
        saga_id = payee.start(payee.payment("wechat"))
        assert payee.rests(saga_id) == "FAILED"
    finally:
        payee.execute("ALTER TABLE refunds DROP CONSTRAINT trouble")

    assert [paid.status for paid in payee.ask("SELECT status FROM payments")] == ["refunding"]
    payee.operator.retry(saga_id, reason="the table is well again")
    assert payee.rests(saga_id) == "COMPLETED"
    assert payee.agree()


def test_a_part_leaves_the_order_as_it_is_until_nothing_is_left(payee: Payee) -> None:
    """A partial refund marked the whole order refunded."""
    payment = payee.payment("wechat")
    orders = "SELECT status FROM orders"

    assert payee.rests(payee.start(payment, "99.99")) == "COMPLETED"
    assert [order.status for order in payee.ask(orders)] == ["paid"]

    assert payee.rests(payee.start(payment, "0.01")) == "COMPLETED"
    assert [order.status for order in payee.ask(orders)] == ["refunded"]


def test_of_many_who_want_all_of_a_payment_at_once_one_is_let(payee: Payee) -> None:
    """The row was read without a lock: two refunds both found enough left."""
    payment = payee.payment("wechat")
    asked = RefundInput(payment_id=payment.id, amount="100.00", reason="broken")

    def ask(_: int) -> bool:
        try:
            with Session(payee.database) as session, session.begin():
                request_refund(payee.engine, session, asked)
        except BusinessKeyTaken:
            return False
        return True

    with ThreadPoolExecutor(4) as askers:
        assert sum(askers.map(ask, range(4))) == 1


def test_what_another_one_is_just_writing_to_the_payment_is_waited_for(payee: Payee) -> None:
    """The row was read without a lock: what somebody else wrote meanwhile was overwritten."""
    saga_id = payee.start(payee.payment("wechat"))

    with payee.database.connect() as other, ThreadPoolExecutor(1) as worker:
        other.execute(text("UPDATE payments SET status = 'cancelled'"))
        step = worker.submit(payee.deliver)
        while not step.done() and not payee.ask("SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
        other.commit()
        step.result()

    assert payee.rests(saga_id) == "COMPENSATED"
    assert [paid.status for paid in payee.ask("SELECT status FROM payments")] == ["cancelled"]
    assert payee.book(payee.number(saga_id)) is None


def test_a_refund_whose_time_is_over_gives_its_payment_back(payee: Payee) -> None:
    """A timed-out saga was only marked, and its payment stayed refunding for ever."""
    payee.sandbox.fault({"operation": "refund", "kind": "error_before", "times": 9})
    saga_id = payee.start(payee.payment("wechat"))
    payee.deliver()
    payee.deliver()
    payee.let_pass(timedelta(hours=1))

    assert payee.rests(saga_id) == "TIMEOUT"

    assert [paid.status for paid in payee.ask("SELECT status FROM payments")] == ["success"]
    assert payee.agree()


def test_a_compensation_that_cannot_be_done_fails_the_saga_with_an_alarm(payee: Payee) -> None:
    """Its errors were swallowed, and the saga called COMPENSATED all the same."""
    payee.sandbox.fault({"operation": "refund", "kind": "refuse"})
    saga_id = payee.start(payee.payment("wechat"))
    payee.deliver()
    payee.execute("UPDATE payments SET status = 'cancelled'")

    assert payee.rests(saga_id) == "FAILED"

    assert payee.events(saga_id)[-1]["detail"]["alarm"]


def test_a_process_that_was_not_there_at_the_start_takes_a_refund_over(
    payee: Payee, shop_database: Database
) -> None:
    """Recovery was impossible: definitions lived in closures of the process that had started."""
    payee.start(payee.payment("wechat"))
    payee.broker.lose_all()
    payee.let_pass(timedelta(minutes=1))

    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": shop_database.url.render_as_string(hide_password=False)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert found.stdout.split() == ["payment_refund.set_refunding_status"], found.stderr
