"""The provider, asked by the real libraries, steered over HTTP: its rules, its faults, its death.

Our gateways are not used here: this is a second opinion on the wire.
"""

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx
import pytest
from alipay import AliPay
from alipay.utils import AliPayConfig
from wechatpayv3 import WeChatPay, WeChatPayType

from gateways.payments.sandbox.merchant import environment
from tests.integration.crashes.sandbox import open_sandbox

pytest_plugins = ["tests.integration.merchant"]

ROOT = Path(__file__).resolve().parents[2]
WAIT = timedelta(seconds=20)


class Provider:
    """A sandbox that is served somewhere, with the client of an auditor."""

    def __init__(self, url: str, keys: Path) -> None:
        self.url = url
        self.settings = environment(url, keys)
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)

    def know(self, payment_no: str, method: str, amount: str = "100.00", **more: str) -> None:
        payment = {"paymentNo": payment_no, "amount": amount, "method": method} | more
        self.http.post("/control/payments", json={"payments": [payment]}).raise_for_status()

    def fault(self, kind: str, *, operation: str = "refund", **more: Any) -> None:
        order = {"operation": operation, "kind": kind} | more
        self.http.post("/control/faults", json=order).raise_for_status()

    def pending(self) -> int:
        return len(self.http.get("/control/faults").json()["faults"])

    def decide(self, refund_no: str, status: str) -> int:
        decision = {"status": status}
        return self.http.post(f"/control/refunds/{refund_no}", json=decision).status_code

    def books(self) -> dict[str, tuple[str, str, int]]:
        refunds = self.http.get("/control/books").raise_for_status().json()["refunds"]
        return {
            each["refundNo"]: (each["amount"], each["status"], each["requests"]) for each in refunds
        }


class Process(Provider):
    """A sandbox in a process of its own, which may be killed."""

    def __init__(self, books: Path, keys: Path) -> None:
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}", keys)
        self.log = books.with_suffix(".log")
        self._files = ["--books", str(books), "--keys", str(keys)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gateways.payments.sandbox", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*command, *self._files], cwd=ROOT, stderr=log)
        until(self._healthy)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=10)

    def close(self) -> None:
        self.http.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the sandbox ended at its start"
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/healthz").status_code == 200
        return False


class Wechat:
    """We, by WeChat Pay's library. What comes back is a refund's status, or an error's code."""

    name = "wechat"
    done, again, processing, unknown = "SUCCESS", "SUCCESS", "PROCESSING", "RESOURCE_NOT_EXISTS"
    found, not_final = "SUCCESS", "PROCESSING"
    reused, too_much, no_payment = "INVALID_REQUEST", "INVALID_REQUEST", "RESOURCE_NOT_EXISTS"
    says: ClassVar = {
        "refuse": "USER_ACCOUNT_ABNORMAL",
        "not_enough": "NOT_ENOUGH",
        "busy": "FREQUENCY_LIMITED",
        "error_before": "SYSTEM_ERROR",
        "error_after": "SYSTEM_ERROR",
        "nonsense": "Exception",
    }

    def __init__(self, provider: Provider, *, timeout_seconds: float = 15) -> None:
        told = provider.settings
        self.library = WeChatPay(
            wechatpay_type=WeChatPayType.NATIVE,
            mchid=told["WECHATPAY_MCHID"],
            private_key=Path(told["WECHATPAY_PRIVATE_KEY_FILE"]).read_text(),
            cert_serial_no=told["WECHATPAY_CERT_SERIAL_NO"],
            apiv3_key=Path(told["WECHATPAY_APIV3_KEY_FILE"]).read_text(),
            appid="wx0000000000000001",
            public_key=Path(told["WECHATPAY_PUBLIC_KEY_FILE"]).read_text(),
            public_key_id=told["WECHATPAY_PUBLIC_KEY_ID"],
            timeout=timeout_seconds,
        )
        self.library._core._gate_way = told["WECHATPAY_URL"]

    def refund(
        self,
        refund_no: str = "R1",
        amount_minor: int = 10_000,
        *,
        payment_no: str = "PAY1",
        total_minor: int = 10_000,
        **more: Any,
    ) -> str:
        amount = {"refund": amount_minor, "total": total_minor, "currency": "CNY"}
        return self._said(
            lambda: self.library.refund(
                out_refund_no=refund_no, out_trade_no=payment_no, amount=amount, **more
            )
        )

    def find(self, refund_no: str = "R1", *, payment_no: str = "PAY1") -> str:  # noqa: ARG002
        return self._said(lambda: self.library.query_refund(refund_no))

    @staticmethod
    def _said(call: Callable[[], tuple[int, str]]) -> str:
        try:
            status, text = call()
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the library has no class of its own
            return type(error).__name__
        answer = json.loads(text)
        return str(answer["status"] if status == 200 else answer["code"])


