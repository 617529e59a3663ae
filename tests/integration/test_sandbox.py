"""The provider, asked by the real libraries: its rules.

Our gateways are not used here: this is a second opinion on the wire.
"""

import json
import threading
import time
import urllib.error
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.wires import Alipay, Merchant, Provider, Wechat

pytest_plugins = ["tests.integration.merchant", "tests.integration.wired"]


def test_a_refund_is_done_and_found(provider: Provider, merchant: Merchant) -> None:
    assert merchant.refund() == merchant.done
    assert merchant.find() == merchant.found
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 1)}


def test_wechat_shows_a_refund_as_its_documents_say(wechat: Wechat) -> None:
    wechat.refund("R1", 6_000)

    _, text = wechat.library.query_refund("R1")

    shown = json.loads(text)
    assert shown.pop("create_time")[-6:] == shown.pop("success_time")[-6:] == "+08:00"
    assert len(shown.pop("refund_id")) == len(shown.pop("transaction_id")) == 28
    assert shown.pop("amount") == {
        "total": 10_000,
        "payer_total": 10_000,
        "settlement_total": 10_000,
        "currency": "CNY",
        "refund": 6_000,
        "payer_refund": 6_000,
        "settlement_refund": 6_000,
        "discount_refund": 0,
    }
    assert shown == {
        "out_refund_no": "R1",
        "out_trade_no": "PAY1",
        "channel": "ORIGINAL",
        "user_received_account": "the payer's balance",
        "status": "SUCCESS",
        "funds_account": "AVAILABLE",
    }


def test_every_sign_that_a_number_may_have_can_be_asked_after(wechat: Wechat) -> None:
    number = "aZ09_|*@-" + "x" * 55

    assert wechat.refund(number) == "SUCCESS"
    # The library signs the path as it is told, and sends another: it must be told it as it is sent.
    assert wechat.find(urllib.parse.quote(number, safe="*@")) == "SUCCESS"


def test_the_same_number_is_the_same_refund(provider: Provider, merchant: Merchant) -> None:
    answers = [merchant.refund(amount_minor=6_000) for _ in range(3)]

    assert answers == [merchant.done, merchant.again, merchant.again]
    assert provider.books() == {"R1": ("60.00", "SUCCESS", 3)}


@pytest.mark.parametrize("other", [{"amount_minor": 100}, {"payment_no": "PAY2"}])
def test_a_number_cannot_be_used_for_another_refund(
    provider: Provider, merchant: Merchant, other: dict[str, Any]
) -> None:
    provider.know("PAY2", merchant.name)
    merchant.refund()

    assert merchant.refund(**other) == merchant.reused
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 2)}


def test_alipay_takes_a_refund_without_a_number_for_the_payments_only_one(
    provider: Provider, alipay: Alipay
) -> None:
    said = [alipay.refund(None, 2_000), alipay.refund(None, 2_000)]

    assert said == ["Y", "N"]
    assert provider.books() == {"PAY1": ("20.00", "SUCCESS", 2)}


def test_no_more_is_refunded_than_is_left(provider: Provider, merchant: Merchant) -> None:
    merchant.refund("R1", 6_000)

    assert merchant.refund("R2", 4_001) == merchant.too_much
    assert merchant.refund("R3", 4_000) == merchant.done
    assert set(provider.books()) == {"R1", "R3"}


def test_an_unknown_payment_is_not_refunded_nor_one_that_another_provider_took(
    provider: Provider, merchant: Merchant
) -> None:
    others = "alipay" if merchant.name == "wechat" else "wechat"
    provider.know("PAY2", others)

    assert merchant.refund(payment_no="PAY404") == merchant.no_payment
    assert merchant.refund(payment_no="PAY2") == merchant.no_payment
    assert provider.books() == {}


def test_an_unknown_refund_is_not_found(merchant: Merchant) -> None:
    assert merchant.find("R404") == merchant.unknown


def test_wechat_wants_to_hear_what_was_paid(provider: Provider, wechat: Wechat) -> None:
    assert wechat.refund(amount_minor=100, total_minor=9_999) == "INVALID_REQUEST"
    assert provider.books() == {}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("amount.refund", {"amount": {"refund": 0, "total": 10_000, "currency": "CNY"}}),
        ("amount.refund", {"amount": {"refund": "1", "total": 10_000, "currency": "CNY"}}),
        ("amount.refund", {"amount": {"refund": 1.5, "total": 10_000, "currency": "CNY"}}),
        ("amount.refund", {"amount": {"refund": 10_001, "total": 10_000, "currency": "CNY"}}),
        ("amount.currency", {"amount": {"refund": 1, "total": 10_000, "currency": "USD"}}),
        ("out_refund_no", {"out_refund_no": "R 1"}),
        ("out_refund_no", {"out_refund_no": "R" * 65}),
        ("out_refund_no", {"out_refund_no": "R1\n"}),
        ("reason", {"reason": "破" * 27}),
        ("notify_url", {"notify_url": "not a url"}),
    ],
)
def test_a_wrong_request_to_wechat_is_answered_with_its_field(
    wechat: Wechat, field: str, wrong: dict[str, Any]
) -> None:
    good = {"out_refund_no": "R1", "amount": {"refund": 1, "total": 10_000, "currency": "CNY"}}

    status, text = wechat.library.refund(out_trade_no="PAY1", **good | wrong)

    answer = json.loads(text)
    assert (status, answer["code"]) == (400, "PARAM_ERROR")
    assert answer["message"].startswith(f"{field}: ")


