"""The provider's books: what it knows of payments and refunds, in one SQLite file.

What is to happen later stands here with the time it is due, and every look at the books
first does what has become due: so it happens on time even if the server was dead meanwhile.
Times are seconds since 1970 by the wall clock, the only one that a restart does not reset.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from uuid import uuid4

from gateways.payments.gateway import RefundStatus
from gateways.payments.sandbox.entries import (
    Callback,
    Payment,
    Refund,
    RefundOrder,
    Rejection,
)
from gateways.payments.sandbox.rules import is_over, is_same, rejection
from gateways.payments.sandbox.schema import upgrade

_CALLBACK_ATTEMPTS = 6
_SELECT = """
    SELECT refund.*, refund.rowid AS number, requests, method, paid.amount_minor AS payment_minor
    FROM refund JOIN request USING (refund_no)
    JOIN payment AS paid ON paid.payment_no = refund.payment_no
"""


class Books:
    """Every method is one transaction and short; a method that returned has been stored."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        file.parent.mkdir(parents=True, exist_ok=True)
        self._sql = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._sql.row_factory = sqlite3.Row
        self._sql.create_function("new_event_id", 0, lambda: str(uuid4()))
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")
        self._sql.execute("PRAGMA foreign_keys = ON")
        upgrade(self._sql)

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
                and (known.amount_minor, known.method) != (payment.amount_minor, payment.method)
            ]
            if not others:
                self._sql.executemany(
                    "INSERT INTO payment VALUES (:payment_no, :amount_minor, :method, :notify_url)"
                    " ON CONFLICT (payment_no) DO UPDATE"
                    " SET notify_url = coalesce(excluded.notify_url, notify_url)",
                    [asdict(payment) for payment in payments],
                )
        return others

    def count(self, order: RefundOrder) -> None:
        """Count a request that does nothing, or nothing yet."""
        with self._writing():
            self._count(order)

    def refund(
        self, order: RefundOrder, *, counted: bool = False, final_in_seconds: float | None = None
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

    def refund_later(self, order: RefundOrder, *, seconds: float) -> None:
        """Count the request now and refund after `seconds`, if the rules allow it then."""
        with self._writing() as now:
            self._count(order)
            self._sql.execute(
                "INSERT INTO late_refund (refund_no, payment_no, method, payment_minor,"
                " amount_minor, reason, notify_url, due_at) VALUES (:refund_no, :payment_no,"
                " :method, :payment_minor, :amount_minor, :reason, :notify_url, :due_at)",
                asdict(order) | {"due_at": now + seconds},
            )

    def decide(self, refund_no: str, status: RefundStatus) -> Refund | None:
        """Give a refund that is not final another status; None: there is none such.

        It stays so: nothing that was due changes it. All but PROCESSING is called back.
        """
        with self._writing() as now:
            decided = self._sql.execute(
                "UPDATE refund SET status = :status, due_at = NULL,"
                " done_at = iif(:status = 'SUCCESS', :now, NULL),"
                " callback_at = iif(notify_url IS NULL OR :status = 'PROCESSING', NULL, :now),"
                " callback_attempts = 0, event_id = new_event_id()"
                " WHERE refund_no = :refund_no AND status IN ('PROCESSING', 'ABNORMAL')",
                {"status": status.value, "now": now, "refund_no": refund_no},
            )
            return self._find(refund_no) if decided.rowcount else None

    def find(self, refund_no: str) -> Refund | None:
        self.settle()
        return self._find(refund_no)

    def payment(self, payment_no: str) -> Payment | None:
        return self._payment(payment_no)

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

    def refunded(self, payment_no: str) -> int:
        """Return what was refunded of a payment in all, in fen."""
        row = self._sql.execute(
            "SELECT coalesce(sum(amount_minor), 0) FROM refund"
            " WHERE payment_no = ? AND status = 'SUCCESS'",
            (payment_no,),
        ).fetchone()
        return int(row[0])

    def callbacks_due(self, *, limit: int) -> list[Callback]:
        self.settle()
        rows = self._sql.execute(
            f"{_SELECT} WHERE callback_at <= ? ORDER BY callback_at LIMIT ?", (self._clock(), limit)
        )
        return [
            Callback(
                _refund(row), row["notify_url"], row["event_id"], self.refunded(row["payment_no"])
            )
            for row in rows.fetchall()
        ]

    def callback_ended(self, event_id: str, *, delivered: bool) -> None:
        """Forget a delivered callback; one that failed comes again 1, 2, 4, 8, 16 s later.

        One that a newer event of its refund has replaced does not.
        """
        with self._writing() as now:
            self._sql.execute(
                "UPDATE refund SET callback_attempts = callback_attempts + 1, callback_at = CASE"
                " WHEN ? OR callback_attempts + 1 >= ? THEN NULL"
                " ELSE ? + (1 << callback_attempts) END WHERE event_id = ?",
                (delivered, _CALLBACK_ATTEMPTS, now, event_id),
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
            "UPDATE refund SET status = 'SUCCESS', done_at = due_at, due_at = NULL,"
            " callback_at = iif(notify_url IS NULL, NULL, due_at), event_id = new_event_id()"
            " WHERE due_at <= ?",
            (now,),
        )
        late = self._sql.execute(
            "SELECT * FROM late_refund WHERE due_at <= ? ORDER BY due_at, id", (now,)
        ).fetchall()
        for row in late:
            done = self._perform(_late(row), None)
            if isinstance(done, Refund) and done.new:
                # Who was cut off is told like everybody who got no final answer.
                self._sql.execute(
                    "UPDATE refund SET callback_at = iif(notify_url IS NULL, NULL, ?)"
                    " WHERE refund_no = ?",
                    (row["due_at"], done.refund_no),
                )
            self._sql.execute("DELETE FROM late_refund WHERE id = ?", (row["id"],))

    def _perform(self, order: RefundOrder, due_at: float | None) -> Refund | Rejection:
        found = self._find(order.refund_no)
        if found is not None:
            if not is_same(order, found):
                return Rejection.ANOTHER_REFUND
            if not is_over(found):
                return found
            self._sql.execute("DELETE FROM refund WHERE refund_no = ?", (order.refund_no,))
        payment = self._payment(order.payment_no)
        rejected = rejection(order, payment, taken_minor=self._taken(order.payment_no))
        if rejected is not None or payment is None:
            return rejected or Rejection.UNKNOWN_PAYMENT
        now = self._clock()
        self._sql.execute(
            "INSERT INTO refund (refund_no, payment_no, amount_minor, reason, notify_url, status,"
            " due_at, created_at, done_at, event_id) VALUES (:refund_no, :payment_no,"
            " :amount_minor, :reason, coalesce(:notify_url, :payment_url),"
            " iif(:due_at IS NULL, 'SUCCESS', 'PROCESSING'), :due_at, :now,"
            " iif(:due_at IS NULL, :now, NULL), new_event_id())",
            asdict(order) | {"due_at": due_at, "now": now, "payment_url": payment.notify_url},
        )
        done = self._find(order.refund_no)
        assert done is not None
        return replace(done, new=True)

    def _count(self, order: RefundOrder) -> None:
        self._sql.execute(
            "INSERT INTO request VALUES (?, ?, 1) ON CONFLICT (refund_no) DO UPDATE"
            " SET requests = requests + 1, payment_no = excluded.payment_no",
            (order.refund_no, order.payment_no),
        )

    def _find(self, refund_no: str) -> Refund | None:
        row = self._sql.execute(f"{_SELECT} WHERE refund_no = ?", (refund_no,)).fetchone()
        return None if row is None else _refund(row)

    def _payment(self, payment_no: str) -> Payment | None:
        row = self._sql.execute(
            "SELECT * FROM payment WHERE payment_no = ?", (payment_no,)
        ).fetchone()
        return None if row is None else Payment(**row)

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
        number=row["number"],
        refund_no=row["refund_no"],
        payment_no=row["payment_no"],
        method=row["method"],
        payment_minor=row["payment_minor"],
        amount_minor=row["amount_minor"],
        status=RefundStatus(row["status"]),
        requests=row["requests"],
        created_at=row["created_at"],
        done_at=row["done_at"],
    )


def _late(row: sqlite3.Row) -> RefundOrder:
    asked = dict(row)
    return RefundOrder(**{each.name: asked[each.name] for each in fields(RefundOrder)})
