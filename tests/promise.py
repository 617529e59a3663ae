"""The nine promises, checked for one refund at the database and in the provider's books.

Numbers are those of docs/explanation/promises.md. Whoever killed, froze or doubled something asks
here what is left of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from saga import IdempotencyKey
from workflows import refund

STEPS = [step.name for step in refund.steps]
TAKE, PIVOT, BOOK, ORDER = STEPS
ENDS = {"COMPLETED", "COMPENSATED", "TIMEOUT", "FAILED"}
BACK = {"COMPENSATED", "TIMEOUT"}
OPEN = {"done", "unknown", "compensation_failed"}
GOES_BACK = {"compensating", "step_compensated", "compensated", "timed_out"}

Book = Mapping[str, Any]


def broken(connection: Connection, saga_id: UUID, books: Iterable[Book]) -> list[str]:
    """What of the promises does not hold for a refund that came to its end."""
    return list(Evidence.of(connection, saga_id, books).broken())


@dataclass(frozen=True)
class Evidence:
    """What is left of one refund: its row, its timeline, our tables, the provider's books."""

    row: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    payment: Mapping[str, Any]
    booked: Sequence[Mapping[str, Any]]
    books: Sequence[Book]

    @classmethod
    def of(cls, connection: Connection, saga_id: UUID, books: Iterable[Book]) -> "Evidence":
        def ask(sql: str, **params: Any) -> list[Mapping[str, Any]]:
            return list(connection.execute(text(sql), params).mappings())

        [row] = ask("SELECT * FROM saga_state WHERE saga_id = :id", id=saga_id)
        [payment] = ask(
            "SELECT p.*, o.status AS order_status FROM payments p "
            "JOIN orders o ON o.id = p.order_id WHERE p.id = :id",
            id=row["state"]["payment_id"],
        )
        return cls(
            row=row,
            events=ask("SELECT * FROM saga_event WHERE saga_id = :id ORDER BY seq", id=saga_id),
            payment=payment,
            booked=ask("SELECT * FROM refunds WHERE payment_id = :id", id=payment["id"]),
            books=[book for book in books if book["paymentNo"] == payment["payment_no"]],
        )

    def broken(self) -> Iterator[str]:
        yield from self._rests()
        yield from self._books_once()
        yield from self._calls_with_one_key()
        yield from self._goes_back_in_reverse()
        yield from self._stays_past_the_pivot()
        yield from self._asks_before_going_back()
        yield from self._lets_only_claims_settle()
        yield from self._frees_its_key()
        yield from self._tells_all()

    @property
    def key(self) -> str:
        return IdempotencyKey.of(self.row["saga_id"], PIVOT)

    def _kinds(self, *kinds: str, step: str | None = None) -> list[Mapping[str, Any]]:
        return [
            event
            for event in self.events
            if event["kind"] in kinds and step in {None, event["step"]}
        ]

    @property
    def _calls(self) -> list[Mapping[str, Any]]:
        return [
            event
            for event in self._kinds("attempt_started", step=PIVOT)
            if event["detail"]["task"] == PIVOT
        ]

    def _rests(self) -> Iterator[str]:
        status, sleeps = self.row["status"], self.row["wake_at"] is None
        if status not in ENDS:
            yield f"1: it is {status}"
        if not sleeps and self.row["waiting_for"] != "second_look":
            yield "1: it rests, and is to be woken"
        if status == "FAILED" and not (self.row["error_message"] and self._alarms()):
            yield "1: it is FAILED without advice or alarm"

    def _alarms(self) -> list[str]:
        return [event["detail"]["alarm"] for event in self.events if event["detail"].get("alarm")]

    def _books_once(self) -> Iterator[str]:
        done = Counter(event["step"] for event in self._kinds("step_done", "completed"))
        if again := [step for step, times in done.items() if times > 1]:
            yield f"2: done more than once: {again}"
        effects = self.row["effects"]
        booked = [refund["refund_no"] for refund in self.booked]
        if booked != ([self.key] if effects.get(BOOK) == "done" else []):
            yield f"2: {BOOK} is {effects.get(BOOK)}, and these are booked: {booked}"
        amount = sum(refund["amount_minor"] for refund in self.booked)
        if self.payment["refunded_minor"] != amount:
            yield f"2: {amount} booked, {self.payment['refunded_minor']} on the payment"
        expected = self._expected_statuses()
        actual = (self.payment["status"], self.payment["order_status"])
        if actual != expected:
            yield f"2: payment and order are {actual}, not {expected}"

    def _expected_statuses(self) -> tuple[str, str]:
        effects = self.row["effects"]
        all_of_it = self.payment["refunded_minor"] == self.payment["amount_minor"]
        order = "refunded" if effects.get(ORDER) == "done" and all_of_it else "paid"
        if effects.get(BOOK) == "done":
            return ("refunded" if all_of_it else "success", order)
        return ("refunding" if effects.get(TAKE) in OPEN else "success", order)

    def _calls_with_one_key(self) -> Iterator[str]:
        keys = {event["detail"]["key"] for event in self._kinds("attempt_started", step=PIVOT)}
        if keys - {self.key}:
            yield f"3: called with {keys}"
        if {book["refundNo"] for book in self.books} - {self.key}:
            yield f"3: the provider has refunds of other keys: {self.books}"
        if any(book["requests"] > len(self._calls) for book in self.books):
            yield f"3: the provider was asked more often than is written down: {self.books}"
        there = sum(
            int(Decimal(book["amount"]) * 100) for book in self.books if book["status"] == "SUCCESS"
        )
        if self.row["status"] == "FAILED":
            if there and self.row["effects"].get(PIVOT) not in OPEN:
                yield f"3: {there} left, and FAILED does not know of it"
        elif there != self.payment["refunded_minor"]:
            yield f"3: {there} left the provider, {self.payment['refunded_minor']} was booked"

    def _goes_back_in_reverse(self) -> Iterator[str]:
        if self.row["status"] in BACK:
            still = {step for step, effect in self.row["effects"].items() if effect in OPEN}
            if still:
                yield f"4: {self.row['status']} with open effects: {still}"
        compensated = [STEPS.index(event["step"]) for event in self._kinds("step_compensated")]
        if compensated != sorted(set(compensated), reverse=True):
            yield f"4: compensated in the order {compensated}"

    def _stays_past_the_pivot(self) -> Iterator[str]:
        done = [event["seq"] for event in self._kinds("step_done", "completed", step=PIVOT)]
        back = [event["seq"] for event in self.events if event["kind"] in GOES_BACK]
        if done and back:
            yield f"5: the pivot was done at {done}, and it went back at {back}"
        late = [event["seq"] for event in self._kinds("step_done") if event["step"] == BOOK]
        if late and not done:
            yield "5: it went on past a pivot that was not done"

    def _asks_before_going_back(self) -> Iterator[str]:
        back = [event for event in self.events if event["kind"] in GOES_BACK]
        if not back or not self._calls:
            return
        answered = {
            event["detail"].get("claim")
            for event in self.events
            if event["kind"] not in {"attempt_started", "attempt_failed"}
            and event["seq"] <= back[0]["seq"]
        }
        unknown = [event for event in self._calls if event["detail"]["claim"] not in answered]
        if unknown and back[0]["detail"].get("found") != "nothing":
            yield f"6: it went back at {back[0]['seq']}, and nobody asked what became of the call"

    def _lets_only_claims_settle(self) -> Iterator[str]:
        claims = {event["detail"]["claim"]: event for event in self._kinds("attempt_started")}
        settled = Counter[str]()
        for event in self.events:
            claim = event["detail"].get("claim")
            if claim is None or event["kind"] in {"attempt_started", "late_success"}:
                continue
            settled[claim] += 1
            if claim not in claims:
                yield f"7: {event['seq']} settles a claim that nobody made"
            elif event["kind"] != "failed" and not self._in_epoch(claims[claim], event):
                yield f"7: {event['seq']} settles a claim of another epoch"
        if twice := [claim for claim, times in settled.items() if times > 1]:
            yield f"7: settled twice: {twice}"
        epochs = [event["epoch"] for event in self.events]
        if epochs != sorted(epochs):
            yield f"7: epochs fell: {epochs}"

    @staticmethod
    def _in_epoch(claim: Mapping[str, Any], settled: Mapping[str, Any]) -> bool:
        """Going back and coming to rest raise the epoch themselves, by one."""
        raised = 1 if settled["kind"] in {"compensating", "compensated", "timed_out"} else 0
        return bool(settled["epoch"] == claim["epoch"] + raised)

    def _frees_its_key(self) -> Iterator[str]:
        if self.row["holds_key"] != (self.row["status"] not in {"COMPLETED", *BACK}):
            yield f"8: {self.row['status']}, and holds_key is {self.row['holds_key']}"

    def _tells_all(self) -> Iterator[str]:
        told = [event["seq"] for event in self.events]
        if told != list(range(1, self.row["version"] + 1)):
            yield f"9: version {self.row['version']}, and these are told: {told}"
        for event in self._kinds("attempt_started", "step_done", "completed", "step_compensated"):
            if not event["worker"]:
                yield f"9: nobody knows who did {event['seq']}"
