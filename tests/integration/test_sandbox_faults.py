"""The provider, asked by the real libraries and steered over HTTP: its faults.

Our gateways are not used here: this is a second opinion on the wire.
"""

import threading
import time
import urllib.error
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

from tests.integration.wires import Alipay, Merchant, Provider, Wechat, free_port, until

pytest_plugins = ["tests.integration.merchant", "tests.integration.wired"]


@pytest.mark.parametrize("kind", ["refuse", "not_enough", "busy", "error_before"])
def test_a_fault_that_does_nothing_says_its_word_and_does_nothing(
    provider: Provider, merchant: Merchant, kind: str
) -> None:
    provider.fault(kind, times=2)

    assert [merchant.refund() for _ in range(2)] == [merchant.says[kind]] * 2
    assert provider.books() == {}
    assert merchant.refund() == merchant.done
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 3)}


@pytest.mark.parametrize("kind", ["error_after", "nonsense"])
def test_a_fault_after_the_deed_proves_nothing_and_all_is_done(
    provider: Provider, merchant: Merchant, kind: str
) -> None:
    provider.fault(kind)

    assert merchant.refund() == merchant.says[kind]
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 1)}


def test_hang_holds_the_call_then_cuts_it_and_nothing_is_done(
    provider: Provider, merchant: Merchant
) -> None:
    provider.fault("hang", seconds=0.3)
    began = time.monotonic()

    with pytest.raises(OSError):  # noqa: PT011 - each library cuts off in its own way
        merchant.refund()

    assert time.monotonic() - began >= 0.3
    assert provider.books() == {}
    assert merchant.find() == merchant.unknown


def test_slow_is_done_after_its_time_and_answers(provider: Provider, merchant: Merchant) -> None:
    provider.fault("slow", seconds=0.3)
    began = time.monotonic()

    assert merchant.refund() == merchant.done

    assert time.monotonic() - began >= 0.3
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 1)}


def test_slow_is_done_even_when_its_caller_has_left(provider: Provider) -> None:
    provider.know("PAY1", "wechat")
    provider.fault("slow", seconds=0.8)

    with pytest.raises(OSError, match="timed out"):
        Wechat(provider, timeout_seconds=0.2).refund()

    assert provider.books() == {}
    until(lambda: provider.books() == {"R1": ("100.00", "SUCCESS", 1)})


def test_late_cuts_the_call_at_once_and_is_done_later(
    provider: Provider, merchant: Merchant
) -> None:
    provider.fault("late", seconds=1)
    began = time.monotonic()

    with pytest.raises(OSError):  # noqa: PT011
        merchant.refund()

    assert merchant.find() == merchant.unknown, "the call was cut before the refund was done"
    until(lambda: provider.books() == {"R1": ("100.00", "SUCCESS", 1)})
    assert time.monotonic() - began >= 1


def test_a_late_refund_that_was_asked_for_again_happens_once(
    provider: Provider, wechat: Wechat
) -> None:
    provider.fault("late", times=2, seconds=0)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            wechat.refund(amount_minor=4_000)

    wechat.refund(amount_minor=4_000)

    assert provider.books() == {"R1": ("40.00", "SUCCESS", 3)}


def test_processing_becomes_success_after_its_time(provider: Provider, merchant: Merchant) -> None:
    provider.fault("processing", seconds=1)

    assert merchant.refund() == merchant.processing
    assert merchant.refund() == merchant.processing
    assert merchant.find() == merchant.not_final
    assert provider.books() == {"R1": ("100.00", "PROCESSING", 2)}
    until(lambda: merchant.find() == merchant.found)


def test_what_is_processing_is_no_longer_left(provider: Provider, merchant: Merchant) -> None:
    provider.fault("processing", seconds=60)
    merchant.refund("R1", 6_000)

    assert merchant.refund("R2", 6_000) == merchant.too_much


class Ear:
    """A merchant's server that hears callbacks, and answers the first of them badly."""

    def __init__(self, answer: str) -> None:
        self.heard: list[tuple[dict[str, str], str]] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                ear.heard.append((dict(self.headers.items()), body))
                said = "fail" if len(ear.heard) == 1 else answer
                self.send_response(500 if len(ear.heard) == 1 and answer == "" else 200)
                self.end_headers()
                self.wfile.write(said.encode() if answer else b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/paid"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_wechats_library_reads_the_callback_of_each_event_until_it_is_taken(
    provider: Provider, wechat: Wechat
) -> None:
    provider.fault("processing", seconds=60)
    with Ear(answer="") as ear:
        wechat.refund(notify_url=ear.url)
        provider.decide("R1", "ABNORMAL")
        until(lambda: len(ear.heard) == 2)
        provider.decide("R1", "SUCCESS")
        until(lambda: len(ear.heard) == 3)

    first, again, other = (wechat.library.callback(*each) for each in ear.heard)
    assert [each["event_type"] for each in (first, again, other)] == [
        *("REFUND.ABNORMAL", "REFUND.ABNORMAL", "REFUND.SUCCESS")
    ]
    assert first["id"] == again["id"] != other["id"]
    assert ear.heard[0][0]["Wechatpay-Nonce"] != ear.heard[1][0]["Wechatpay-Nonce"]
    resource = other["resource"]
    assert (resource["out_refund_no"], resource["out_trade_no"]) == ("R1", "PAY1")
    assert (resource["refund_status"], resource["mchid"]) == ("SUCCESS", "1900000001")
    assert resource["amount"] == {
        "total": 10_000,
        "refund": 10_000,
        "payer_total": 10_000,
        "payer_refund": 10_000,
    }
    headers, body = ear.heard[0]
    assert wechat.library.callback(headers, body.replace("refund abnormal", "refunded")) is None