@pytest.mark.parametrize("amount", ["0.001", "0", "-1", "NaN", "lots", None, True])
def test_a_wrong_amount_is_refused_by_alipay(alipay: Alipay, amount: Any) -> None:
    answer = alipay.library.api_alipay_trade_refund(amount, out_trade_no="PAY1")

    assert answer["sub_code"] == "ACQ.INVALID_PARAMETER"
    assert "refund_amount" in answer["sub_msg"]


def test_wechat_believes_only_its_merchants_own_signature(
    provider: Provider, wechat: Wechat, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = wechat.library._core
    for name, other in (("_mchid", "1900000002"), ("_cert_serial_no", "00")):
        with monkeypatch.context() as patch:
            patch.setattr(core, name, other)
            assert wechat.refund() == "SIGN_ERROR"
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda now=time.time: now() - 301)
        headers = {"Authorization": authorization(wechat, "GET", "/v3/refund/domestic/refunds/R1")}
    stale = provider.http.get("/v3/refund/domestic/refunds/R1", headers=headers)
    headers["Authorization"] = authorization(wechat, "GET", "/v3/refund/domestic/refunds/R2")
    others = provider.http.get("/v3/refund/domestic/refunds/R1", headers=headers)
    nobodys = provider.http.get("/v3/refund/domestic/refunds/R1")

    assert [answer.status_code for answer in (stale, others, nobodys)] == [401] * 3
    assert provider.books() == {}


def authorization(wechat: Wechat, method: str, path: str) -> str:
    from wechatpayv3.utils import build_authorization  # noqa: PLC0415

    core = wechat.library._core
    signature: str = build_authorization(
        path, method, core._mchid, core._cert_serial_no, core._private_key
    )
    return signature


def test_alipay_believes_only_its_merchants_own_signature(
    provider: Provider, alipay: Alipay
) -> None:
    signed = alipay.library.sign_data(
        alipay.library.build_body(
            "alipay.trade.refund", {"out_trade_no": "PAY1", "refund_amount": "1.00"}
        )
    )
    changed = signed.replace("1.00", "9.00")
    elsewhere = signed.replace("2021000000000001", "2021000000000002")

    codes = []
    for query in (changed, elsewhere):
        answer = provider.http.get(f"/gateway.do?{query}").json()
        codes.append(answer["alipay_trade_refund_response"]["sub_code"])

    assert codes == ["isv.invalid-signature", "isv.invalid-app-id"]
    assert provider.http.post("/gateway.do", content=signed).json()["sign"]
    assert list(provider.books()) == ["PAY1"]


def test_payments_are_learnt_in_bulk_and_again(provider: Provider) -> None:
    many = {
        "payments": [
            {"paymentNo": f"PAY{number}", "amount": "100.00", "method": "alipay"}
            for number in range(1_000, 6_000)
        ]
    }
    for _ in range(2):
        answer = provider.http.post("/control/payments", json=many)
        assert (answer.status_code, answer.json()) == (200, {"known": 5_000})


def test_a_payment_does_not_change_its_amount(provider: Provider, wechat: Wechat) -> None:
    payments = [
        {"paymentNo": number, "amount": "900.00", "method": "wechat"} for number in ("PAY1", "PAY2")
    ]

    answer = provider.http.post("/control/payments", json={"payments": payments})

    assert answer.status_code == 409
    assert "PAY1" in answer.json()["detail"]
    assert wechat.refund(payment_no="PAY2", total_minor=90_000) == "RESOURCE_NOT_EXISTS"


def test_twenty_at_once_cannot_refund_more_than_was_paid(
    provider: Provider, merchant: Merchant
) -> None:
    together = threading.Barrier(20)

    def one(number: int) -> str:
        together.wait()
        return merchant.refund(f"R{number}", 3_000)

    with ThreadPoolExecutor(20) as threads:
        said = sorted(threads.map(one, range(20)))

    assert said == sorted([merchant.too_much] * 17 + [merchant.done] * 3)
    assert len(provider.books()) == 3


def test_twenty_at_once_with_one_number_are_one_refund(provider: Provider, alipay: Alipay) -> None:
    together = threading.Barrier(20)

    def one(_: int) -> str:
        together.wait()
        return alipay.refund()

    with ThreadPoolExecutor(20) as threads:
        assert sorted(threads.map(one, range(20))) == ["N"] * 19 + ["Y"]

    assert provider.books() == {"R1": ("100.00", "SUCCESS", 20)}
