"""What must hold once the page about adding a provider was followed; run by its own test.

In a copy of the project to which the page was applied: here there is no Stripe.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import create_app
from commands import health
from gateways.payments import accounts
from gateways.payments import stripe as added
from gateways.payments.gateway import (
    CallbackRejected,
    NumberReused,
    PaymentGateway,
    PersonNeeded,
    ProviderBusy,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)
from models import Payment, PaymentMethod, RefundCheck
from saga import connect
from saga.doctor import Level
from saga.operator import Operator
from settings import settings
from tasks.doors import payment_gateway
from tests.integration.by_hand import ByHand
from tests.integration.crashes.desk import EMPTY as NO_SAGAS
from tests.integration.crashes.refunds import EMPTY as NO_PAYMENTS
from tests.integration.paid import paid
from tests.integration.served import calling, served
from tests.integration.stripe_books import (
    SECRET_KEY,
    WEBHOOK_SECRET,
    Stripe,
    callback,
    open_stripe,
    signed,
)
from workflows import RefundInput, refund, request_refund
from workflows.reconciliation import Reconciler

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASKED = RefundRequest(
    refund_no="R1",
    payment_no="pi_1",
    payment_minor=10_000,
    amount_minor=4_000,
    currency="CNY",
    reason="it broke",
)
TOLD = {
    "object": "refund",
    "id": "re_1",
    "status": "succeeded",
    "amount": 4_000,
    "payment_intent": "pi_1",
    "metadata": {"refund_no": "R1"},
}


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with open_stripe() as opened:
        opened.know("pi_1", 10_000)
        yield opened


@pytest.fixture
def gateway(stripe: Stripe) -> PaymentGateway:
    return gateway_to(stripe)


def gateway_to(stripe: Stripe, secret_key: str = SECRET_KEY) -> PaymentGateway:
    account = accounts.StripeAccount(
        url=stripe.url, secret_key=secret_key, webhook_secret=WEBHOOK_SECRET
    )
    return added.StripeGateway(account, timedelta(seconds=5))


def found(gateway: PaymentGateway) -> RefundStatus | None:
    answer = gateway.find_refund("R1", payment_no="pi_1")
    return None if answer is None else answer.status


def test_the_same_number_is_the_same_refund_even_when_stripe_forgot_the_key(
    stripe: Stripe, gateway: PaymentGateway
) -> None:
    first = gateway.refund(ASKED)
    stripe.ahead = timedelta(days=2)
    again = gateway.refund(ASKED)

    assert first == again
    assert (first.status, first.amount_minor) == (RefundStatus.SUCCESS, 4_000)
    assert len(stripe.refunds) == 1
    assert stripe.refunds[0]["metadata"] == {"refund_no": "R1", "reason": "it broke"}


@pytest.mark.parametrize("fault", ["error_after", "cut_after"])
def test_what_was_done_without_an_answer_is_found(
    stripe: Stripe, gateway: PaymentGateway, fault: str
) -> None:
    stripe.faults = [fault]

    with pytest.raises((UnexpectedAnswer, httpx.HTTPError)):
        gateway.refund(ASKED)

    assert found(gateway) is RefundStatus.SUCCESS
    assert gateway.refund(ASKED).status is RefundStatus.SUCCESS
    assert len(stripe.refunds) == 1


def test_an_error_that_is_told_again_stays_unknown(stripe: Stripe, gateway: PaymentGateway) -> None:
    stripe.faults = ["error_before"]

    for _ in range(2):
        with pytest.raises(UnexpectedAnswer, match="500"):
            gateway.refund(ASKED)

    assert stripe.asked == 2
    assert found(gateway) is None


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("pending", RefundStatus.PROCESSING),
        ("requires_action", RefundStatus.PROCESSING),
        ("succeeded", RefundStatus.SUCCESS),
        ("failed", RefundStatus.CLOSED),
        ("canceled", RefundStatus.CLOSED),
    ],
)
def test_each_status_has_its_word(
    stripe: Stripe, gateway: PaymentGateway, said: str, status: RefundStatus
) -> None:
    stripe.faults = ["pending"]
    assert gateway.refund(ASKED).status is RefundStatus.PROCESSING

    stripe.decide(said)

    assert gateway.refund(ASKED).status is found(gateway) is status


def test_a_status_that_is_new_proves_nothing(stripe: Stripe, gateway: PaymentGateway) -> None:
    gateway.refund(ASKED)
    stripe.decide("on_the_moon")

    with pytest.raises(UnexpectedAnswer, match="on_the_moon"):
        found(gateway)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"amount_minor": 10_001}, "invalid_request_error"),
        ({"payment_no": "pi_2"}, "resource_missing"),
        ({"payment_no": "pi_refunded"}, "charge_already_refunded"),
    ],
)
def test_what_stripe_refuses_is_refused(
    stripe: Stripe, gateway: PaymentGateway, asked: dict[str, Any], code: str
) -> None:
    stripe.know("pi_refunded", 4_000)
    stripe.make("pi_refunded", 4_000, "succeeded", {})

    with pytest.raises(RefundRefused) as refused:
        gateway.refund(replace(ASKED, **asked))

    assert refused.value.code == code


def test_a_key_that_is_not_valid_is_a_refusal(stripe: Stripe) -> None:
    with pytest.raises(RefundRefused):
        gateway_to(stripe, "sk_test_of_yesterday").refund(ASKED)


@pytest.mark.parametrize("fault", ["busy", "in_use"])
def test_a_busy_stripe_is_asked_again(stripe: Stripe, gateway: PaymentGateway, fault: str) -> None:
    stripe.faults = [fault]

    with pytest.raises(ProviderBusy):
        gateway.refund(ASKED)

    assert gateway.refund(ASKED).status is RefundStatus.SUCCESS


def test_an_empty_balance_is_asked_again_once_a_person_filled_it_up(
    stripe: Stripe, gateway: PaymentGateway
) -> None:
    stripe.balance = 0
    for _ in range(2):
        with pytest.raises(PersonNeeded, match="balance_insufficient"):
            gateway.refund(ASKED)

    stripe.balance = 10_000

    assert gateway.refund(ASKED).status is RefundStatus.SUCCESS
    assert gateway.refund(ASKED).status is RefundStatus.SUCCESS
    assert len(stripe.refunds) == 1


def test_another_amount_under_the_number_is_for_a_person(gateway: PaymentGateway) -> None:
    gateway.refund(ASKED)

    with pytest.raises(NumberReused, match="4000"):
        gateway.refund(replace(ASKED, amount_minor=4_001))


def test_a_refund_is_found_on_the_last_page(stripe: Stripe, gateway: PaymentGateway) -> None:
    stripe.know("pi_1", 1_000_000)
    gateway.refund(ASKED)
    for _ in range(200):
        stripe.make("pi_1", 1, "succeeded", {})  # by hand, in the dashboard

    assert found(gateway) is RefundStatus.SUCCESS
    assert gateway.find_refund("R2", payment_no="pi_1") is None


def test_a_question_that_is_refused_does_not_say_that_there_is_none(stripe: Stripe) -> None:
    with pytest.raises(UnexpectedAnswer):
        gateway_to(stripe, "sk_test_of_yesterday").find_refund("R1", payment_no="pi_1")
    with pytest.raises(UnexpectedAnswer):
        gateway_to(stripe).find_refund("R1", payment_no="pi_2")


@pytest.mark.parametrize("kind", ["refund.updated", "refund.failed"])
def test_a_callback_tells_of_a_refund(gateway: PaymentGateway, kind: str) -> None:
    notice = gateway.verify_callback(*callback(kind, TOLD, at=NOW), now=NOW)

    assert notice is not None
    assert (notice.event_id, notice.refund_no, notice.payment_no) == ("evt_1", "R1", "pi_1")
    assert (notice.status, notice.amount_minor) == (RefundStatus.SUCCESS, 4_000)


def test_a_callback_of_something_else_tells_of_no_refund(gateway: PaymentGateway) -> None:
    charge = callback("charge.refunded", {"object": "charge", "metadata": {}}, at=NOW)
    by_hand = callback("refund.updated", {**TOLD, "metadata": {}}, at=NOW)

    assert gateway.verify_callback(*charge, now=NOW) is None
    assert gateway.verify_callback(*by_hand, now=NOW) is None


def test_while_the_secret_changes_either_signature_is_enough(gateway: PaymentGateway) -> None:
    headers, body = callback("refund.updated", TOLD, at=NOW)
    ours = headers["stripe-signature"].partition(",")[2]
    other = signed(body, at=NOW, secret="whsec_of_tomorrow")

    assert gateway.verify_callback({"stripe-signature": f"{other},{ours}"}, body, now=NOW)


FIVE_MINUTES = timedelta(minutes=5)


def test_a_callback_is_believed_for_five_minutes(gateway: PaymentGateway) -> None:
    for age in (FIVE_MINUTES, -FIVE_MINUTES):
        assert gateway.verify_callback(*callback("refund.updated", TOLD, at=NOW - age), now=NOW)
    for age in (FIVE_MINUTES + timedelta(seconds=1), timedelta(seconds=-1) - FIVE_MINUTES):
        with pytest.raises(CallbackRejected, match="five minutes"):
            gateway.verify_callback(*callback("refund.updated", TOLD, at=NOW - age), now=NOW)


def odd() -> Iterator[tuple[dict[str, str], bytes]]:
    """Callbacks that are not Stripe's word to us."""
    headers, body = callback("refund.updated", TOLD, at=NOW)
    yield {}, body
    yield {"stripe-signature": ""}, body
    yield {"stripe-signature": "t=,v1="}, body
    yield {"stripe-signature": f"t={int(NOW.timestamp())}"}, body
    yield {"stripe-signature": headers["stripe-signature"].replace("v1=", "v0=")}, body
    yield {"stripe-signature": headers["stripe-signature"].replace("t=", "t=9")}, body
    yield {"stripe-signature": "t=1,v1=é"}, body
    yield headers, body.replace(b"4000", b"9000")
    yield headers, body[:-1]
    yield callback("refund.updated", TOLD, at=NOW, secret="whsec_of_somebody")
    for genuine in (b"", b"[]", b"{", b'{"data": {"object": 1}}', b"\xff", b"null"):
        yield {"stripe-signature": signed(genuine, at=NOW)}, genuine
    yield callback("refund.updated", {**TOLD, "status": "on_the_moon"}, at=NOW)
    yield callback("refund.updated", {**TOLD, "amount": None}, at=NOW)


