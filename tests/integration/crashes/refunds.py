"""Refunds worked by hand: the real saga and its steps, a real PostgreSQL, the real sandbox."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from saga import BusinessKeyTaken, Timing
from saga.crashpoints import around
from tests.integration.crashes.desk import Desk
from tests.integration.crashes.sandbox import Sandbox
from tests.integration.paid import paid
from tests.promise import broken
from workflows import RefundInput, refund, request_refund

AMOUNT = Decimal("100.00")
EMPTY = "; ".join(f"DELETE FROM {table}" for table in ("refunds", "payments", "orders"))
NO_TROUBLE = (
    "DROP TRIGGER IF EXISTS trouble ON payments; DROP TRIGGER IF EXISTS trouble ON refunds; "
    "DROP SEQUENCE IF EXISTS trouble"
)
TROUBLE = """
CREATE SEQUENCE trouble;
CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('trouble') <= TG_ARGV[0]::int THEN
        RAISE EXCEPTION 'trouble' USING ERRCODE = TG_ARGV[1];
    END IF;
    RETURN NEW;
END $$;
"""


class RefundDesk(Desk):
    """One refund, from an empty database to its end."""

    def __init__(self, database: Database, sandbox: Sandbox, *, timing: Timing) -> None:
        super().__init__(database, refund, timing=timing)
        self.sandbox = sandbox
        self.open()
        self.execute(f"{EMPTY}; {NO_TROUBLE}")
        sandbox.forget_faults()
        self.asked = self._payment()

    def _payment(self) -> RefundInput:
        payment = paid(self.database, minor=int(AMOUNT * 100))
        self.sandbox.know(payment.payment_no, str(AMOUNT))
        return RefundInput(payment_id=payment.id, amount=AMOUNT, reason="test")

    def start(self, idempotency_key: str = "key") -> None:
        with Session(self.database) as session:
            request_refund(self.engine, session, self.asked, idempotency_key)
            with around("commit"):
                session.commit()

    def fault(self, fault: dict[str, Any]) -> None:
        self.sandbox.fault(fault)

    def during_calls(self, do: Callable[[str], None]) -> None:
        """Nobody does anything to a refund meanwhile."""

    def another_may_start(self) -> bool:
        try:
            with Session(self.database) as session:
                request_refund(self.engine, session, self.asked, "another")
        except BusinessKeyTaken:
            return False
        return True

    def let_pass(self, time: timedelta) -> None:
        """Time passes for the provider, too."""
        super().let_pass(time)
        self.sandbox.clock.ahead += time

    def make_trouble(self, when: str, *, times: int, code: str = "P0001") -> None:
        """Let SQL fail with this SQLSTATE, so many times; ``when`` as in CREATE TRIGGER."""
        self.execute(
            f"{TROUBLE} CREATE TRIGGER trouble BEFORE {when} EXECUTE FUNCTION "
            f"trouble('{times}', '{code}')"
        )

    def books(self) -> list[dict[str, Any]]:
        return self.sandbox.books()

    def broken_promises(self) -> list[str]:
        saga_id = self.saga_id()
        assert saga_id is not None
        with self.database.begin() as connection:
            return broken(connection, saga_id, self.sandbox.books())
