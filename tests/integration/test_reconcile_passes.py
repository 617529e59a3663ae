"""Passes over all refunds: whom they ask, what holds them up, and what they tell."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from commands.reconcile import reconcile
from gateways.account import AccountFaulty, Fault
from gateways.payments import (
    PaymentGateway,
    RefundRequest,
    RefundStatus,
)
from gateways.payments.accounts import AlipayAccount, WechatPayAccount
from gateways.payments.alipay import AlipayGateway
from gateways.payments.wechat import WechatPayGateway
from models import Payment
from saga.cli.errors import UsageError
from tasks.doors import NoSuchDoor
from tests.integration.crashes.sandbox import Sandbox
from tests.integration.office import FULL, STEP, Office, key
from tests.integration.test_cli import NOBODY, Shell, environment

pytest_plugins = ["tests.integration.merchant", "tests.integration.reconciled"]
pytestmark = pytest.mark.integration

DAY = timedelta(days=1)


def test_what_is_at_work_is_counted_and_not_asked_about(office: Office) -> None:
    office.start(office.paid())

    done = office.run()

    assert (done.checked, done.under_way) == (0, 1)
    assert office.provider.asked == []


def test_a_failed_saga_is_compared_however_old_it_is(office: Office) -> None:
    saga_id = office.completed()
    office.execute(
        "UPDATE saga_state SET status = 'FAILED', failed_from = 'RUNNING', completed_at = NULL, "
        "holds_key = true"
    )
    office.provider.books.clear()
    office.let_pass(9 * DAY)

    office.run()

    assert office.found() == [("1", "not_refunded")]
    assert office.on_file()[0].ours == "FAILED, booked 100.00"
    assert office.status(saga_id) == "FAILED"


def test_only_the_window_is_asked_about_and_what_differs(office: Office) -> None:
    office.completed()
    differs = office.completed()
    office.provider.books.pop(key(differs))
    office.run()
    office.let_pass(3 * DAY)
    fresh = office.completed()
    office.provider.asked.clear()

    office.run()

    assert set(office.provider.asked) == {key(differs), key(fresh)}


def test_what_was_at_work_for_long_is_asked_about_when_it_rests(office: Office) -> None:
    saga_id = office.start(office.paid())
    office.execute("UPDATE saga_state SET created_at = created_at - interval '25 hours'")
    office.run()
    office.let_pass(2 * DAY)
    office.execute("UPDATE saga_state SET timeout_at = clock_timestamp() + interval '1 hour'")
    office.work_off()
    assert office.status(saga_id) == "COMPLETED"

    office.run()
    office.run()

    assert office.provider.asked == [key(saga_id)]


def test_a_provider_that_is_silent_is_no_difference_and_asked_again(
    office: Office, alarms: list[dict[str, Any]]
) -> None:
    sagas = [office.completed() for _ in range(5)]
    office.provider.silent = {key(saga_id) for saga_id in sagas}
    by_wallet = office.completed("balance")

    done = office.run()

    assert (done.checked, done.not_answered) == (1, 5)
    assert len(office.provider.asked) == 3, "three time-outs say enough"
    assert (office.on_file(), alarms) == ([], [])

    office.provider.silent.clear()
    office.let_pass(3 * DAY)
    assert office.run().checked == 3, "what was asked in vain is due however old it is"
    assert by_wallet is not None


@pytest.mark.parametrize(
    "fault",
    [
        NoSuchDoor("no provider"),
        AccountFaulty([Fault("WECHATPAY_MCHID", "is missing", "set it")]),
    ],
)
def test_a_method_that_is_not_set_up_is_told_once_and_is_not_answered(
    office: Office, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    for _ in range(2):
        office.completed()

    def closed(method: str) -> PaymentGateway:
        assert method == "wechat"
        raise fault

    monkeypatch.setattr(office, "door", closed)
    with structlog.testing.capture_logs() as logged:
        done = office.run()

    assert (done.checked, done.not_answered) == (0, 2)
    assert [line["why"] for line in logged] == [f"wechat is not set up here: {fault}"]


def test_those_that_are_asked_in_vain_keep_nobody_waiting(office: Office) -> None:
    first, second = office.completed(), office.completed()
    office.provider.silent = {key(first)}

    for _ in range(2):
        office.run(most=1)

    assert office.provider.asked == [key(first), key(second)]


def test_what_moves_while_the_provider_is_asked_is_left_for_the_next_pass(office: Office) -> None:
    saga_id = office.compensated()
    office.provider.write(key(saga_id), RefundStatus.ABNORMAL)
    office.provider.meanwhile = lambda: office.execute(
        "UPDATE saga_state SET version = version + 1"
    )

    done = office.run()

    assert (done.checked, done.under_way) == (0, 1)
    assert office.on_file() == []


def test_a_pass_ends_when_its_time_is_over(office: Office) -> None:
    for _ in range(3):
        office.completed()
    times = iter([0, 0, 59, 60])

    done = office.run(within=timedelta(minutes=1), clock=lambda: next(times))

    assert (done.due, done.checked) == (3, 2)


def test_one_that_cannot_be_compared_does_not_stop_the_others(office: Office) -> None:
    broken = office.completed()
    office.execute("UPDATE saga_state SET state = '{}'")
    office.completed()

    done = office.run()

    assert (done.checked, done.not_answered) == (1, 1)
    assert key(broken) not in office.provider.asked


def test_an_error_of_our_own_does_not_stop_the_others(office: Office) -> None:
    for _ in range(2):
        office.completed()
    office.execute(
        "UPDATE saga_state SET generations = jsonb_build_object(:step, 'many') WHERE id = "
        "(SELECT min(id) FROM saga_state)",
        {"step": STEP},
    )

    done = office.run()

    assert (done.checked, done.not_answered) == (1, 1)


def test_two_passes_at_once_find_and_alarm_it_once(
    office: Office, alarms: list[dict[str, Any]]
) -> None:
    saga_id = office.compensated()
    office.provider.write(key(saga_id), RefundStatus.SUCCESS)

    def run_another() -> None:
        office.provider.meanwhile = lambda: None
        office.run()

    office.provider.meanwhile = run_another
    done = office.run()

    assert (done.checked, done.under_way) == (0, 1)
    assert office.found() == [("1", "not_booked")]
    assert len(alarms) == 1


def test_no_transaction_is_open_while_a_provider_is_asked(office: Office) -> None:
    office.completed()
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    )
    open_ones = []

    def look() -> None:
        with office.database.connect() as connection:
            open_ones.append(connection.exec_driver_sql(sql).scalar_one())

    office.provider.meanwhile = look
    office.run()

    assert open_ones == [0]


@pytest.mark.parametrize("method", ["wechat", "alipay"])
def test_what_a_provider_refunds_after_all_is_found_over_its_own_wire(
    office: Office, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    gateway = real_gateway(method, sandbox.environment)
    monkeypatch.setattr(office, "provider", gateway)
    payment_id = office.paid(method)
    with Session(office.database) as session:
        number = session.get_one(Payment, payment_id).payment_no
    notice = {"paymentNo": number, "amount": "100.00", "method": method}
    told = {"payments": [notice]}
    httpx.post(f"{sandbox.url}/control/payments", json=told, trust_env=False).raise_for_status()
    sandbox.fault({"operation": "refund", "kind": "refuse", "times": 1})
    saga_id = office.start(payment_id)
    office.work_off()
    assert office.status(saga_id) == "COMPENSATED"
    assert office.run().checked == 1
    assert office.on_file() == []

    gateway.refund(
        RefundRequest(
            refund_no=key(saga_id),
            payment_no=number,
            payment_minor=FULL,
            amount_minor=FULL,
            currency="CNY",
            reason="somebody else's retry",
        )
    )

    assert office.run().checked == 1
    assert office.status(saga_id) == "FAILED"
    assert office.found() == [("1", "not_booked")]
    assert office.on_file()[0].theirs == "SUCCESS 100.00"


def real_gateway(method: str, environment: Mapping[str, str]) -> PaymentGateway:
    timeout = timedelta(seconds=10)
    if method == "wechat":
        wechat = WechatPayAccount.read(environment)
        assert wechat is not None
        return WechatPayGateway(wechat, timeout)
    alipay = AlipayAccount.read(environment)
    assert alipay is not None
    return AlipayGateway(alipay, timeout)


def test_the_command_tells_what_differs_and_ends_accordingly(
    office: Office, office_url: str
) -> None:
    url = make_url(office_url).set(drivername="postgresql")
    text = url.render_as_string(hide_password=False)
    shell = Shell(environment(DATABASE_URL=text, CELERY_BROKER_URL=NOBODY))
    saga_id = office.completed("balance")
    office.execute("DELETE FROM wallet_entry")

    done = shell.run("reconcile", "--json", "--since", "1h")

    told = json.loads(done.stdout)
    [found] = told.pop("differences")
    assert done.returncode == 1
    assert told == {"checked": 1, "underWay": 0, "notAnswered": 0}
    assert found.pop("foundAt").endswith("Z")
    assert found == {
        "refundNo": key(saga_id),
        "sagaId": str(saga_id),
        "paymentId": office.row(saga_id)["state"]["payment_id"],
        "ours": "COMPLETED, booked 100.00",
        "theirs": "none",
        "difference": "not_refunded",
    }
    listed = shell.run("reconcile", "--list")
    assert listed.returncode == 1
    assert key(saga_id) in listed.stdout


@pytest.mark.parametrize("since", ["soon", "0h", "48"])
def test_a_window_that_is_no_duration_is_a_wrong_usage(since: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        reconcile(since=since)
