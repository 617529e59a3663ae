"""The provider's books: what it knows of payments and refunds, in one SQLite file.

What is to happen later stands here with the time it is due, and every look at the books
first does what has become due: so it happens on time even if the server was dead meanwhile.
Times are seconds since 1970 by the wall clock, the only one that a restart does not reset.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateways.payments.gateway import RefundRequest, RefundStatus
from gateways.payments.money import from_minor
from gateways.payments.sandbox.entries import Callback, Payment, Refund, Rejection
from gateways.payments.sandbox.schema import SCHEMA

_CALLBACK_ATTEMPTS = 6
_SELECT = "SELECT refund.*, requests FROM refund JOIN request USING (refund_no)"


class Books:
    """Every method is one transaction and short; a method that returned has been stored."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        file.parent.mkdir(parents=True, exist_ok=True)
        self._sql = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._sql.row_factory = sqlite3.Row
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")
        self._sql.execute("PRAGMA foreign_keys = ON")
        self._sql.executescript(SCHEMA)

    def close(self) -> None:
        self._sql.close()

    def know(self, payments: Sequence[Payment]) -> list[str]:
        """Learn payments; return the numbers known before with another amount or method.

        When any such number is returned, none of the payments has been learnt.
        """
        with self._writing():
            others = [
                payment.payment_no
                for payment in payments
                if (known := self._payment(payment.payment_no)) is not None
                and (known["amount_minor"], known["method"])
                != (payment.amount_minor, payment.method)
            ]
            if not others:
                self._sql.executemany(
                    "INSERT INTO payment VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    [
                        (payment.payment_no, payment.amount_minor, payment.method)
                        for payment in payments
                    ],
                )
        return others

    def count(self, order: RefundRequest) -> None:
        """Count a request that does nothing, or nothing yet."""
        with self._writing():
            self._count(order)

    def refund(
        self, order: RefundRequest, *, counted: bool = False, final_in_seconds: float | None = None
    ) -> Refund | Rejection:
        """Refund at once, or as PROCESSING that becomes SUCCESS after `final_in_seconds`.

        A number that is in the books already is answered as it stands. `counted`: the
        request has been counted before.
        """
        with self._writing() as now:
            if not counted:
                self._count(order)
            due_at = None if final_in_seconds is None else now + final_in_seconds
            return self._perform(order, due_at)

    def refund_later(self, order: RefundRequest, *, seconds: float) -> None:
        """Count the request now and refund after `seconds`, if the rules allow it then."""
        with self._writing() as now:
            self._count(order)
            self._sql.execute(
                "INSERT INTO late_refund (refund_no, payment_no, amount_minor, reason, due_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    order.refund_no,
                    order.payment_no,
                    order.amount_minor,
                    order.reason,
                    now + seconds,
                ),
            )

    def decide(self, refund_no: str, status: RefundStatus) -> Refund | None:
        """Give a refund that is not final another status; None: there is none such.

        It stays so: nothing that was due changes it. A final status is called back.
        """
        with self._writing() as now:
            decided = self._sql.execute(
                "UPDATE refund SET status = ?, due_at = NULL,"
                " callback_at = iif(notify_url IS NULL OR ?, NULL, ?)"
                " WHERE refund_no = ? AND status IN ('PROCESSING', 'ABNORMAL')",
                (
                    status.value,
                    status not in (RefundStatus.SUCCESS, RefundStatus.CLOSED),
                    now,
                    refund_no,
                ),
            )
            return self._find(refund_no) if decided.rowcount else None

    def find(self, refund_no: str) -> Refund | None:
        self.settle()
        return self._find(refund_no)

    def payment_of(self, refund_no: str) -> str | None:
        """Return the payment that a refund number was last asked for, done or not."""
        row = self._sql.execute(
            "SELECT payment_no FROM request WHERE refund_no = ?", (refund_no,)
        ).fetchone()
        return None if row is None else str(row["payment_no"])

    def refunds(self) -> list[Refund]:
        """Return every refund that happened or is happening, in the order they came."""
        self.settle()
        return [_refund(row) for row in self._sql.execute(f"{_SELECT} ORDER BY refund.rowid")]

    def settle(self) -> None:
        """Do what has become due."""
        now = self._clock()
        due = self._sql.execute(
            "SELECT 1 FROM late_refund WHERE due_at <= :now"
            " UNION ALL SELECT 1 FROM refund WHERE due_at <= :now LIMIT 1",
            {"now": now},
        ).fetchone()
        if due is not None:
            with self._writing():
                pass

    def callbacks_due(self, *, limit: int) -> list[Callback]:
        self.settle()
        rows = self._sql.execute(
            f"{_SELECT} WHERE callback_at <= ? ORDER BY callback_at LIMIT ?", (self._clock(), limit)
        )
        return [Callback(_refund(row), row["notify_url"]) for row in rows]

    def callback_ended(self, refund_no: str, *, delivered: bool) -> None:
        """Forget a delivered callback; one that failed comes again 1, 2, 4, 8, 16 s later."""
        with self._writing() as now:
            self._sql.execute(
                "UPDATE refund SET callback_attempts = callback_attempts + 1, callback_at = CASE"
                " WHEN ? OR callback_attempts + 1 >= ? THEN NULL"
                " ELSE ? + (1 << callback_attempts) END WHERE refund_no = ?",
                (delivered, _CALLBACK_ATTEMPTS, now, refund_no),
            )

    @contextmanager
    def _writing(self) -> Iterator[float]:
        """One transaction that sees the books as they are due now; gives the time."""
        # IMMEDIATE: two refunds that both read first would each see the money still there.
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            now = self._clock()
            self._settle(now)
            yield now
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise

    def _settle(self, now: float) -> None:
        self._sql.execute(
            "UPDATE refund SET status = 'SUCCESS', due_at = NULL,"
            " callback_at = iif(notify_url IS NULL, NULL, due_at) WHERE due_at <= ?",
            (now,),
        )
        late = self._sql.execute(
            "SELECT * FROM late_refund WHERE due_at <= ? ORDER BY due_at, id", (now,)
        ).fetchall()
        for row in late:
            self._perform(_late(row), None)
            self._sql.execute("DELETE FROM late_refund WHERE id = ?", (row["id"],))

    def _perform(self, order: RefundRequest, due_at: float | None) -> Refund | Rejection:
        found = self._find(order.refund_no)
        if found is not None:
            if (found.payment_no, found.amount_minor) == (order.payment_no, order.amount_minor):
                return found
            return Rejection(
                400,
                "INVALID_REQUEST",
                f"refund {found.refund_no} is of {from_minor(found.amount_minor)} for payment"
                f" {found.payment_no}; use a new refundNo for another refund",
            )
        payment = self._payment(order.payment_no)
        if payment is None:
            return Rejection(404, "PAYMENT_NOT_FOUND", f"there is no payment {order.payment_no}")
        left = payment["amount_minor"] - self._taken(order.payment_no)
        if order.amount_minor > left:
            return Rejection(
                400,
                "AMOUNT_EXCEEDED",
                f"{from_minor(left)} is left of payment {order.payment_no},"
                f" {from_minor(order.amount_minor)} was asked for",
            )
        status = RefundStatus.SUCCESS if due_at is None else RefundStatus.PROCESSING
        self._sql.execute(
            "INSERT INTO refund (refund_no, payment_no, amount_minor, reason, notify_url, status,"
            " due_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                order.refund_no,
                order.payment_no,
                order.amount_minor,
                order.reason,
                order.notify_url,
                status.value,
                due_at,
            ),
        )
        done = self._find(order.refund_no)
        assert done is not None
        return done

    def _count(self, order: RefundRequest) -> None:
        self._sql.execute(
            "INSERT INTO request VALUES (?, ?, 1) ON CONFLICT (refund_no) DO UPDATE"
            " SET requests = requests + 1, payment_no = excluded.payment_no",
            (order.refund_no, order.payment_no),
        )

    def _find(self, refund_no: str) -> Refund | None:
        row = self._sql.execute(f"{_SELECT} WHERE refund_no = ?", (refund_no,)).fetchone()
        return None if row is None else _refund(row)

    def _payment(self, payment_no: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._sql.execute(
            "SELECT amount_minor, method FROM payment WHERE payment_no = ?", (payment_no,)
        ).fetchone()
        return row

    def _taken(self, payment_no: str) -> int:
        """Return what has left the payment or is on its way."""
        row = self._sql.execute(
            "SELECT coalesce(sum(amount_minor), 0) FROM refund"
            " WHERE payment_no = ? AND status <> 'CLOSED'",
            (payment_no,),
        ).fetchone()
        return int(row[0])


def _refund(row: sqlite3.Row) -> Refund:
    return Refund(
        refund_no=row["refund_no"],
        payment_no=row["payment_no"],
        amount_minor=row["amount_minor"],
        status=RefundStatus(row["status"]),
        requests=row["requests"],
    )


def _late(row: sqlite3.Row) -> RefundRequest:
    return RefundRequest(
        refund_no=row["refund_no"],
        payment_no=row["payment_no"],
        payment_minor=row["amount_minor"],
        amount_minor=row["amount_minor"],
        currency="CNY",
        reason=row["reason"],
    )
