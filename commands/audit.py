"""Our payments beside the books of those who hold the money."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from gateways.payments import RefundStatus
from gateways.payments.money import to_minor
from gateways.payments.wallet import wallet_entry
from models import Payment, PaymentStatus, PaymentView, decimal_text

_PATIENCE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Line:
    """One payment: what we say was refunded, and what the books say.

    ``asked`` counts the refund requests that the provider saw and did not refuse; the wallet
    counts none.
    """

    payment: PaymentView
    ours_minor: int
    books_minor: int
    asked: int | None

    @property
    def difference_minor(self) -> int:
        return self.ours_minor - self.books_minor

    @property
    def difference(self) -> str:
        return signed(self.difference_minor)

    @property
    def books(self) -> str:
        return decimal_text(self.books_minor)


def signed(amount_minor: int) -> str:
    """Give a difference with two decimals: ``0.00``, ``-1.50``."""
    return ("-" if amount_minor < 0 else "") + decimal_text(abs(amount_minor))


def audit(database: Engine, sandbox_url: str) -> list[Line]:
    """Compare every payment with the books, the oldest first."""
    with Session(database) as session:
        payments = list(session.scalars(select(Payment).order_by(Payment.created_at, Payment.id)))
        wallet: dict[str, int] = {
            number: int(amount)
            for number, amount in session.execute(
                select(wallet_entry.c.payment_no, func.sum(wallet_entry.c.amount_minor)).group_by(
                    wallet_entry.c.payment_no
                )
            )
        }
    provider, asked = _books(sandbox_url)
    return [
        Line(
            payment=PaymentView.of(payment),
            ours_minor=payment.refunded_minor,
            books_minor=provider.get(payment.payment_no, 0) + wallet.get(payment.payment_no, 0),
            asked=asked.get(payment.payment_no),
        )
        for payment in payments
    ]


def _books(sandbox_url: str) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Give, by payment number, what the provider refunded and how often it was asked to."""
    with httpx.Client(timeout=_PATIENCE_SECONDS, trust_env=False) as client:
        answer = client.get(f"{sandbox_url}/control/books").raise_for_status()
    refunded: dict[str, int] = {}
    asked: dict[str, int] = {}
    for refund in answer.json()["refunds"]:
        number = refund["paymentNo"]
        asked[number] = asked.get(number, 0) + refund["requests"]
        if refund["status"] == RefundStatus.SUCCESS:
            refunded[number] = refunded.get(number, 0) + to_minor(refund["amount"])
    return refunded, asked


def problems(lines: list[Line]) -> Iterator[str]:
    """Say what is wrong: money that differs, and payments that are still between two states."""
    for line in lines:
        name = f"payment {line.payment.payment_no}"
        if line.difference_minor:
            yield f"{name}: we say {line.payment.refunded_amount}, the books say {line.books}"
        if line.payment.status == PaymentStatus.REFUNDING:
            yield f"{name} is still {PaymentStatus.REFUNDING}"
