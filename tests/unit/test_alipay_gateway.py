"""Alipay's gateway, with the real library, against answers and callbacks of all kinds."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateways.payments import (
    CallbackRejected,
    NumberReused,
    PersonNeeded,
    ProviderBusy,
    RefundNotice,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)
from gateways.payments.accounts import AlipayAccount
from gateways.payments.alipay import AlipayGateway
from tests.unit.wire import (
    APP_ID,
    IN_CHINA,
    NOW,
    Answer,
    Wire,
    alipay_answer,
    alipay_form,
    private_pem,
    public_pem,
)

REFUND, QUERY = "alipay.trade.refund", "alipay.trade.fastpay.refund.query"
REQUEST = RefundRequest(
    refund_no="R1",
    payment_no="PAY1",
    payment_minor=10_000,
    amount_minor=2_500,
    currency="CNY",
    reason="屏幕碎了",
)
PAYER = "159****5620"
DONE = {"code": "10000", "msg": "Success", "out_trade_no": "PAY1", "fund_change": "Y"}
REPEATED = DONE | {"fund_change": "N", "refund_fee": "99.00"}
NOTHING = {"code": "10000", "msg": "Success", "out_trade_no": "PAY1"}
ON_ITS_WAY = NOTHING | {"out_request_no": "R1", "refund_amount": "25.00"}
FOUND = ON_ITS_WAY | {"refund_status": "REFUND_SUCCESS"}
NOTICE = {
    "notify_id": "EV-1",
    "notify_time": IN_CHINA,
    "app_id": APP_ID,
    "out_trade_no": "PAY1",
    "out_biz_no": "R1",
    "refund_fee": "25.00",
    "subject": "a & b = 手机",
    "empty": "",
}


@pytest.fixture(scope="module")
def gateway(ours: rsa.RSAPrivateKey, theirs: rsa.RSAPrivateKey, server: Wire) -> AlipayGateway:
    given = {
        "ALIPAY_APP_ID": APP_ID,
        "ALIPAY_PRIVATE_KEY": private_pem(ours),
        "ALIPAY_PUBLIC_KEY": public_pem(theirs),
        "ALIPAY_URL": f"{server.url}/gateway.do",
    }
    account = AlipayAccount.read(given)
    assert account is not None
    return AlipayGateway(account, timedelta(seconds=5))


def failed(sub_code: str, code: str = "40004") -> dict[str, str]:
    return {"code": code, "msg": "Failed", "sub_code": sub_code, "sub_msg": "不"}


def test_a_refund_is_asked_for_under_its_own_number(
    gateway: AlipayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    provider.answers = [alipay_answer(theirs, REFUND, DONE)]

    answer = gateway.refund(REQUEST)

    assert (answer.refund_no, answer.status, answer.amount_minor, answer.raw) == (
        "R1",
        RefundStatus.SUCCESS,
        2_500,
        DONE,
    )
    sent = parse_qs(urlsplit(provider.asked[0].path).query)
    assert json.loads(sent["biz_content"][0]) == {
        "out_trade_no": "PAY1",
        "out_request_no": "R1",
        "refund_amount": "25.00",
        "refund_reason": "屏幕碎了",
    }
    asked_at = datetime.strptime(sent["timestamp"][0] + " +0800", "%Y-%m-%d %H:%M:%S %z")
    assert abs(datetime.now(UTC) - asked_at) < timedelta(minutes=1)


def test_a_repeat_that_moved_no_money_is_asked_after(
    gateway: AlipayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    repeated = alipay_answer(theirs, REFUND, REPEATED)
    for found, status in (
        (FOUND, RefundStatus.SUCCESS),
        (ON_ITS_WAY, RefundStatus.PROCESSING),
        (NOTHING, RefundStatus.PROCESSING),
    ):
        provider.answers = [repeated, alipay_answer(theirs, QUERY, found)]
        assert gateway.refund(REQUEST).status is status

    provider.answers = [repeated, alipay_answer(theirs, QUERY, FOUND | {"refund_amount": "99.00"})]
    with pytest.raises(NumberReused) as reused:
        gateway.refund(REQUEST)
    assert reused.value.amount_minor == 9_900


def test_in_a_query_10000_alone_does_not_mean_refunded(
    gateway: AlipayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    for said, status in (
        (NOTHING, None),
        (failed("ACQ.TRADE_NOT_EXIST"), None),
        (ON_ITS_WAY, RefundStatus.PROCESSING),
        (FOUND, RefundStatus.SUCCESS),
    ):
        provider.answers = [alipay_answer(theirs, QUERY, said)]
        found = gateway.find_refund("R1", payment_no="PAY1")
        assert (found and found.status) == status


@pytest.mark.parametrize(
    ("sub_code", "error"),
    [
        ("ACQ.TRADE_NOT_EXIST", RefundRefused),
        ("ACQ.TRADE_NOT_ALLOW_REFUND", RefundRefused),
        ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", RefundRefused),
        ("ACQ.SELLER_BALANCE_NOT_ENOUGH", PersonNeeded),
        ("ACQ.SYSTEM_ERROR", UnexpectedAnswer),
        ("ACQ.NEVER_HEARD_OF", UnexpectedAnswer),
        ("isp.unknow-error", UnexpectedAnswer),
        ("aop.unknow-error", UnexpectedAnswer),
        ("isv.app-call-limited", ProviderBusy),
        ("isv.invalid-signature", RefundRefused),
    ],
)
def test_every_code_means_what_the_table_says(
    gateway: AlipayGateway,
    provider: Wire,
    theirs: rsa.RSAPrivateKey,
    sub_code: str,
    error: type[Exception],
) -> None:
    provider.answers = [alipay_answer(theirs, REFUND, failed(sub_code))]

    with pytest.raises(error):
        gateway.refund(REQUEST)
    assert len(provider.asked) == 1


def test_a_number_used_with_another_amount_is_looked_up_before_it_is_refused(
    gateway: AlipayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    for sub_code in ("ACQ.DISCORDANT_REPEAT_REQUEST", "ACQ.TRADE_HAS_CLOSE"):
        said = alipay_answer(theirs, REFUND, failed(sub_code))
        provider.answers = [said, alipay_answer(theirs, QUERY, FOUND)]
        assert gateway.refund(REQUEST).status is RefundStatus.SUCCESS

        other = FOUND | {"refund_amount": "9.00"}
        provider.answers = [said, alipay_answer(theirs, QUERY, other)]
        with pytest.raises(NumberReused):
            gateway.refund(REQUEST)

        provider.answers = [said, alipay_answer(theirs, QUERY, NOTHING)]
        with pytest.raises(RefundRefused, match=sub_code):
            gateway.refund(REQUEST)


def test_unsigned_only_the_gateways_own_no_is_believed(
    gateway: AlipayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    for said, error in (
        (failed("isv.invalid-app-id", "40002"), RefundRefused),
        (failed("ACQ.TRADE_NOT_EXIST"), UnexpectedAnswer),
        (DONE, UnexpectedAnswer),
    ):
        provider.answers = [alipay_answer(theirs, REFUND, said, sign=False)]
        with pytest.raises(error):
            gateway.refund(REQUEST)
    for said in (NOTHING, FOUND, failed("ACQ.TRADE_NOT_EXIST")):
        provider.answers = [alipay_answer(theirs, QUERY, said, sign=False)]
        with pytest.raises(UnexpectedAnswer):
            gateway.find_refund("R1", payment_no="PAY1")


@pytest.mark.parametrize("method", [REFUND, QUERY])
def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown(
    gateway: AlipayGateway,
    provider: Wire,
    ours: rsa.RSAPrivateKey,
    theirs: rsa.RSAPrivateKey,
    method: str,
) -> None:
    told = (DONE if method == REFUND else FOUND) | {"buyer_logon_id": PAYER}
    whole = alipay_answer(theirs, method, told)
    for answer in (
        alipay_answer(ours, method, told),
        replace(whole, body=whole.body.replace(b"PAY1", b"PAY2")),
        replace(whole, body=whole.body[:-30]),
        alipay_answer(theirs, "alipay.trade.query", told),
        alipay_answer(theirs, method, told | {"out_trade_no": "PAY2"}),
        alipay_answer(theirs, method, told | {"code": "10003", "sub_code": None}),
        alipay_answer(theirs, method, told | {"fund_change": None, "refund_status": "WELL"}),
        alipay_answer(theirs, method, told | {"fund_change": "X", "refund_amount": "lots"}),
        alipay_answer(theirs, method, "text"),
        alipay_answer(theirs, method, []),
        Answer(b"<html>Welcome to the hotel</html>"),
        Answer(b""),
        Answer(b"[]"),
        Answer(b"{}"),
        Answer(b"null"),
        Answer(b"\xff\xfe"),
        Answer(b'{"sign":7}'),
        Answer(b'{"error_response":"no"}'),
        Answer(b"", 204),
        Answer(b"Bad Gateway", 502),
        replace(whole, status=500),
    ):
        provider.answers = [answer]
        with pytest.raises(UnexpectedAnswer) as raised:
            _ = (
                gateway.refund(REQUEST)
                if method == REFUND
                else gateway.find_refund("R1", payment_no="PAY1")
            )
        assert PAYER not in str(raised.value)


def test_another_currency_is_refused_before_anything_is_sent(
    gateway: AlipayGateway, provider: Wire
) -> None:
    with pytest.raises(RefundRefused, match="CURRENCY_NOT_SUPPORTED"):
        gateway.refund(replace(REQUEST, currency="USD"))
    assert not provider.asked


# Callbacks


def test_a_callback_tells_that_its_refund_is_to_be_asked_after(
    gateway: AlipayGateway, theirs: rsa.RSAPrivateKey
) -> None:
    for minutes in (-5, 0, 5):
        now = NOW + timedelta(minutes=minutes)
        assert gateway.verify_callback({}, alipay_form(theirs, NOTICE), now=now) == RefundNotice(
            event_id="EV-1", refund_no="R1", payment_no="PAY1", status=None, amount_minor=2_500
        )


@pytest.mark.parametrize("missing", ["out_biz_no", "refund_fee"])
def test_a_genuine_callback_of_a_payment_tells_nothing(
    gateway: AlipayGateway, theirs: rsa.RSAPrivateKey, missing: str
) -> None:
    said = {name: word for name, word in NOTICE.items() if name != missing}

    assert gateway.verify_callback({}, alipay_form(theirs, said), now=NOW) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_id": "2021000000000002"},
        {"app_id": ""},
        {"notify_id": ""},
        {"out_trade_no": ""},
        {"refund_fee": "lots"},
        {"refund_fee": "-25.00"},
        {"notify_time": ""},
        {"notify_time": "yesterday"},
        {"notify_time": "2026-11-22 12:00:00"},
        {"notify_time": "2026-11-22 19:54:59"},
        {"notify_time": "2026-11-22 20:05:01"},
    ],
    ids=str,
)
def test_a_signed_callback_that_is_wrong_old_or_early_is_rejected(
    gateway: AlipayGateway, theirs: rsa.RSAPrivateKey, wrong: dict[str, str]
) -> None:
    with pytest.raises(CallbackRejected):
        gateway.verify_callback({}, alipay_form(theirs, NOTICE | wrong), now=NOW)


def test_forged_and_odd_callbacks_are_rejected(
    gateway: AlipayGateway, ours: rsa.RSAPrivateKey, theirs: rsa.RSAPrivateKey
) -> None:
    genuine = alipay_form(theirs, NOTICE)
    odd: list[Any] = [
        alipay_form(ours, NOTICE),
        genuine.replace(b"25.00", b"26.00"),
        genuine + b"&more=1",
        genuine + b"&refund_fee=26.00",
        genuine + b"&refund_fee=25.00",
        genuine[: len(genuine) // 2],
        alipay_form(theirs, NOTICE, sign=""),
        alipay_form(theirs, NOTICE, sign="A"),
        alipay_form(theirs, NOTICE, sign="é"),
        alipay_form(theirs, NOTICE, sign_type="RSA"),
        alipay_form(theirs, NOTICE, sign_type=""),
        urlencode(NOTICE).encode(),
        b"",
        b"&",
        b"sign",
        b"{}",
        b"\xff\xfe",
        b"sign=%ff&sign_type=RSA2",
        b"a=1&" * 1_000,
    ]
    for body in odd:
        with pytest.raises(CallbackRejected):
            gateway.verify_callback({}, body, now=NOW)
