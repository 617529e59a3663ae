"""The provider as a real process: its rules, its faults, its death."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateways.payments import (
    RefundRefused,
    RefundRequest,
    RefundStatus,
    SandboxGateway,
    UnexpectedAnswer,
)

ROOT = Path(__file__).resolve().parents[2]
WAIT = timedelta(seconds=20)


class Provider:
    """A sandbox process on a free port, with the client of an auditor."""

    def __init__(self, books: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self.log = books.with_suffix(".log")
        self._books = books
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "gateways.payments.sandbox"]
        command += ["--port", str(self.port), "--books", str(self._books)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log)
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

    def know(self, payment_no: str, amount: str = "100.00") -> None:
        payment = {"paymentNo": payment_no, "amount": amount, "method": "wechat"}
        self.http.post("/control/payments", json={"payments": [payment]}).raise_for_status()

    def fault(self, kind: str, *, operation: str = "refund", **more: Any) -> None:
        order = {"operation": operation, "kind": kind} | more
        self.http.post("/control/faults", json=order).raise_for_status()

    def pending(self) -> int:
        return len(self.http.get("/control/faults").json()["faults"])

    def books(self) -> dict[str, tuple[str, str, int]]:
        refunds = self.http.get("/control/books").raise_for_status().json()["refunds"]
        return {
            each["refundNo"]: (each["amount"], each["status"], each["requests"]) for each in refunds
        }

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the sandbox ended at its start"
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/healthz").status_code == 200
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT.total_seconds()
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def order(refund_no: str = "R1", amount_minor: int = 10_000, **more: Any) -> RefundRequest:
    return RefundRequest(
        refund_no=refund_no,
        payment_no=more.pop("payment_no", "PAY1"),
        payment_minor=10_000,
        amount_minor=amount_minor,
        currency="CNY",
        reason="broken",
        **more,
    )


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    running = Provider(tmp_path / "sandbox.sqlite3")
    try:
        running.start()
        running.know("PAY1")
        yield running
    finally:
        running.close()
    assert running.log.read_text() == "", "the provider broke down somewhere"


@pytest.fixture
def gateway(provider: Provider) -> Iterator[SandboxGateway]:
    door = SandboxGateway(provider.url, timedelta(seconds=15))
    yield door
    door.close()


def status_of(gateway: SandboxGateway, refund_no: str) -> RefundStatus | None:
    found = gateway.find_refund(refund_no, payment_no="PAY1")
    return None if found is None else found.status


def test_a_refund_is_done_and_found(provider: Provider, gateway: SandboxGateway) -> None:
    assert gateway.refund(order()).status is RefundStatus.SUCCESS
    assert status_of(gateway, "R1") is RefundStatus.SUCCESS
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 1)}


def test_every_sign_that_a_number_may_have_can_be_asked_after(gateway: SandboxGateway) -> None:
    number = "aZ09_|*@-" + "x" * 55

    assert gateway.refund(order(number)).refund_no == number
    assert status_of(gateway, number) is RefundStatus.SUCCESS


def test_the_same_number_is_the_same_refund(provider: Provider, gateway: SandboxGateway) -> None:
    answers = [gateway.refund(order(amount_minor=6_000)) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert provider.books() == {"R1": ("60.00", "SUCCESS", 3)}


@pytest.mark.parametrize("other", [{"amount_minor": 100}, {"payment_no": "PAY2"}])
def test_a_number_cannot_be_used_for_another_refund(
    provider: Provider, gateway: SandboxGateway, other: dict[str, Any]
) -> None:
    provider.know("PAY2")
    gateway.refund(order())

    with pytest.raises(RefundRefused) as refused:
        gateway.refund(order(**other))

    assert refused.value.code == "INVALID_REQUEST"
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 2)}


def test_no_more_is_refunded_than_is_left(provider: Provider, gateway: SandboxGateway) -> None:
    gateway.refund(order("R1", 6_000))

    with pytest.raises(RefundRefused, match=r"AMOUNT_EXCEEDED: 40\.00 is left"):
        gateway.refund(order("R2", 4_001))

    gateway.refund(order("R3", 4_000))
    assert set(provider.books()) == {"R1", "R3"}


def test_an_unknown_payment_is_not_refunded(provider: Provider, gateway: SandboxGateway) -> None:
    with pytest.raises(RefundRefused) as refused:
        gateway.refund(order(payment_no="PAY404"))

    assert refused.value.code == "PAYMENT_NOT_FOUND"
    assert provider.books() == {}


def test_an_unknown_refund_is_not_found(gateway: SandboxGateway) -> None:
    assert gateway.find_refund("R404", payment_no="PAY1") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "0.001"),
        ("amount", "0"),
        ("amount", "-1"),
        ("amount", "NaN"),
        ("amount", "lots"),
        ("amount", True),
        ("amount", None),
        ("refundNo", "R 1"),
        ("refundNo", "R" * 65),
        ("refundNo", ""),
        ("refundNo", "R1\n"),
        ("reason", "x" * 501),
        ("notifyUrl", "not a url"),
        ("amuont", "1.00"),
    ],
)
def test_a_wrong_request_is_answered_with_its_field(
    provider: Provider, field: str, value: Any
) -> None:
    good = {"refundNo": "R1", "paymentNo": "PAY1", "amount": "1.00", "reason": ""}

    answer = provider.http.post("/refunds", json=good | {field: value})

    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")
    assert answer.json()["message"].startswith(f"{field}: ")


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


def test_a_payment_does_not_change_its_amount(provider: Provider, gateway: SandboxGateway) -> None:
    payments = [
        {"paymentNo": number, "amount": "900.00", "method": "wechat"} for number in ("PAY1", "PAY2")
    ]

    answer = provider.http.post("/control/payments", json={"payments": payments})

    assert answer.status_code == 409
    assert "PAY1" in answer.json()["detail"]
    with pytest.raises(RefundRefused, match="PAYMENT_NOT_FOUND"):
        gateway.refund(order(payment_no="PAY2"))


def test_twenty_at_once_cannot_refund_more_than_was_paid(
    provider: Provider, gateway: SandboxGateway
) -> None:
    together = threading.Barrier(20)

    def one(number: int) -> str:
        together.wait()
        try:
            return gateway.refund(order(f"R{number}", 3_000)).status
        except RefundRefused as refused:
            return refused.code

    with ThreadPoolExecutor(20) as threads:
        said = sorted(threads.map(one, range(20)))

    assert said == ["AMOUNT_EXCEEDED"] * 17 + ["SUCCESS"] * 3
    assert len(provider.books()) == 3


def test_twenty_at_once_with_one_number_are_one_refund(
    provider: Provider, gateway: SandboxGateway
) -> None:
    together = threading.Barrier(20)

    def one(_: int) -> str:
        together.wait()
        return gateway.refund(order()).status

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(one, range(20))) == {"SUCCESS"}

    assert provider.books() == {"R1": ("100.00", "SUCCESS", 20)}


def test_refuse_is_a_refusal_and_nothing_is_done(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("refuse")

    with pytest.raises(RefundRefused) as refused:
        gateway.refund(order())

    assert refused.value.code == "REFUSED"
    assert provider.books() == {}


def test_error_before_is_an_error_and_nothing_is_done(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("error_before", times=4)

    for _ in range(4):
        with pytest.raises(UnexpectedAnswer, match="500"):
            gateway.refund(order())

    assert provider.books() == {}
    gateway.refund(order())
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 5)}


def test_error_after_is_an_error_and_all_is_done(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("error_after")

    with pytest.raises(UnexpectedAnswer, match="500"):
        gateway.refund(order())

    assert provider.books() == {"R1": ("100.00", "SUCCESS", 1)}


def test_hang_holds_the_call_then_cuts_it_and_nothing_is_done(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("hang", seconds=0.5)
    began = time.monotonic()

    with pytest.raises(httpx.RemoteProtocolError):
        gateway.refund(order())

    assert time.monotonic() - began >= 0.5
    assert provider.books() == {}
    assert gateway.find_refund("R1", payment_no="PAY1") is None


def test_slow_is_done_after_its_time_and_answers(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("slow", seconds=0.5)
    began = time.monotonic()

    assert gateway.refund(order()).status is RefundStatus.SUCCESS

    assert time.monotonic() - began >= 0.5
    assert provider.books() == {"R1": ("100.00", "SUCCESS", 1)}


def test_slow_is_done_even_when_its_caller_has_left(provider: Provider) -> None:
    provider.fault("slow", seconds=0.5)
    hasty = SandboxGateway(provider.url, timedelta(seconds=0.1))

    with pytest.raises(httpx.ReadTimeout):
        hasty.refund(order())
    hasty.close()

    assert provider.books() == {}
    until(lambda: provider.books() == {"R1": ("100.00", "SUCCESS", 1)})


def test_late_cuts_the_call_at_once_and_is_done_later(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("late", seconds=2)
    began = time.monotonic()

    with pytest.raises(httpx.RemoteProtocolError):
        gateway.refund(order())

    assert gateway.find_refund("R1", payment_no="PAY1") is None, (
        "the call was cut before the refund was done"
    )
    until(lambda: provider.books() == {"R1": ("100.00", "SUCCESS", 1)})
    assert time.monotonic() - began >= 2


def test_a_late_refund_that_was_asked_for_again_happens_once(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("late", times=2, seconds=0.5)
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            gateway.refund(order(amount_minor=4_000))

    gateway.refund(order(amount_minor=4_000))

    time.sleep(0.6)
    assert provider.books() == {"R1": ("40.00", "SUCCESS", 3)}


def test_processing_becomes_success_after_its_time(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("processing", seconds=1)

    assert gateway.refund(order()).status is RefundStatus.PROCESSING
    assert gateway.refund(order()).status is RefundStatus.PROCESSING
    assert provider.books() == {"R1": ("100.00", "PROCESSING", 2)}
    until(lambda: status_of(gateway, "R1") is RefundStatus.SUCCESS)


def test_what_is_processing_is_no_longer_left(provider: Provider, gateway: SandboxGateway) -> None:
    provider.fault("processing", seconds=60)
    gateway.refund(order("R1", 6_000))

    with pytest.raises(RefundRefused, match="AMOUNT_EXCEEDED"):
        gateway.refund(order("R2", 6_000))


def test_a_final_refund_is_told_to_who_asked_for_it_until_they_take_it(
    provider: Provider, gateway: SandboxGateway
) -> None:
    told: list[dict[str, str]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if len(told) == 1 else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as ear:
        threading.Thread(target=ear.serve_forever, daemon=True).start()
        provider.fault("processing", seconds=0.3)
        gateway.refund(order(notify_url=f"http://127.0.0.1:{ear.server_port}/paid"))

        until(lambda: len(told) == 2)
        time.sleep(0.5)
        ear.shutdown()

    said = {"refundNo": "R1", "paymentNo": "PAY1", "amount": "100.00", "status": "SUCCESS"}
    assert told == [said, said]


def test_a_callback_that_nobody_takes_harms_nobody(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("processing", seconds=0)
    gateway.refund(order(notify_url=f"http://127.0.0.1:{free_port()}/"))

    time.sleep(0.5)

    assert status_of(gateway, "R1") is RefundStatus.SUCCESS


def test_a_refund_in_processing_can_be_decided_by_hand(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("processing", seconds=60)
    gateway.refund(order("R1"))

    for status in ("ABNORMAL", "CLOSED"):
        answer = provider.http.post("/control/refunds/R1", json={"status": status})
        assert (answer.status_code, status_of(gateway, "R1")) == (200, status)

    answer = provider.http.post("/control/refunds/R1", json={"status": "SUCCESS"})
    assert (answer.status_code, status_of(gateway, "R1")) == (409, RefundStatus.CLOSED)
    assert gateway.refund(order("R2")).status is RefundStatus.SUCCESS


@pytest.mark.parametrize("kind", ["error_before", "error_after", "refuse"])
def test_a_query_that_fails_teaches_nothing(
    provider: Provider, gateway: SandboxGateway, kind: str
) -> None:
    gateway.refund(order())
    provider.fault(kind, operation="query")

    with pytest.raises(UnexpectedAnswer):
        gateway.find_refund("R1", payment_no="PAY1")

    assert status_of(gateway, "R1") is RefundStatus.SUCCESS


@pytest.mark.parametrize("kind", ["hang", "late"])
def test_a_query_can_be_cut(provider: Provider, gateway: SandboxGateway, kind: str) -> None:
    gateway.refund(order())
    provider.fault(kind, operation="query", seconds=0.2)

    with pytest.raises(httpx.RemoteProtocolError):
        gateway.find_refund("R1", payment_no="PAY1")


def test_a_slow_query_answers_as_it_is_then(provider: Provider, gateway: SandboxGateway) -> None:
    provider.fault("slow", operation="query", seconds=0.6)
    provider.fault("late", seconds=0.2)
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.refund(order())

    assert status_of(gateway, "R1") is RefundStatus.SUCCESS


def test_a_query_can_be_told_processing_of_what_is_done(
    provider: Provider, gateway: SandboxGateway
) -> None:
    gateway.refund(order())
    provider.fault("processing", operation="query")

    assert status_of(gateway, "R1") is RefundStatus.PROCESSING
    assert status_of(gateway, "R1") is RefundStatus.SUCCESS


def test_a_query_fault_for_one_payment_finds_it_even_before_the_refund_is_done(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("error_before")
    with pytest.raises(UnexpectedAnswer):
        gateway.refund(order())
    provider.fault("error_before", operation="query", paymentNo="PAY1")

    assert gateway.find_refund("R404", payment_no="PAY1") is None
    with pytest.raises(UnexpectedAnswer):
        gateway.find_refund("R1", payment_no="PAY1")


def test_faults_are_listed_and_cleared(provider: Provider, gateway: SandboxGateway) -> None:
    provider.fault("refuse", times=3, paymentNo="PAY1")
    listed = provider.http.get("/control/faults").json()["faults"]
    assert listed == [
        {"operation": "refund", "kind": "refuse", "times": 3, "seconds": 1.0, "paymentNo": "PAY1"}
    ]

    provider.http.delete("/control/faults").raise_for_status()

    assert provider.pending() == 0
    gateway.refund(order())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "explode"}, "'refuse', 'error_before'"),
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


def test_the_books_survive_kill_9(provider: Provider, gateway: SandboxGateway) -> None:
    gateway.refund(order("R1", 6_000))
    gateway.refund(order("R1", 6_000))

    provider.kill()
    with pytest.raises(httpx.TransportError):
        gateway.find_refund("R1", payment_no="PAY1")
    provider.start()

    assert provider.books() == {"R1": ("60.00", "SUCCESS", 2)}
    with pytest.raises(RefundRefused, match="AMOUNT_EXCEEDED"):
        gateway.refund(order("R2", 4_001))


def test_every_answered_refund_survives_kill_9_in_the_middle_of_many(provider: Provider) -> None:
    provider.know("PAY9", "100000.00")
    answered: list[str] = []

    def refund_until_it_dies(thread: int) -> None:
        door = SandboxGateway(provider.url, timedelta(seconds=5))
        with contextlib.suppress(httpx.TransportError):
            for number in range(10_000):
                refund_no = f"R{thread}-{number}"
                door.refund(order(refund_no, 1, payment_no="PAY9"))
                answered.append(refund_no)
        door.close()

    threads = [threading.Thread(target=refund_until_it_dies, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 100)
    provider.kill()
    for thread in threads:
        thread.join()
    provider.start()

    assert set(answered) <= set(provider.books())


def test_late_and_processing_are_done_although_the_provider_was_dead_when_they_were_due(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("late", seconds=0.5)
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.refund(order("R1", 5_000))
    provider.fault("processing", seconds=0.5)
    gateway.refund(order("R2", 5_000))

    provider.kill()
    time.sleep(0.6)
    provider.start()

    assert provider.books() == {"R1": ("50.00", "SUCCESS", 1), "R2": ("50.00", "SUCCESS", 1)}


def test_late_waits_for_its_time_across_a_restart(
    provider: Provider, gateway: SandboxGateway
) -> None:
    provider.fault("late", seconds=30)
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.refund(order())

    provider.kill()
    provider.start()

    assert provider.books() == {}


def test_three_hundred_held_calls_do_not_hold_up_the_others(provider: Provider) -> None:
    provider.know("PAY9", "1000.00")
    provider.fault("hang", times=150, seconds=3, paymentNo="PAY1")
    provider.fault("slow", times=150, seconds=3, paymentNo="PAY1")
    limits = httpx.Limits(max_connections=400)
    with (
        httpx.Client(base_url=provider.url, timeout=30, trust_env=False, limits=limits) as http,
        ThreadPoolExecutor(300) as threads,
    ):

        def one(number: int) -> str:
            wire = {"refundNo": f"R{number}", "paymentNo": "PAY1", "amount": "0.10", "reason": ""}
            try:
                return str(http.post("/refunds", json=wire).json()["status"])
            except httpx.RemoteProtocolError:
                return "cut"

        held = [threads.submit(one, number) for number in range(300)]
        until(lambda: provider.pending() == 0)
        quick = SandboxGateway(provider.url, timedelta(seconds=2))
        assert quick.refund(order("Q1", 1, payment_no="PAY9")).status is RefundStatus.SUCCESS
        quick.close()
        assert not any(each.done() for each in held)

        assert sorted(each.result() for each in held) == ["SUCCESS"] * 150 + ["cut"] * 150

    assert len(provider.books()) == 151


def test_the_provider_stops_in_time_although_calls_are_held(provider: Provider) -> None:
    provider.fault("hang", seconds=60)
    door = SandboxGateway(provider.url, timedelta(seconds=30))
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(door.refund, order())
        until(lambda: provider.pending() == 0)

        provider.stop()

        assert isinstance(held.exception(), (httpx.TransportError, UnexpectedAnswer))
    door.close()
    provider.log.write_text("")  # uvicorn complains of the call it had to end


FORKING = """
import os, sys
from datetime import timedelta
from gateways.payments import SandboxGateway

gateway = SandboxGateway(sys.argv[1], timedelta(seconds=5))
gateway.find_refund("PARENT", payment_no="PAY1")
child = os.fork()
for number in range(200):
    # A stranger's answer would be one to another refund number.
    assert gateway.find_refund(f"R{number}-{os.getpid()}", payment_no="PAY1") is None
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
os._exit(0)
"""


def test_a_client_forked_in_use_shares_no_connection(provider: Provider) -> None:
    script = [sys.executable, "-c", FORKING, provider.url]

    subprocess.run(script, cwd=ROOT, check=True, timeout=60)