@pytest.mark.parametrize("number", range(len(list(odd()))))
def test_what_is_not_stripes_word_to_us_is_rejected(number: int) -> None:
    headers, body = list(odd())[number]

    with pytest.raises(CallbackRejected):
        gateway_to(Stripe(url="http://nobody.test")).verify_callback(headers, body, now=NOW)


def test_secrets_are_not_shown(gateway: PaymentGateway) -> None:
    assert SECRET_KEY not in repr(gateway)
    assert WEBHOOK_SECRET not in repr(gateway)


# The whole way: the saga, the webhook, reconciliation


class Desk(ByHand):
    """One payment of 100.00 through Stripe, and its refunds worked by hand."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, refund)
        self.execute(f"{NO_SAGAS}; {NO_PAYMENTS}")
        self.payment = paid(database, method=PaymentMethod("stripe"), payment_no="pi_1")

    def start(self) -> UUID:
        asked = RefundInput(payment_id=self.payment.id, amount=Decimal(40), reason="it broke")
        with Session(self.database) as session, session.begin():
            return request_refund(self.engine, session, asked).saga_id

    def stands(self) -> tuple[str, int]:
        with Session(self.database) as session:
            payment = session.get_one(Payment, self.payment.id)
            return payment.status, payment.refunded_minor


@pytest.fixture(scope="module")
def one_database(new_database: Callable[[], str]) -> Iterator[Database]:
    database = connect(new_database())
    yield database
    database.dispose()


@pytest.fixture
def desk(one_database: Database, stripe: Stripe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(settings, "stripe_url", stripe.url)
    monkeypatch.setattr(settings, "stripe_secret_key", SecretStr(SECRET_KEY))
    monkeypatch.setattr(settings, "stripe_webhook_secret", SecretStr(WEBHOOK_SECRET))
    payment_gateway.cache_clear()
    yield Desk(one_database)
    payment_gateway.cache_clear()


def test_a_refund_waits_for_its_callback(desk: Desk, stripe: Stripe) -> None:
    stripe.faults = ["pending"]
    saga_id = desk.start()
    desk.work_off()
    assert (desk.status(saga_id), *desk.stands()) == ("RUNNING", "refunding", 0)

    told = callback("refund.updated", stripe.decide("succeeded"), at=datetime.now(UTC))
    forged = callback("refund.updated", stripe.refunds[-1], at=datetime.now(UTC), secret="guessed")
    with served(create_app(desk.engine, api_key=None)) as address, calling(address) as http:
        said = [
            http.post("/api/webhooks/stripe", headers=headers, content=body).status_code
            for headers, body in (forged, told, told)
        ]
    desk.work_off()

    assert said == [401, 200, 200]
    assert (desk.status(saga_id), *desk.stands()) == ("COMPLETED", "success", 4_000)
    assert desk.kinds(saga_id).count("signalled") == 1


@pytest.mark.parametrize("fault", ["error_after", "cut_after"])
def test_what_was_done_without_an_answer_completes(desk: Desk, stripe: Stripe, fault: str) -> None:
    stripe.faults = [fault]
    saga_id = desk.start()
    desk.work_off()

    assert (desk.status(saga_id), *desk.stands()) == ("COMPLETED", "success", 4_000)
    assert len(stripe.refunds) == 1


def test_an_error_that_never_ends_goes_back_once_stripe_says_that_there_is_none(
    desk: Desk, stripe: Stripe
) -> None:
    stripe.faults = ["error_before"]
    saga_id = desk.start()
    desk.work_off()

    assert desk.recover_until_rest(saga_id, step=timedelta(seconds=30)) == "COMPENSATED"
    assert desk.stands() == ("success", 0)
    assert stripe.refunds == []


def test_an_empty_balance_is_for_a_person_who_retries_under_the_same_number(
    desk: Desk, stripe: Stripe
) -> None:
    stripe.balance = 0
    saga_id = desk.start()
    desk.work_off()
    assert desk.status(saga_id) == "FAILED"
    assert "fill up the Stripe balance" in desk.row(saga_id)["error_message"]

    stripe.balance = 10_000
    Operator(desk.engine, actor="ann").retry(saga_id, reason="filled up")
    desk.work_off()

    assert (desk.status(saga_id), *desk.stands()) == ("COMPLETED", "success", 4_000)
    assert [refund["metadata"]["refund_no"][-2:] for refund in stripe.refunds] == ["-1"]


def test_a_refund_that_failed_is_tried_again_under_a_new_number(desk: Desk, stripe: Stripe) -> None:
    stripe.faults = ["failed"]
    saga_id = desk.start()
    desk.work_off()
    assert desk.status(saga_id) == "FAILED"

    Operator(desk.engine, actor="ann").retry(saga_id, reason="the card is valid again")
    desk.work_off()

    assert (desk.status(saga_id), *desk.stands()) == ("COMPLETED", "success", 4_000)
    assert [refund["metadata"]["refund_no"][-2:] for refund in stripe.refunds] == ["-1", "-2"]


def test_a_refund_that_fails_after_it_had_succeeded_is_found_by_reconciliation(
    desk: Desk, stripe: Stripe
) -> None:
    saga_id = desk.start()
    desk.work_off()
    failed = callback("refund.failed", stripe.decide("failed"), at=datetime.now(UTC))
    with served(create_app(desk.engine, api_key=None)) as address, calling(address) as http:
        said = http.post("/api/webhooks/stripe", headers=failed[0], content=failed[1])

    Reconciler(desk.engine).run()

    assert said.status_code == 200
    assert (desk.status(saga_id), *desk.stands()) == ("COMPLETED", "success", 4_000)
    with Session(desk.database) as session:
        assert session.scalars(select(RefundCheck.difference)).all() == ["not_refunded"]


def test_the_doctor_tells_how_stripe_is_set_up(
    desk: Desk,  # noqa: ARG001 - it is set up with it
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "sandbox_url", None)
    [well] = [finding for finding in health.findings() if finding.name == "stripe payments"]
    monkeypatch.setattr(settings, "stripe_webhook_secret", None)
    [bad] = [finding for finding in health.findings() if finding.level is Level.BAD]

    assert (well.level, bad.name) == (Level.OK, "STRIPE_WEBHOOK_SECRET")
