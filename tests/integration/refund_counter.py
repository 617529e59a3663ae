"""Refunds of several payments at once: by hand, but for the providers and their libraries.

Workers, broker, time and operators are worked by hand; PostgreSQL, the sandbox with its books, the
gateways and the webhooks are real. Callbacks are made by the sandbox's own hand, and brought when
and as often as a test likes.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from api import create_app
from gateways.payments import RefundStatus
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.entries import Callback
from gateways.payments.sandbox.entries import Refund as Book
from gateways.payments.sandbox.keys import KeyRing
from gateways.payments.sandbox.notices import Notice, notice
from saga import IdempotencyKey, Operator, Outcome, Timing
from saga.crashpoints import armed
from saga.errors import Conflict, InvalidInput
from tasks.doors import payment_gateway
from tests.integration.by_hand import ByHand, Killed, Message
from tests.integration.crashes.desk import EMPTY as NO_SAGAS
from tests.integration.crashes.sandbox import Sandbox
from tests.integration.paid import paid
from workflows import RefundInput, refund, request_refund
from workflows.reconciliation import Reconciler

PIVOT = "payment_refund.call_provider_refund"
TIMING = Timing(lease=timedelta(milliseconds=300), grace=timedelta(seconds=1))
EMPTY = "; ".join(
    f"DELETE FROM {table}"
    for table in ("refund_checks", "refunds", "payments", "orders", "wallet_entry")
)
WALLET = "balance"
UNDECIDED = {RefundStatus.PROCESSING, RefundStatus.ABNORMAL}


@dataclass(frozen=True, kw_only=True)
class Paid:
    """A payment as it was made."""

    id: str
    number: str
    minor: int
    method: str


class RefundCounter(ByHand):
    """Payments, each of ``minor`` by a ``method``, and all that may happen to their refunds."""

    def __init__(
        self,
        database: Database,
        sandbox: Sandbox,
        books: Books,
        keys: KeyRing,
        *,
        payments: Sequence[tuple[str, int]],
    ) -> None:
        super().__init__(database, refund, timing=TIMING)
        self.execute(f"{NO_SAGAS}; {EMPTY}")
        sandbox.forget_faults()
        self.sandbox = sandbox
        self.keys = keys
        self._books = books
        self.api = httpx.ASGITransport(create_app(self.engine, api_key="key"))
        self.ann = Operator(self.engine, actor="Ann")
        self.paid = [self._pay(method, minor) for method, minor in payments]
        self.seen: list[Message] = []

    def _pay(self, method: str, minor: int) -> Paid:
        made = paid(self.database, method=method, minor=minor)
        known = Paid(id=made.id, number=made.payment_no, minor=minor, method=method)
        if method != WALLET:
            told = {"paymentNo": known.number, "amount": f"{minor / 100:.2f}", "method": method}
            self.steer("/control/payments", payments=[told])
        return known

    def steer(self, path: str, **body: Any) -> bool:
        """Let the sandbox's own people do something; whether they could."""
        answer = httpx.post(f"{self.sandbox.url}{path}", json=body, timeout=30, trust_env=False)
        return answer.is_success

    # Producers and workers

    def ask(self, paid: Paid, minor: int) -> UUID | None:
        """Ask for a part; None: it was refused."""
        asked = RefundInput(payment_id=paid.id, amount=Decimal(minor).scaleb(-2), reason="a part")
        try:
            with Session(self.database) as session, session.begin():
                return request_refund(self.engine, session, asked).saga_id
        except (Conflict, InvalidInput):
            return None

    def work(self, *, dies_at: int | None = None, loses: bool = False) -> None:
        """Deliver the next message; where its worker dies, it is given back, or is lost."""
        queue = self.broker.queue
        if not queue:
            return
        message = queue.popleft()
        self.seen.append(message)
        try:
            with armed(_death(dies_at)):
                self.deliver(message)
        except Killed:
            if self.in_hand is not None and not loses:
                queue.appendleft(replace(message, redelivered=True))

    def deliver_again(self, which: int) -> None:
        if self.seen:
            self.deliver(self.seen[which % len(self.seen)])

    def let_pass(self, time: timedelta) -> None:
        """Time passes for the providers, too."""
        super().let_pass(time)
        self.sandbox.clock.ahead += time

    def reconcile(self) -> None:
        Reconciler(self.engine, door=payment_gateway).run()

    # Providers

    def books(self) -> list[Book]:
        """What the providers wrote down for these payments; not the wallet."""
        numbers = {paid.number for paid in self.paid}
        return [book for book in self._books.refunds() if book.payment_no in numbers]

    def decide(self, book: Book, status: RefundStatus) -> bool:
        return self.steer(f"/control/refunds/{book.refund_no}", status=status.value)

    def callback(self, book: Book, *, age: timedelta = timedelta(0)) -> Notice | None:
        """What the provider would post now, or did at this age; None: it says nothing of it."""
        back = sum(
            each.amount_minor
            for each in self.books()
            if each.payment_no == book.payment_no and each.status is RefundStatus.SUCCESS
        )
        told = Callback(
            refund=book, url="", event_id=f"{book.refund_no}:{book.status}", refunded_minor=back
        )
        if book.status is RefundStatus.PROCESSING:
            return None
        sent_at = time.time() - age.total_seconds()
        with pytest.MonkeyPatch.context() as clock:
            clock.setattr(time, "time", lambda: sent_at)
            return notice(told, self.keys)

    def hear(self, method: str, told: Notice) -> httpx.Response:
        """Bring a callback to the webhook."""

        async def post() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.api, base_url="http://us") as provider:
                return await provider.post(
                    f"/api/webhooks/{method}", content=told.body, headers=told.headers
                )

        return asyncio.run(post())

    # What is so

    def sagas(self) -> list[dict[str, Any]]:
        with self.database.begin() as connection:
            found = connection.execute(text("SELECT * FROM saga_state ORDER BY id")).mappings()
            return [dict(row) for row in found]

    def all_kinds(self) -> list[str]:
        """The kinds of all events."""
        with self.database.begin() as connection:
            return list(connection.execute(text("SELECT kind FROM saga_event")).scalars())

    def money(self, paid: Paid) -> dict[str, Any]:
        """A payment, its order's status, what is booked of it, and what left by the wallet."""
        sql = text(
            "SELECT p.status, p.refunded_minor, o.status AS order_status, "
            "(SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE payment_id = p.id) AS booked"
            ", (SELECT coalesce(sum(amount_minor), 0) FROM wallet_entry "
            "WHERE payment_no = p.payment_no) AS wallet "
            "FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.id = :id"
        )
        with self.database.begin() as connection:
            return dict(connection.execute(sql, {"id": paid.id}).mappings().one())

    def left(self, saga_id: UUID) -> list[str]:
        """The numbers under which money of a refund left, by its providers' books."""
        entries = text("SELECT refund_no FROM wallet_entry")
        with self.database.begin() as connection:
            numbers = list(connection.execute(entries).scalars())
        numbers += [book.refund_no for book in self.books() if book.status is RefundStatus.SUCCESS]
        return [number for number in numbers if IdempotencyKey.saga_id(number) == saga_id]

    # The end

    def come_to_rest(self) -> None:
        """Mend all, let the providers finish, and let people act on what is FAILED."""
        self.sandbox.forget_faults()
        self.broker.held.clear()
        for _ in range(6):
            is_settled = self._settle_down()
            undecided = [book for book in self.books() if book.status in UNDECIDED]
            for number, book in enumerate(undecided):
                self.decide(book, RefundStatus.CLOSED if number % 2 else RefundStatus.SUCCESS)
            failed = [row for row in self.sagas() if row["status"] == "FAILED"]
            for row in failed:
                self._repair(row["saga_id"])
            if is_settled and not undecided and not failed:
                break
        for look in (timedelta(0), timedelta(minutes=11), timedelta(hours=25)):
            self.let_pass(look)
            assert self._settle_down(), f"no rest: {self.sagas()}"
        self.reconcile()

    def _settle_down(self) -> bool:
        """Whether all rest, or are FAILED, within an hour and a half."""
        for _ in range(45):
            self.recover()
            self.work_off(most=300)
            if not any(row["status"] in {"RUNNING", "COMPENSATING"} for row in self.sagas()):
                return True
            self.let_pass(timedelta(minutes=2))
        return False

    def _repair(self, saga_id: UUID) -> None:
        """What a careful person does: try again, else tell the engine what the books say."""
        try:
            self.ann.retry(saga_id, reason="the provider is well again")
        except Conflict:
            did = Outcome.DONE if self.left(saga_id) else Outcome.NOT_DONE
            try:
                self.ann.resolve(
                    saga_id, step=PIVOT, outcome=did, evidence="the books", reason="I looked"
                )
            except Conflict:
                return


def _death(at: int | None) -> Any:
    """A hook that kills at the point of this number, if it is reached."""
    points = iter(range(10_000))

    def reach(_: str) -> None:
        if next(points) == at:
            raise Killed

    return reach
