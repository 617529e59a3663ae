"""The sandbox asked by the real libraries, and steered over HTTP."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
from alipay import AliPay
from alipay.utils import AliPayConfig
from wechatpayv3 import WeChatPay, WeChatPayType

from gateways.payments.sandbox.merchant import environment

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