class Alipay:
    """We, by Alipay's library: fund_change, a refund's status ("" for none), an error's code."""

    name = "alipay"
    done, again, processing, unknown = "Y", "N", "N", ""
    found, not_final = "REFUND_SUCCESS", ""
    reused = "ACQ.DISCORDANT_REPEAT_REQUEST"
    too_much, no_payment = "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "ACQ.TRADE_NOT_EXIST"
    says: ClassVar = {
        "refuse": "ACQ.TRADE_NOT_ALLOW_REFUND",
        "not_enough": "ACQ.SELLER_BALANCE_NOT_ENOUGH",
        "busy": "isv.app-call-limited",
        "error_before": "500",
        "error_after": "500",
        "nonsense": "JSONDecodeError",
    }

    def __init__(self, provider: Provider, *, timeout_seconds: float = 15) -> None:
        told = provider.settings
        self.library = AliPay(
            appid=told["ALIPAY_APP_ID"],
            app_private_key_string=Path(told["ALIPAY_PRIVATE_KEY_FILE"]).read_text(),
            alipay_public_key_string=Path(told["ALIPAY_PUBLIC_KEY_FILE"]).read_text(),
            config=AliPayConfig(timeout=timeout_seconds),
        )
        self.library._gateway = told["ALIPAY_URL"]

    def refund(
        self,
        refund_no: str | None = "R1",
        amount_minor: int = 10_000,
        *,
        payment_no: str = "PAY1",
    ) -> str:
        more = {} if refund_no is None else {"out_request_no": refund_no}
        amount = f"{amount_minor // 100}.{amount_minor % 100:02d}"
        answer = self._said(
            lambda: self.library.api_alipay_trade_refund(amount, out_trade_no=payment_no, **more)
        )
        return answer if isinstance(answer, str) else str(answer["fund_change"])

    def find(self, refund_no: str = "R1", *, payment_no: str = "PAY1") -> str:
        answer = self._said(
            lambda: self.library.api_alipay_trade_fastpay_refund_query(
                refund_no, out_trade_no=payment_no
            )
        )
        return answer if isinstance(answer, str) else str(answer.get("refund_status", ""))

    @staticmethod
    def _said(call: Callable[[], dict[str, str]]) -> str | dict[str, str]:
        try:
            answer = call()
        except urllib.error.HTTPError as error:
            return str(error.code)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the library's, or that of its parser
            return type(error).__name__
        return answer if answer["code"] == "10000" else answer["sub_code"]


Merchant = Wechat | Alipay


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT.total_seconds()
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.fixture
def provider(tmp_path: Path, keys: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Provider]:
    with open_sandbox(tmp_path, keys=keys) as served:
        serving = Provider(served.url, keys)
        yield serving
        serving.http.close()
    broken = [each for each in caplog.get_records("call") if each.levelno >= logging.WARNING]
    assert broken == [], "the provider broke down somewhere"


@pytest.fixture
def process(tmp_path: Path, keys: Path) -> Iterator[Process]:
    running = Process(tmp_path / "sandbox.sqlite3", keys)
    try:
        running.start()
        running.know("PAY1", "wechat")
        yield running
    finally:
        running.close()
    assert running.log.read_text() == "", "the provider broke down somewhere"


