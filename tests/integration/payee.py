"""Refunds by hand through the real libraries, and callbacks handed over one by one."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from api import create_app
from commands.payments import make_payments
from gateways.payments import RefundStatus
from gateways.payments.sandbox.entries import Callback, Refund
from gateways.payments.sandbox.keys import KeyRing
from gateways.payments.sandbox.notices import Notice, notice
from models import PaymentMethod, PaymentView
from saga import IdempotencyKey, Operator, Timing
from tests.integration.by_hand import ByHand
from tests.integration.crashes.sandbox import Sandbox
from workflows import RefundInput, refund, request_refund

STEP = "payment_refund.call_provider_refund"
FULL = 100_00
EMPTY = "; ".join(
    f"DELETE FROM {table}"
    for table in (
        *("refund_checks", "refunds", "payments", "orders", "wallet_entry"),
        *("saga_state", "saga_event", "saga_signal", "saga_pause"),
    )
)


@dataclass(frozen=True)
class Heard:
    """What a provider is answered."""

    status: int
    text: str


class Payee(ByHand):
    """A shop whose refunds are worked by hand, and whose webhooks are called by hand."""

    def __init__(self, database: Database, sandbox: Sandbox, ring: KeyRing) -> None:
        # A provider's word takes seconds here, and a lease must outlive it.
        super().__init__(database, refund, timing=Timing(second_looks=()))
        self.sandbox, self.ring = sandbox, ring
        self.api = create_app(self.engine, api_key=None)
        self.operator = Operator(self.engine, actor="ann")
        with database.begin() as connection:
            connection.exec_driver_sql(EMPTY)
        sandbox.forget_faults()

    def payment(self, method: str, amount_minor: int = FULL) -> PaymentView:
        [made] = make_payments(
            self.database,
            sandbox_url=self.sandbox.url,
            count=1,
            amount_minor=amount_minor,
            method=PaymentMethod(method),
        )
        return made

    def start(self, payment: PaymentView, amount: str = "100.00") -> UUID:
        asked = RefundInput(payment_id=payment.id, amount=Decimal(amount), reason="broken")
        with Session(self.database) as session, session.begin():
            return request_refund(self.engine, session, asked).saga_id

    def accepted(self, payment: PaymentView, amount: str = "100.00") -> UUID:
        """A refund that its provider has, and is not done with."""
        self.sandbox.fault({"operation": "refund", "kind": "processing", "seconds": 86400})
        saga_id = self.start(payment, amount)
        self.work_off()
        return saga_id

    def decided(self, saga_id: UUID, status: str, *, generation: int = 1) -> None:
        """The provider's own people decide."""
        number = self.number(saga_id, generation)
        url = f"{self.sandbox.url}/control/refunds/{number}"
        httpx.post(url, json={"status": status}, trust_env=False).raise_for_status()

    def number(self, saga_id: UUID, generation: int = 1) -> str:
        return IdempotencyKey.of(saga_id, STEP, generation=generation)

    def notice(
        self,
        payment: PaymentView,
        number: str,
        status: str = "SUCCESS",
        *,
        event: str = "event-1",
        ring: KeyRing | None = None,
    ) -> Notice:
        """A genuine callback, as the provider would post it now."""
        told = Callback(
            refund=Refund(
                number=1,
                refund_no=number,
                payment_no=payment.payment_no,
                method=payment.method,
                payment_minor=FULL,
                amount_minor=FULL,
                status=RefundStatus(status),
                requests=1,
                created_at=time.time(),
                done_at=time.time() if status == "SUCCESS" else None,
            ),
            url="",
            event_id=event,
            refunded_minor=FULL,
        )
        made = notice(told, ring or self.ring)
        assert made is not None, "this provider tells nothing of that"
        return made

    def call_back(self, method: str, told: Notice) -> Heard:
        return asyncio.run(_post(self.api, f"/api/webhooks/{method}", told))

    def tell(self, payment: PaymentView, saga_id: UUID, status: str, *, event: str) -> Heard:
        """The provider calls back about the first number."""
        told = self.notice(payment, self.number(saga_id), status, event=event)
        return self.call_back(payment.method, told)

    def rests(self, saga_id: UUID, *, step: timedelta = timedelta(minutes=2)) -> str:
        return self.recover_until_rest(saga_id, step=step)

    def book(self, number: str) -> dict[str, Any] | None:
        found = [book for book in self.sandbox.books() if book["refundNo"] == number]
        return found[0] if found else None

    def ask(self, sql: str, **params: Any) -> list[Any]:
        with self.database.begin() as connection:
            return list(connection.execute(text(sql), params))

    def agree(self) -> bool:
        """Whether the provider's books, payments, refunds and orders agree to the fen."""
        books = [book for book in self.sandbox.books() if book["status"] == "SUCCESS"]
        ours = self.ask(
            "SELECT p.payment_no, p.refunded_minor, p.status, p.amount_minor, o.status AS ordered, "
            "(SELECT coalesce(sum(amount_minor), 0) FROM refunds r WHERE r.payment_id = p.id) "
            "AS booked FROM payments p JOIN orders o ON o.id = p.order_id"
        )
        for each in ours:
            there = sum(
                int(Decimal(book["amount"]) * 100)
                for book in books
                if book["paymentNo"] == each.payment_no
            )
            if not there == each.refunded_minor == each.booked:
                return False
            is_all = each.refunded_minor == each.amount_minor
            expected = ("refunded", "refunded") if is_all else ("success", "paid")
            if (each.status, each.ordered) != expected:
                return False
        return True


async def _post(api: FastAPI, path: str, told: Notice) -> Heard:
    served = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=served, base_url="http://shop.test") as client:
        answer = await client.post(path, content=told.body.encode(), headers=told.headers)
    return Heard(answer.status_code, answer.text)


def forged(told: Notice, **headers: str) -> Notice:
    return replace(told, headers=told.headers | headers)
