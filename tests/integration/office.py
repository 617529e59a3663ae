"""An office where refunds are worked by hand, and a provider whose books a test may write."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from gateways.payments import (
    NumberReused,
    PaymentGateway,
    RefundAnswer,
    RefundNotice,
    RefundRefused,
    RefundRequest,
    RefundStatus,
)
from gateways.payments.wallet import WalletGateway
from saga import IdempotencyKey, Operator, Outcome
from tests.integration.by_hand import ByHand
from tests.integration.paid import FULL, paid
from workflows import RefundInput, refund, request_refund
from workflows.reconciliation import OnFile, Reconciled, Reconciler, on_file

TABLES = (
    *("refund_checks", "refunds", "payments", "orders", "wallet_entry"),
    *("saga_state", "saga_event", "saga_signal", "saga_pause"),
)
STEP = "payment_refund.call_provider_refund"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "reconcile-refunds.md"


@dataclass
class Provider:
    """A provider whose books a test may write. ``asked`` are the numbers it was asked about."""

    books: dict[str, RefundAnswer] = field(default_factory=dict)
    refuses: bool = False
    reused: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def refund(self, request: RefundRequest) -> RefundAnswer:
        if self.refuses:
            raise RefundRefused("NO", "it does not want to")
        self.write(request.refund_no, RefundStatus.SUCCESS, request.amount_minor)
        return self.books[request.refund_no]

    def find_refund(self, refund_no: str, *, payment_no: str) -> RefundAnswer | None:
        assert payment_no.startswith("PAY")
        self.asked.append(refund_no)
        self.meanwhile()
        if (reused := self.reused.get(refund_no)) is not None:
            raise NumberReused(refund_no, reused)
        if refund_no in self.silent:
            raise TimeoutError("it says nothing")
        return self.books.get(refund_no)

    def verify_callback(
        self,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        *,
        now: datetime,  # noqa: ARG002
    ) -> RefundNotice | None:
        raise AssertionError

    def write(self, number: str, status: RefundStatus, amount_minor: int = FULL) -> None:
        self.books[number] = RefundAnswer(
            refund_no=number, status=status, amount_minor=amount_minor, raw={}
        )


class Office(ByHand):
    """Where refunds are worked by hand, and reconciled."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, refund)
        self.provider = Provider()
        self.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))

    def door(self, method: str) -> PaymentGateway:
        return WalletGateway(self.database) if method == "balance" else self.provider

    def paid(self, method: str = "wechat") -> str:
        return paid(self.database, method=method).id

    def start(self, payment_id: str, amount: str = "100.00") -> UUID:
        asked = RefundInput(payment_id=payment_id, amount=Decimal(amount), reason="a test")
        with Session(self.database) as session, session.begin():
            return request_refund(self.engine, session, asked).saga_id

    def completed(self, method: str = "wechat") -> UUID:
        saga_id = self.start(self.paid(method))
        self.work_off()
        assert self.status(saga_id) == "COMPLETED"
        return saga_id

    def compensated(self, payment_id: str | None = None) -> UUID:
        saga_id = self.start(payment_id or self.paid())
        self.provider.refuses = True
        self.work_off()
        self.provider.refuses = False
        assert self.status(saga_id) == "COMPENSATED"
        return saga_id

    def run(self, **bounds: Any) -> Reconciled:
        return Reconciler(self.engine, door=self.door).run(**bounds)

    def on_file(self) -> list[OnFile]:
        with Session(self.database) as session:
            return on_file(session)

    def found(self) -> list[tuple[str, str]]:
        """The differences on file, with the number's generation."""
        return [(found.refund_no[-1], found.difference.value) for found in self.on_file()]

    def resolve(self, saga_id: UUID, outcome: Outcome) -> None:
        """Let a person say what became of the whole saga."""
        Operator(self.engine, actor="ann").resolve(
            saga_id, outcome=outcome, evidence="I asked", reason="a test"
        )

    def give_new_number(self) -> None:
        """What a person's retry does after the provider's word that the first one is closed."""
        self.execute(
            "UPDATE saga_state SET generations = jsonb_build_object(:step, 2)", {"step": STEP}
        )

    def book(self, saga_id: UUID) -> None:
        """What a person writes who books a refund by hand, as the page says."""
        [by_hand] = re.findall(r"BEGIN;\n(.*?)COMMIT;", PAGE.read_text(), flags=re.DOTALL)
        payment_id = self.row(saga_id)["state"]["payment_id"]
        self.execute(by_hand.replace("NUMBER", key(saga_id)).replace("PAYMENT", payment_id))


def key(saga_id: UUID, generation: int = 1) -> IdempotencyKey:
    return IdempotencyKey.of(saga_id, STEP, generation=generation)
