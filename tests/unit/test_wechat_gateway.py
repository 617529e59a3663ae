"""WeChat Pay's gateway, with the real library, against answers and callbacks of all kinds."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

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
from gateways.payments.accounts import WechatPayAccount
from gateways.payments.wechat import WechatPayGateway
from tests.unit.wire import (
    APIV3_KEY,
    MCHID,
    NOW,
    PUBLIC_KEY_ID,
    Answer,
    Wire,
    private_pem,
    public_pem,
    wechat_answer,
    wechat_event,
    wechat_headers,
)

REQUEST = RefundRequest(
    refund_no="R1",
    payment_no="PAY1",
    payment_minor=10_000,
    amount_minor=2_500,
    currency="CNY",
    reason="broken",
    notify_url="https://us.test/api/webhooks/wechat",
)
DONE: dict[str, Any] = {
    "out_refund_no": "R1",
    "out_trade_no": "PAY1",
    "status": "SUCCESS",
    "user_received_account": "支付用户零钱",
    "amount": {"refund": 2_500, "total": 10_000, "currency": "CNY"},
}
OTHER_AMOUNT = DONE | {"amount": DONE["amount"] | {"refund": 9_900}}
RESOURCE: dict[str, Any] = {
    "mchid": MCHID,
    "out_refund_no": "R1",
    "out_trade_no": "PAY1",
    "refund_status": "SUCCESS",
    "amount": {"refund": 2_500, "total": 10_000},
}
NONE = {"code": "RESOURCE_NOT_EXISTS", "message": "退款单不存在"}
INVALID = {"code": "INVALID_REQUEST", "message": "不一致"}


@pytest.fixture(scope="module")
def gateway(ours: rsa.RSAPrivateKey, theirs: rsa.RSAPrivateKey, server: Wire) -> WechatPayGateway:
    given = {
        "WECHATPAY_MCHID": MCHID,
        "WECHATPAY_CERT_SERIAL_NO": "5157F09E",
        "WECHATPAY_PRIVATE_KEY": private_pem(ours),
        "WECHATPAY_APIV3_KEY": APIV3_KEY,
        "WECHATPAY_PUBLIC_KEY": public_pem(theirs),
        "WECHATPAY_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
        "WECHATPAY_URL": server.url,
    }
    account = WechatPayAccount.read(given)
    assert account is not None
    return WechatPayGateway(account, timedelta(seconds=5))


def test_a_refund_is_asked_for_in_fen_with_the_payments_total(
    gateway: WechatPayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    provider.answers = [wechat_answer(theirs, DONE)]

    answer = gateway.refund(replace(REQUEST, reason="屏幕碎了" * 20))

    assert (answer.refund_no, answer.status, answer.amount_minor, answer.raw) == (
        "R1",
        RefundStatus.SUCCESS,
        2_500,
        DONE,
    )
    sent = json.loads(provider.asked[0].body)
    # 80 bytes are 26 of these characters, and no half of the next.
    assert sent.pop("reason") == ("屏幕碎了" * 20)[:26]
    assert sent == {
        "out_refund_no": "R1",
        "out_trade_no": "PAY1",
        "amount": {"refund": 2_500, "total": 10_000, "currency": "CNY"},
        "notify_url": REQUEST.notify_url,
    }


@pytest.mark.parametrize("status", list(RefundStatus))
def test_accepted_is_not_taken_for_refunded(
    gateway: WechatPayGateway, provider: Wire, theirs: rsa.RSAPrivateKey, status: RefundStatus
) -> None:
    provider.answers = [wechat_answer(theirs, DONE | {"status": status.value})]

    assert gateway.refund(REQUEST).status is status
    found = gateway.find_refund("R1", payment_no="PAY1")
    assert found is not None
    assert found.status is status


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ((400, "PARAM_ERROR"), RefundRefused),
        ((401, "SIGN_ERROR"), RefundRefused),
        ((403, "NO_AUTH"), RefundRefused),
        ((403, "USER_ACCOUNT_ABNORMAL"), RefundRefused),
        ((403, "NOT_ENOUGH"), PersonNeeded),
        ((404, "RESOURCE_NOT_EXISTS"), RefundRefused),
        ((404, "MCH_NOT_EXISTS"), RefundRefused),
        ((429, "FREQUENCY_LIMITED"), ProviderBusy),
        ((500, "SYSTEM_ERROR"), UnexpectedAnswer),
        ((500, "PARAM_ERROR"), UnexpectedAnswer),
        ((400, "NEVER_HEARD_OF"), UnexpectedAnswer),
    ],
)
def test_every_code_means_what_the_table_says(
    gateway: WechatPayGateway,
    provider: Wire,
    theirs: rsa.RSAPrivateKey,
    said: tuple[int, str],
    error: type[Exception],
) -> None:
    status, code = said
    provider.answers = [wechat_answer(theirs, {"code": code, "message": "不"}, status)]

    with pytest.raises(error):
        gateway.refund(REQUEST)
    assert len(provider.asked) == 1


def test_an_invalid_request_is_refused_only_when_no_refund_has_the_number(
    gateway: WechatPayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    invalid = wechat_answer(theirs, INVALID, 400)
    provider.answers = [invalid, wechat_answer(theirs, NONE, 404)]
    with pytest.raises(RefundRefused, match="INVALID_REQUEST"):
        gateway.refund(REQUEST)

    provider.answers = [invalid, wechat_answer(theirs, DONE | {"status": "PROCESSING"})]
    assert gateway.refund(REQUEST).status is RefundStatus.PROCESSING

    provider.answers = [invalid, wechat_answer(theirs, OTHER_AMOUNT)]
    with pytest.raises(NumberReused) as reused:
        gateway.refund(REQUEST)
    assert (reused.value.refund_no, reused.value.amount_minor) == ("R1", 9_900)

    provider.answers = [invalid, Answer(b"Bad Gateway", 502)]
    with pytest.raises(UnexpectedAnswer):
        gateway.refund(REQUEST)


def test_another_refund_under_the_number_is_never_taken_for_this_one(
    gateway: WechatPayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    provider.answers = [wechat_answer(theirs, OTHER_AMOUNT)]
    with pytest.raises(NumberReused):
        gateway.refund(REQUEST)

    provider.answers = [wechat_answer(theirs, DONE | {"out_trade_no": "PAY2"})]
    with pytest.raises(NumberReused):
        gateway.refund(REQUEST)
    with pytest.raises(NumberReused):
        gateway.find_refund("R1", payment_no="PAY1")


def unsigned(body: bytes, status: int = 200) -> Answer:
    return Answer(body, status, {"Content-Type": "application/json"})


@pytest.mark.parametrize("asks", ["refund", "query"])
def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown(
    gateway: WechatPayGateway,
    provider: Wire,
    ours: rsa.RSAPrivateKey,
    theirs: rsa.RSAPrivateKey,
    asks: str,
) -> None:
    whole = wechat_answer(theirs, DONE)
    for answer in (
        unsigned(json.dumps(DONE).encode()),
        wechat_answer(ours, DONE),
        replace(whole, body=whole.body.replace(b"2500", b"2501")),
        unsigned(b"<html>Welcome to the hotel</html>"),
        unsigned(b'{"code"', 400),
        unsigned(b"[]", 404),
        unsigned(b'{"detail":"Not Found"}', 404),
        unsigned(b'{"code": ["PARAM_ERROR"]}', 400),
        Answer(b"\xff\xfe", 500),
        Answer(b"", 429),
        Answer(b"", 503, {"Retry-After": "1"}),
        wechat_answer(theirs, []),
        wechat_answer(theirs, {}),
        wechat_answer(theirs, DONE | {"status": "WELL"}),
        wechat_answer(theirs, DONE | {"status": None}),
        wechat_answer(theirs, DONE | {"out_refund_no": "R2"}),
        wechat_answer(theirs, DONE | {"amount": 2_500}),
        wechat_answer(theirs, DONE | {"amount": {"refund": "2500"}}),
        wechat_answer(theirs, DONE | {"amount": {"refund": 2_500, "currency": "USD"}}),
    ):
        provider.answers = [answer]
        with pytest.raises(UnexpectedAnswer) as raised:
            _ = (
                gateway.refund(REQUEST)
                if asks == "refund"
                else gateway.find_refund("R1", payment_no="PAY1")
            )
        assert DONE["user_received_account"] not in str(raised.value)


def test_only_the_providers_own_word_means_that_there_is_no_refund(
    gateway: WechatPayGateway, provider: Wire, theirs: rsa.RSAPrivateKey
) -> None:
    provider.answers = [wechat_answer(theirs, NONE, 404)]
    assert gateway.find_refund("R|1*@", payment_no="PAY1") is None
    assert provider.asked[0].path.endswith("/refunds/R%7C1*@")

    provider.answers = [wechat_answer(theirs, {"code": "MCH_NOT_EXISTS", "message": ""}, 404)]
    with pytest.raises(UnexpectedAnswer):
        gateway.find_refund("R1", payment_no="PAY1")


def test_another_currency_is_refused_before_anything_is_sent(
    gateway: WechatPayGateway, provider: Wire
) -> None:
    with pytest.raises(RefundRefused, match="CURRENCY_NOT_SUPPORTED"):
        gateway.refund(replace(REQUEST, currency="USD"))
    assert not provider.asked


# Callbacks


def test_a_callback_tells_of_its_refund(
    gateway: WechatPayGateway, theirs: rsa.RSAPrivateKey
) -> None:
    body = wechat_event(RESOURCE)

    for minutes in (-5, 0, 5):
        headers = wechat_headers(theirs, body, at=int(NOW.timestamp()) + 60 * minutes)
        assert gateway.verify_callback(headers, body, now=NOW) == RefundNotice(
            event_id="EV-1",
            refund_no="R1",
            payment_no="PAY1",
            status=RefundStatus.SUCCESS,
            amount_minor=2_500,
        )


def test_a_genuine_callback_of_something_else_tells_nothing(
    gateway: WechatPayGateway, theirs: rsa.RSAPrivateKey
) -> None:
    body = wechat_event({"trade_state": "SUCCESS"}, event_type="TRANSACTION.SUCCESS")
    headers = wechat_headers(theirs, body, at=int(NOW.timestamp()))

    assert gateway.verify_callback(headers, body, now=NOW) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"wechatpay-signature": ""},
        {"wechatpay-signature": "AAAA"},
        {"wechatpay-signature": "not base64 é"},
        {"wechatpay-signature-type": "WECHATPAY2-SM2-WITH-SM3"},
        {"wechatpay-nonce": "another"},
        {"wechatpay-serial": "5157F09E"},
        {"wechatpay-serial": "not a number"},
        {"wechatpay-timestamp": ""},
        {"wechatpay-timestamp": "soon"},
        {"wechatpay-timestamp": "-1"},
        {"wechatpay-timestamp": "٣"},
        {"wechatpay-timestamp": "9" * 400},
        {"wechatpay-timestamp": f"{NOW.timestamp():.0f} "},
    ],
    ids=lambda headers: " ".join(f"{name}={word[:20]}" for name, word in headers.items()),
)
def test_a_callback_with_one_wrong_header_is_rejected(
    gateway: WechatPayGateway, provider: Wire, theirs: rsa.RSAPrivateKey, headers: dict[str, str]
) -> None:
    body = wechat_event(RESOURCE)
    genuine = wechat_headers(theirs, body, at=int(NOW.timestamp()))

    with pytest.raises(CallbackRejected):
        gateway.verify_callback(genuine | headers, body, now=NOW)
    assert not provider.asked, "a stranger made us call the provider"


def test_old_early_and_forged_callbacks_are_rejected(
    gateway: WechatPayGateway, ours: rsa.RSAPrivateKey, theirs: rsa.RSAPrivateKey
) -> None:
    body = wechat_event(RESOURCE)
    for key, at in (
        (theirs, int(NOW.timestamp()) - 301),
        (theirs, int(NOW.timestamp()) + 301),
        (theirs, 0),
        (ours, int(NOW.timestamp())),
    ):
        with pytest.raises(CallbackRejected):
            gateway.verify_callback(wechat_headers(key, body, at=at), body, now=NOW)
    with pytest.raises(CallbackRejected):
        gateway.verify_callback({}, body, now=NOW)


ODD_BODIES = [
    b"",
    b"\xff\xfe\xfd",
    b"null",
    b"[]",
    b'"REFUND.SUCCESS"',
    b"{}",
    wechat_event(RESOURCE)[:-20],
    wechat_event(RESOURCE, resource_type="plain"),
    wechat_event(RESOURCE, resource=None),
    wechat_event(RESOURCE, resource="text"),
    wechat_event(RESOURCE, resource={"algorithm": "AEAD_AES_256_GCM"}),
    wechat_event(RESOURCE, resource={"algorithm": "ROT13", "ciphertext": "x", "nonce": "x"}),
    *(
        wechat_event(
            RESOURCE, resource={"algorithm": "AEAD_AES_256_GCM", "ciphertext": text, "nonce": nonce}
        )
        for text, nonce in (("%%%", "twelve-bytes"), ("AAAA", "twelve-bytes"), ("AAAA", "x"))
    ),
    wechat_event(RESOURCE, id=None),
    wechat_event(RESOURCE, id=7),
    wechat_event(b"\xff\xfe"),
    wechat_event(b'{"mchid"'),
    wechat_event([]),
    wechat_event("text"),
    wechat_event({}),
    wechat_event(RESOURCE | {"mchid": "1900000002"}),
    wechat_event(RESOURCE | {"out_refund_no": ""}),
    wechat_event(RESOURCE | {"out_trade_no": None}),
    wechat_event(RESOURCE | {"refund_status": "WELL"}),
    wechat_event(RESOURCE | {"refund_status": ["SUCCESS"]}),
    wechat_event(RESOURCE | {"amount": {}}),
    wechat_event(RESOURCE | {"amount": {"refund": "2500"}}),
    wechat_event(RESOURCE | {"amount": {"refund": True}}),
    wechat_event(RESOURCE | {"amount": {"refund": -1}}),
    wechat_event({name: RESOURCE[name] for name in RESOURCE if name != "out_refund_no"}),
]


@pytest.mark.parametrize("number", range(len(ODD_BODIES)))
def test_a_signed_callback_that_makes_no_sense_is_rejected(
    gateway: WechatPayGateway, theirs: rsa.RSAPrivateKey, number: int
) -> None:
    body = ODD_BODIES[number]
    headers = wechat_headers(theirs, body, at=int(NOW.timestamp()))

    with pytest.raises(CallbackRejected) as rejected:
        gateway.verify_callback(headers, body, now=NOW)
    assert not re.search(APIV3_KEY, str(rejected.value))