@pytest.fixture(params=[Wechat, Alipay], ids=["wechat", "alipay"])
def merchant(provider: Provider, request: pytest.FixtureRequest) -> Merchant:
    """Us, at each of the two; PAY1 was paid there."""
    we: Merchant = request.param(provider)
    provider.know("PAY1", we.name)
    return we


@pytest.fixture
def wechat(provider: Provider) -> Wechat:
    provider.know("PAY1", "wechat")
    return Wechat(provider)


@pytest.fixture
def alipay(provider: Provider) -> Alipay:
    provider.know("PAY1", "alipay")
    return Alipay(provider)


# Its rules


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


# Its faults


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


# Its death


def test_books_and_keys_survive_kill_9(process: Process) -> None:
    wechat = Wechat(process)
    wechat.refund("R1", 6_000)
    wechat.refund("R1", 6_000)

    process.kill()
    with pytest.raises(OSError):  # noqa: PT011
        wechat.find("R1")
    process.start()

    assert process.books() == {"R1": ("60.00", "SUCCESS", 2)}
    assert wechat.refund("R2", 4_001) == "INVALID_REQUEST"


def test_every_answered_refund_survives_kill_9_in_the_middle_of_many(process: Process) -> None:
    process.know("PAY9", "wechat", "100000.00")
    answered: list[str] = []

    def refund_until_it_dies(thread: int) -> None:
        door = Wechat(process, timeout_seconds=5)
        with contextlib.suppress(OSError):
            for number in range(10_000):
                refund_no = f"R{thread}-{number}"
                said = door.refund(refund_no, 1, payment_no="PAY9", total_minor=10_000_000)
                assert said == "SUCCESS"
                answered.append(refund_no)

    threads = [threading.Thread(target=refund_until_it_dies, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 100)
    process.kill()
    for thread in threads:
        thread.join()
    process.start()

    assert set(answered) <= set(process.books())


def test_late_and_processing_are_done_although_the_provider_was_dead_when_they_were_due(
    process: Process,
) -> None:
    wechat = Wechat(process)
    process.fault("late", seconds=0.5)
    with pytest.raises(OSError):  # noqa: PT011
        wechat.refund("R1", 5_000)
    process.fault("processing", seconds=0.5)
    wechat.refund("R2", 5_000)

    process.kill()
    process.start()

    done = {"R1": ("50.00", "SUCCESS", 1), "R2": ("50.00", "SUCCESS", 1)}
    until(lambda: process.books() == done)


def test_late_waits_for_its_time_across_a_restart(process: Process) -> None:
    process.fault("late", seconds=60)
    with pytest.raises(OSError):  # noqa: PT011
        Wechat(process).refund()

    process.kill()
    process.start()

    assert process.books() == {}


def test_three_hundred_held_calls_do_not_hold_up_the_others(process: Process) -> None:
    process.know("PAY9", "wechat", "1000.00")
    process.fault("hang", times=150, seconds=6, paymentNo="PAY1")
    process.fault("slow", times=150, seconds=6, paymentNo="PAY1")
    wechat = Wechat(process, timeout_seconds=30)
    with ThreadPoolExecutor(300) as threads:

        def one(number: int) -> str:
            try:
                return wechat.refund(f"R{number}", 10)
            except OSError:
                return "cut"

        held = [threads.submit(one, number) for number in range(300)]
        until(lambda: process.pending() == 0)
        quick = Wechat(process, timeout_seconds=2)
        assert quick.refund("Q1", 1, payment_no="PAY9", total_minor=100_000) == "SUCCESS"
        assert not all(each.done() for each in held)

        assert sorted(each.result() for each in held) == ["SUCCESS"] * 150 + ["cut"] * 150

    assert len(process.books()) == 151


def test_the_provider_stops_in_time_although_calls_are_held(process: Process) -> None:
    process.fault("hang", seconds=60)
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(Wechat(process, timeout_seconds=30).refund)
        until(lambda: process.pending() == 0)

        process.stop()

        # Cut off, or told 500 in the last moment, by a page that is not WeChat Pay's.
        with contextlib.suppress(OSError, ValueError):
            assert held.result() != "SUCCESS"
    process.log.write_text("")  # uvicorn complains of the call it had to end
