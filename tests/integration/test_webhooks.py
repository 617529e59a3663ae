"""Providers call back: what is genuine wakes its refund, once; what is not moves nothing."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlencode

import pytest

from api import create_app
from api.webhooks import LARGEST_CALLBACK
from gateways.payments.sandbox.keys import KeyRing, key_ring
from gateways.payments.sandbox.notices import Notice
from saga import Engine, connect
from settings import settings
from tasks.doors import payment_gateway
from tests.integration.by_hand import Broker
from tests.integration.payee import STEP, Heard, Payee, forged
from workflows import refund

pytest_plugins = ["tests.integration.merchant"]
pytestmark = pytest.mark.integration

BOTH = pytest.mark.parametrize("method", ["wechat", "alipay"])
TAKEN = {"wechat": Heard(200, '{"code":"SUCCESS","message":"OK"}'), "alipay": Heard(200, "success")}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """The keys of somebody else."""
    return key_ring(tmp_path_factory.mktemp("others"))


@BOTH
def test_a_callback_ends_the_wait_and_the_provider_has_the_last_word(
    payee: Payee, method: str
) -> None:
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)

    # Who calls back too soon, or lies, learns nothing: the provider is asked, and is not done.
    assert payee.tell(payment, saga_id, "SUCCESS", event="one") == TAKEN[method]
    payee.work_off()
    assert payee.row(saga_id)["waiting_for"] == "poll"
    assert payee.ask("SELECT status FROM payments")[0].status == "refunding"

    payee.decided(saga_id, "SUCCESS")
    assert payee.tell(payment, saga_id, "SUCCESS", event="two") == TAKEN[method]
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    assert payee.agree()


@BOTH
def test_the_same_event_counts_once_however_often_it_comes(payee: Payee, method: str) -> None:
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)
    payee.decided(saga_id, "SUCCESS")

    heard = [payee.tell(payment, saga_id, "SUCCESS", event="one") for _ in range(3)]
    payee.work_off()
    heard.append(payee.tell(payment, saga_id, "SUCCESS", event="one"))

    assert heard == [TAKEN[method]] * 4
    assert len(payee.ask("SELECT * FROM saga_signal")) == 1
    assert payee.kinds(saga_id).count("signalled") == 1
    assert payee.status(saga_id) == "COMPLETED"
    assert payee.agree()


@BOTH
def test_a_callback_that_comes_before_the_calls_own_answer_is_kept(
    payee: Payee, method: str
) -> None:
    payment = payee.payment(method)
    payee.sandbox.fault({"operation": "refund", "kind": "processing", "seconds": 0})
    saga_id = payee.start(payment)

    assert payee.tell(payment, saga_id, "SUCCESS", event="early") == TAKEN[method]
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    assert payee.kinds(saga_id)[1] == "signal_received"
    assert payee.agree()


def test_without_a_callback_the_provider_is_polled(payee: Payee) -> None:
    payment = payee.payment("wechat")
    saga_id = payee.accepted(payment)
    payee.decided(saga_id, "SUCCESS")

    payee.let_pass(timedelta(seconds=61))
    payee.recover()
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    assert payee.agree()


def _changed(told: Notice) -> Notice:
    if told.body.startswith("{"):
        return replace(told, body=told.body.replace("2", "3", 1))
    form = parse_qs(told.body)
    return replace(told, body=urlencode({**form, "refund_fee": ["0.01"]}, doseq=True))


def _by_hand(told: Notice) -> Notice:
    signature = "AAAA" * 86
    if told.body.startswith("{"):
        return forged(told, **{"Wechatpay-Signature": signature})
    return replace(told, body=urlencode({**parse_qs(told.body), "sign": signature}, doseq=True))


BROKEN: dict[str, Callable[[Notice], Notice]] = {
    "changed": _changed,
    "signed by hand": _by_hand,
    "truncated": lambda told: replace(told, body=told.body[:-30]),
    "empty": lambda told: replace(told, body=""),
    "no text": lambda told: replace(
        told, body="\udcff\udcfe".encode("utf-16", "surrogatepass").hex()
    ),
}


@BOTH
@pytest.mark.parametrize("what", BROKEN)
def test_a_callback_that_is_not_as_it_was_signed_is_rejected(
    payee: Payee, method: str, what: str
) -> None:
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)

    heard = payee.call_back(method, BROKEN[what](payee.notice(payment, payee.number(saga_id))))

    assert heard.status == 401
    assert '"FAIL"' in heard.text if method == "wechat" else heard.text == "failure"
    assert payee.ask("SELECT * FROM saga_signal") == []
    assert payee.kinds(saga_id)[-1] == "accepted"


@BOTH
def test_a_callback_under_somebody_elses_key_is_rejected(
    payee: Payee, others: KeyRing, method: str
) -> None:
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)
    stranger = payee.notice(payment, payee.number(saga_id), ring=others)
    sealed_by_stranger = payee.notice(
        payment, payee.number(saga_id), ring=replace(payee.ring, apiv3_key=others.apiv3_key)
    )

    assert payee.call_back(method, stranger).status == 401
    if method == "wechat":
        assert payee.call_back(method, sealed_by_stranger).status == 401
    assert payee.ask("SELECT * FROM saga_signal") == []


@BOTH
@pytest.mark.parametrize(
    ("seconds", "expected"), [(-310, 401), (-240, 200), (240, 200), (310, 401)]
)
def test_a_callback_is_believed_for_five_minutes(
    payee: Payee, method: str, seconds: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)
    now = time.time()
    with monkeypatch.context() as then:
        then.setattr(time, "time", lambda: now + seconds)
        told = payee.notice(payment, payee.number(saga_id))

    assert payee.call_back(method, told).status == expected
    assert len(payee.ask("SELECT * FROM saga_signal")) == (1 if expected == 200 else 0)


@BOTH
def test_a_callback_that_is_too_long_is_not_read(payee: Payee, method: str) -> None:
    told = Notice({}, "x" * (LARGEST_CALLBACK + 1))

    assert payee.call_back(method, told).status == 413


@BOTH
def test_a_callback_about_a_refund_of_somebody_else_is_taken_and_left(
    payee: Payee, method: str
) -> None:
    payment = payee.payment(method)

    for number in ("R-made-by-hand", "0" * 32 + "-00000000-1"):
        heard = payee.call_back(method, payee.notice(payment, number))
        assert heard == TAKEN[method], "a provider repeats for a day what is not taken"
    assert payee.ask("SELECT * FROM saga_signal") == []


@BOTH
def test_while_the_database_is_away_a_callback_is_to_come_again(payee: Payee, method: str) -> None:
    payment = payee.payment(method)
    saga_id = payee.accepted(payment)
    nowhere = Engine(
        database=connect("postgresql://127.0.0.1:1/nowhere"), sagas=[refund], publisher=Broker()
    )
    payee.api = create_app(nowhere, api_key=None)

    heard = payee.tell(payment, saga_id, "SUCCESS", event="one")

    assert heard.status == 500
    assert "nowhere" not in heard.text


def test_nobody_calls_back_where_no_provider_is_set_up(
    payee: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = payee.notice(payee.payment("wechat"), "R1")
    for name in payee.sandbox.environment:
        monkeypatch.setattr(settings, name.lower(), None)
    payment_gateway.cache_clear()

    assert payee.call_back("wechat", told) == Heard(
        404, '{"code":"FAIL","message":"wechat is not set up here"}'
    )


def test_a_closed_refund_waits_for_a_person_and_is_asked_for_under_a_new_number(
    payee: Payee,
) -> None:
    payment = payee.payment("wechat")
    saga_id = payee.accepted(payment)
    payee.decided(saga_id, "CLOSED")
    payee.tell(payment, saga_id, "CLOSED", event="one")
    payee.work_off()
    row = payee.row(saga_id)
    assert (row["status"], row["effects"][STEP]) == ("FAILED", "not_done")
    assert "retry to ask for it under a new number, or compensate" in row["error_message"]

    payee.operator.retry(saga_id, reason="the customer gave another account")
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    first, second = (payee.book(payee.number(saga_id, generation)) for generation in (1, 2))
    assert first is not None
    assert second is not None
    assert (first["status"], second["status"]) == ("CLOSED", "SUCCESS")
    assert payee.agree()

    # The money under both numbers: only a person can take one back.
    payee.tell(payment, saga_id, "SUCCESS", event="two")
    assert "late_success" in payee.kinds(saga_id)


def test_a_closed_refund_can_be_given_up(payee: Payee) -> None:
    payment = payee.payment("wechat")
    saga_id = payee.accepted(payment)
    payee.decided(saga_id, "CLOSED")
    payee.tell(payment, saga_id, "CLOSED", event="one")
    payee.work_off()

    payee.operator.compensate(saga_id, reason="paid in cash")
    payee.work_off()

    assert payee.rests(saga_id) == "COMPENSATED"
    assert payee.agree()


def test_abnormal_money_waits_for_a_person_and_goes_on_under_its_number(payee: Payee) -> None:
    payment = payee.payment("wechat")
    saga_id = payee.accepted(payment)
    payee.decided(saga_id, "ABNORMAL")
    payee.tell(payment, saga_id, "ABNORMAL", event="one")
    payee.work_off()
    row = payee.row(saga_id)
    assert (row["status"], row["effects"][STEP]) == ("FAILED", "unknown")
    assert "parked at the provider" in row["error_message"]

    payee.decided(saga_id, "SUCCESS")
    assert payee.tell(payment, saga_id, "SUCCESS", event="two") == TAKEN["wechat"]
    assert payee.status(saga_id) == "FAILED", "a person has the say"
    assert payee.row(saga_id)["effects"][STEP] == "done"
    payee.operator.retry(saga_id, reason="sent to a bank account")
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    assert payee.book(payee.number(saga_id, 2)) is None
    assert payee.agree()


@BOTH
def test_without_money_a_refund_waits_for_a_person_and_keeps_its_number(
    payee: Payee, method: str
) -> None:
    payment = payee.payment(method)
    payee.sandbox.fault({"operation": "refund", "kind": "not_enough"})
    saga_id = payee.start(payment)
    payee.work_off()
    row = payee.row(saga_id)
    assert (row["status"], row["effects"][STEP]) == ("FAILED", "not_started")
    assert row["error_message"].startswith("top up the merchant account, then retry")

    payee.operator.retry(saga_id, reason="topped up")
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    book = payee.book(payee.number(saga_id))
    assert book is not None
    assert book["requests"] == 2
    assert payee.agree()


@BOTH
def test_money_that_leaves_after_the_saga_went_back_is_alarmed(payee: Payee, method: str) -> None:
    payment = payee.payment(method)
    payee.sandbox.fault({"operation": "refund", "kind": "late", "seconds": 4000})
    payee.sandbox.fault({"operation": "refund", "kind": "error_before", "times": 3})
    saga_id = payee.start(payment)
    payee.work_off()
    assert payee.rests(saga_id) == "COMPENSATED"
    payee.sandbox.clock.ahead += timedelta(seconds=4001)

    heard = [payee.tell(payment, saga_id, "SUCCESS", event="late") for _ in range(2)]

    assert heard == [TAKEN[method]] * 2
    row = payee.row(saga_id)
    assert (row["status"], row["effects"][STEP]) == ("FAILED", "done")
    assert "took effect after all" in row["error_message"]
    assert payee.kinds(saga_id).count("failed") == 1


def test_an_amount_changed_under_the_same_number_waits_for_a_person(payee: Payee) -> None:
    payment = payee.payment("wechat")
    payee.sandbox.fault({"operation": "refund", "kind": "error_after"})
    saga_id = payee.start(payment, "60.00")
    payee.work_off(until="call_provider_refund")
    payee.deliver()
    payee.execute("UPDATE saga_state SET state = jsonb_set(state, '{amount_minor}', '5000')")
    payee.work_off()

    assert payee.status(saga_id) == "FAILED"
    said = payee.row(saga_id)["error_message"]
    assert "of 60.00 and not of 50.00" in said
    assert len(payee.sandbox.books()) >= 1


def test_a_refund_that_the_probe_finds_accepted_waits_for_its_callback(payee: Payee) -> None:
    payment = payee.payment("wechat")
    saga_id = payee.start(payment)
    payee.work_off(until="call_provider_refund")
    payee.sandbox.fault({"operation": "refund", "kind": "processing", "seconds": 86400})
    # Accepted; what follows is an outage in which nobody hears of it.
    payee.work_off()
    payee.sandbox.fault({"operation": "refund", "kind": "error_before", "times": 4})
    for _ in range(4):
        payee.let_pass(timedelta(minutes=1))
        payee.recover()
        payee.work_off()
    assert "probe_planned" in payee.kinds(saga_id)
    assert payee.row(saga_id)["waiting_for"] == "poll"
    payee.let_pass(timedelta(hours=3))

    payee.decided(saga_id, "SUCCESS")
    payee.tell(payment, saga_id, "SUCCESS", event="one")
    payee.work_off()

    assert payee.status(saga_id) == "COMPLETED"
    assert payee.agree()


def test_an_event_that_says_something_else_the_next_time_is_taken_and_left(payee: Payee) -> None:
    payment = payee.payment("wechat")
    saga_id = payee.accepted(payment)

    heard = [
        payee.tell(payment, saga_id, status, event=event)
        for status, event in [("SUCCESS", "one"), ("CLOSED", "one"), ("SUCCESS", "x" * 5000)]
    ]

    assert heard == [TAKEN["wechat"]] * 3
    assert len(payee.ask("SELECT * FROM saga_signal")) == 1
