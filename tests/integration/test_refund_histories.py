"""Random histories of real refunds: in the end books, payments, refunds and orders agree.

Several refunds of one or two payments, at real providers' wires; workers die, messages come twice
or never, callbacks are forged, old, doubled and late, the providers' people decide, and operators
act. Then all is mended, and every fen must be where it should be.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as depth
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr
from sqlalchemy import Engine as Database
from structlog.testing import capture_logs

from gateways.payments import RefundStatus
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import Refund as Book
from gateways.payments.sandbox.keys import key_ring
from gateways.payments.sandbox.notices import Notice
from saga import connect
from saga.errors import Conflict
from settings import settings
from tasks.doors import payment_gateway
from tests.integration.crashes.sandbox import Sandbox, open_sandbox
from tests.integration.refund_counter import WALLET, RefundCounter

pytestmark = pytest.mark.integration

STEPS = 20
SHORT, FULL = 15, 1000

methods = st.sampled_from(["wechat", "wechat", "alipay", "alipay", WALLET])
which = st.integers(0, 5)
fen = st.integers(1, 60)
faults = st.sampled_from(
    [
        *("refuse", "not_enough", "busy", "error_before", "error_after", "nonsense"),
        *("hang", "slow", "late", "late", "processing", "processing", "processing"),
    ]
)
times = st.sampled_from([timedelta(seconds=each) for each in (1, 5, 20, 40, 70, 400)])
decisions = st.sampled_from([RefundStatus.SUCCESS, RefundStatus.CLOSED, RefundStatus.ABNORMAL])
delays = st.sampled_from([3, 90, 700])
calls = st.sampled_from([1, 4, 9])
LIES = ["old", "forged", "cut off"]
manners = st.sampled_from(["well", "well", "twice", *LIES])
BY_THE_CLOCK = {"late", "processing"}


class RefundHistories(RuleBasedStateMachine):
    """One history. ``counts`` is what all of them went through."""

    def __init__(self, open_counter: Callable[..., RefundCounter], counts: Counter[str]) -> None:
        super().__init__()
        self.open_counter = open_counter
        self.counts = counts
        self.told: list[tuple[str, Notice]] = []

    @initialize(
        payments=st.lists(st.tuples(methods, st.integers(1, 100)), min_size=1, max_size=2),
        troubles=st.lists(st.tuples(faults, calls, delays), min_size=2, max_size=2),
    )
    def begin(
        self, *, payments: list[tuple[str, int]], troubles: list[tuple[str, int, float]]
    ) -> None:
        """A refund of part of each payment, and what becomes of its calls."""
        self.counter = self.open_counter(payments)
        for paid, (kind, times, seconds) in zip(self.counter.paid, troubles, strict=False):
            self.counter.ask(paid, (paid.minor + 1) // 2)
            self.fault(operation="refund", kind=kind, times=times, seconds=seconds)
            self.go_on(rounds=times)

    @rule(which=which, minor=fen)
    def ask(self, *, which: int, minor: int) -> None:
        paid = self.counter.paid[which % len(self.counter.paid)]
        self.counter.ask(paid, min(minor, paid.minor))

    @rule(which=which, minor=fen, kind=faults, times=calls, seconds=delays)
    def ask_in_trouble(
        self, *, which: int, minor: int, kind: str, times: int, seconds: float
    ) -> None:
        self.fault(operation="refund", kind=kind, times=times, seconds=seconds)
        self.ask(which=which, minor=minor)
        for _ in range(2):
            self.counter.work()

    @rule(rounds=st.integers(3, 9), which=which, minor=fen)
    def go_on(self, *, rounds: int, which: int = 0, minor: int = 1) -> None:
        """Somebody asks for more if he may; then nobody does anything for a while."""
        self.ask(which=which, minor=minor)
        for _ in range(rounds):
            self.let_pass(time=timedelta(seconds=40))

    @rule(times=st.integers(1, 5), which=which, minor=fen)
    def work(self, *, times: int, which: int, minor: int) -> None:
        if not self.counter.broker.queue:
            self.ask(which=which, minor=minor)
        for _ in range(times):
            self.counter.work()

    @rule(point=st.integers(0, 12), loses=st.booleans())
    def die(self, *, point: int, loses: bool) -> None:
        self.counter.work(dies_at=point, loses=loses)

    @rule(which=which)
    def deliver_again(self, *, which: int) -> None:
        self.counter.deliver_again(which)

    @rule()
    def lose_all(self) -> None:
        self.counter.broker.lose_all()

    @rule(time=times)
    def let_pass(self, *, time: timedelta) -> None:
        self.counter.let_pass(time)
        self.counter.recover()
        self.counter.work_off(most=300)

    @rule(
        operation=st.sampled_from(["refund", "refund", "query"]),
        kind=faults,
        times=st.integers(1, 3),
        seconds=delays,
    )
    def fault(self, *, operation: str, kind: str, times: int, seconds: float) -> None:
        self.counter.sandbox.fault(
            {
                "operation": operation,
                "kind": kind if operation == "refund" or kind != "late" else "hang",
                "times": times,
                # Where somebody has to wait for it, not by the clock that is turned by hand.
                "seconds": seconds if kind in BY_THE_CLOCK else 0.01,
            }
        )

    @rule(which=which, status=decisions)
    def decide(self, *, which: int, status: RefundStatus) -> None:
        if books := self.counter.books():
            self.counter.decide(books[which % len(books)], status)

    @rule(which=which, manner=manners)
    def call_back(self, *, which: int, manner: str) -> None:
        """A provider tells of a refund as it stands, or somebody says that it does."""
        books = self.counter.books()
        if not books:
            return
        self.bring(books[which % len(books)], manner)

    def bring(self, book: Book, manner: str) -> None:
        told = self.counter.callback(book, age=timedelta(minutes=6 if manner == "old" else 0))
        if told is None:
            return
        match manner:
            case "forged":
                told = replace(told, body=told.body.replace("refund", "refunc", 1))
            case "cut off":
                told = replace(told, body=told.body[: len(told.body) // 2])
            case "well" | "twice":
                self.told.append((book.method, told))
        for _ in range(2 if manner == "twice" else 1):
            before = self.counter.sagas()
            answer = self.counter.hear(book.method, told)
            if manner in {"well", "twice"}:
                assert answer.status_code == 200, answer.text
            else:
                assert answer.status_code == 401, answer.text
                assert self.counter.sagas() == before
        self.counts["callbacks"] += 1

    @precondition(lambda self: self.told)
    @rule(which=which)
    def call_back_again(self, *, which: int) -> None:
        """A callback comes once more, after others."""
        method, told = self.told[which % len(self.told)]
        assert self.counter.hear(method, told).status_code == 200

    @rule(which=which, what=st.sampled_from(["retry", "retry", "compensate", "cancel"]))
    def operate(self, *, which: int, what: str) -> None:
        if sagas := self.counter.sagas():
            with suppress(Conflict):
                act = getattr(self.counter.ann, what)
                act(sagas[which % len(sagas)]["saga_id"], reason="I think so")

    @rule()
    def reconcile(self) -> None:
        self.counter.reconcile()

    @invariant()
    def never_too_much(self) -> None:
        if not hasattr(self, "counter"):
            return
        for paid in self.counter.paid:
            money = self.counter.money(paid)
            assert money["booked"] == money["refunded_minor"] <= paid.minor, (paid, money)
            is_refunded = money["status"] == "refunded"
            assert not is_refunded or money["booked"] == paid.minor, (paid, money)
            assert money["order_status"] == "paid" or money["booked"] == paid.minor, (paid, money)

    def teardown(self) -> None:
        if hasattr(self, "counter") and sys.exc_info()[0] is None:
            self.counter.come_to_rest()
            for book in self.counter.books()[:1]:
                for manner in (*LIES, "well"):
                    self.bring(book, manner)
            self.look_at_rest()

    def look_at_rest(self) -> None:
        sagas = self.counter.sagas()
        for paid in self.counter.paid:
            money = self.counter.money(paid)
            mine = [row for row in sagas if row["state"]["payment_id"] == paid.id]
            failed = [row for row in mine if row["status"] == "FAILED"]
            there = money["wallet"] + sum(
                book.amount_minor
                for book in self.counter.books()
                if book.payment_no == paid.number and book.status is RefundStatus.SUCCESS
            )
            # What left when all had gone back is not booked; a person was told.
            told = [row for row in failed if self.counter.left(row["saga_id"])]
            assert there <= paid.minor, (paid, there)
            story = (paid, money, there, [(row["status"], row["error_message"]) for row in mine])
            assert there == money["booked"] + sum(row["state"]["amount_minor"] for row in told), (
                story
            )
            for row in mine:
                left = self.counter.left(row["saga_id"])
                assert len(left) <= 1, story
                assert row["status"] != "COMPLETED" or left, story
                assert row["status"] not in {"COMPENSATED", "TIMEOUT"} or not left, story
                self.counts[row["status"]] += 1
            if not failed:
                is_all = money["booked"] == paid.minor
                expected = ("refunded", "refunded") if is_all else ("success", "paid")
                assert (money["status"], money["order_status"]) == expected, story
        self.counts["histories"] += 1
        self.counts.update(f"{kind} on the way" for kind in self.counter.all_kinds())


@pytest.fixture
def refunds_database(new_database: Callable[[], str]) -> Iterator[tuple[Database, str]]:
    url = new_database()
    database = connect(url, pool_size=4)
    yield database, url
    database.dispose()


@pytest.fixture
def open_counter(
    refunds_database: tuple[Database, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., RefundCounter]]:
    database, url = refunds_database
    with open_sandbox(tmp_path) as sandbox:
        _as_its_merchant(sandbox, url, monkeypatch)
        keys = key_ring(tmp_path / "keys")
        # A second pair of eyes on the same books: SQLite's are those of one thread.
        books = Books(tmp_path / "books.sqlite", clock=sandbox.clock)
        yield lambda payments: RefundCounter(database, sandbox, books, keys, payments=payments)
        books.close()
    payment_gateway.cache_clear()


def _as_its_merchant(sandbox: Sandbox, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, word in sandbox.environment.items():
        monkeypatch.setattr(settings, name.lower(), word or None)
    monkeypatch.setattr(settings, "database_url", SecretStr(url))
    # Hearts are beaten by hand.
    monkeypatch.setattr("saga.call.heartbeat", lambda *_, **__: nullcontext())
    payment_gateway.cache_clear()


@pytest.mark.timeout(7200)
def test_whatever_happens_to_refunds_every_fen_is_accounted_for(
    open_counter: Callable[..., RefundCounter],
    in_full: bool,  # noqa: FBT001
    proved: Callable[..., None],
) -> None:
    counts: Counter[str] = Counter()
    with capture_logs():
        run_state_machine_as_test(
            lambda: RefundHistories(open_counter, counts),
            settings=depth(
                max_examples=FULL if in_full else SHORT,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                # To shrink takes minutes here: a history that failed is printed as it was.
                phases=[Phase.generate, *([Phase.shrink] if in_full else [])],
                suppress_health_check=list(HealthCheck),
            ),
        )
    ends = ", ".join(
        f"{counts[end]} {end}" for end in ("COMPLETED", "COMPENSATED", "TIMEOUT", "FAILED")
    )
    proved(
        f"{counts['histories']} random histories of refunds at the providers' wires ({ends}; "
        f"{counts['failed on the way']} FAILED on the way, {counts['callbacks']} callbacks), "
        "0 violations",
        documented=False,
    )