def test_alipays_library_verifies_the_callback_of_a_refund_until_it_hears_success(
    provider: Provider, alipay: Alipay
) -> None:
    with Ear(answer="success") as ear:
        provider.know("PAY1", "alipay", notifyUrl=ear.url)
        alipay.refund("R0", 4_000)
        provider.fault("processing", seconds=0.1)
        alipay.refund("R1", 6_000)
        until(lambda: len(ear.heard) == 2)

    first, again = (dict(urllib.parse.parse_qsl(body)) for _, body in ear.heard)
    assert first["notify_id"] == again["notify_id"]
    assert (again["out_trade_no"], again["out_biz_no"]) == ("PAY1", "R1")
    assert (again["refund_fee"], again["trade_status"]) == ("100.00", "TRADE_CLOSED")
    assert (again["app_id"], again["total_amount"]) == ("2021000000000001", "100.00")
    sign = again.pop("sign")
    assert alipay.library.verify(dict(again), sign)
    assert not alipay.library.verify(again | {"refund_fee": "1.00"}, sign)


def test_a_callback_that_nobody_takes_harms_nobody(provider: Provider, wechat: Wechat) -> None:
    provider.fault("processing", seconds=0)
    wechat.refund(notify_url=f"http://127.0.0.1:{free_port()}/")

    until(lambda: wechat.find() == "SUCCESS")
    assert provider.http.get("/healthz").status_code == 200


def test_a_refund_in_processing_can_be_decided_by_hand(provider: Provider, wechat: Wechat) -> None:
    provider.fault("processing", seconds=60)
    wechat.refund("R1")

    for status in ("ABNORMAL", "CLOSED"):
        assert (provider.decide("R1", status), wechat.find("R1")) == (200, status)

    assert (provider.decide("R1", "SUCCESS"), wechat.refund("R1")) == (409, "CLOSED")
    assert wechat.refund("R2") == "SUCCESS"


def test_what_alipay_failed_to_refund_it_refunds_when_asked_again(
    provider: Provider, alipay: Alipay
) -> None:
    provider.fault("processing", seconds=60)
    alipay.refund()
    provider.decide("R1", "CLOSED")

    assert alipay.find() == ""
    assert alipay.refund() == "Y"
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 2)}


@pytest.mark.parametrize(
    "kind", ["error_before", "error_after", "refuse", "not_enough", "busy", "nonsense"]
)
def test_a_query_that_fails_teaches_nothing(
    provider: Provider, merchant: Merchant, kind: str
) -> None:
    merchant.refund()
    provider.fault(kind, operation="query")

    assert merchant.find() == merchant.says[kind]
    assert merchant.find() == merchant.found


@pytest.mark.parametrize("kind", ["hang", "late"])
def test_a_query_can_be_cut(provider: Provider, merchant: Merchant, kind: str) -> None:
    merchant.refund()
    provider.fault(kind, operation="query", seconds=0.1)

    with pytest.raises(OSError):  # noqa: PT011
        merchant.find()


def test_a_slow_query_answers_as_it_is_then(provider: Provider, wechat: Wechat) -> None:
    provider.fault("slow", operation="query", seconds=0.6)
    provider.fault("late", seconds=0.2)
    with pytest.raises(OSError):  # noqa: PT011
        wechat.refund()

    assert wechat.find() == "SUCCESS"


def test_a_query_can_be_told_processing_of_what_is_done(
    provider: Provider, merchant: Merchant
) -> None:
    merchant.refund()
    provider.fault("processing", operation="query")

    assert [merchant.find(), merchant.find()] == [merchant.not_final, merchant.found]


def test_a_query_fault_for_one_payment_finds_it_even_before_the_refund_is_done(
    provider: Provider, wechat: Wechat
) -> None:
    provider.fault("error_before")
    wechat.refund()
    provider.fault("error_before", operation="query", paymentNo="PAY1")

    assert wechat.find("R404") == "RESOURCE_NOT_EXISTS"
    assert wechat.find("R1") == "SYSTEM_ERROR"


def test_faults_are_listed_and_cleared(provider: Provider, wechat: Wechat) -> None:
    provider.fault("refuse", times=3, paymentNo="PAY1")
    listed = provider.http.get("/control/faults").json()["faults"]
    assert listed == [
        {"operation": "refund", "kind": "refuse", "times": 3, "seconds": 1.0, "paymentNo": "PAY1"}
    ]

    provider.http.delete("/control/faults").raise_for_status()

    assert provider.pending() == 0
    assert wechat.refund() == "SUCCESS"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "explode"}, "'refuse', 'not_enough'"),
        ({"operation": "pay"}, "'refund' or 'query'"),
        ({"times": 0}, "greater than or equal to 1"),
        ({"seconds": -1}, "greater than or equal to 0"),
        ({"paymentNo": "a b"}, "paymentNo: String should match"),
        ({"payment_no": "PAY1"}, "payment_no: Extra inputs"),
        ({"second": 1}, "second: Extra inputs"),
    ],
)
def test_an_unknown_fault_is_explained(
    provider: Provider, wrong: dict[str, Any], message: str
) -> None:
    fault = {"operation": "refund", "kind": "hang"} | wrong

    answer = provider.http.post("/control/faults", json=fault)

    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert provider.pending() == 0
