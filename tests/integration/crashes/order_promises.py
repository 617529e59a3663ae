"""The nine promises, checked for one order: its row, its timeline, our SQL, the provider's books.

Numbers are those of docs/explanation/promises.md. Beyond them: what people did is written down once
and obeyed, nothing is begun while it is paused, and waiting costs no attempt.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from saga import IdempotencyKey

if TYPE_CHECKING:
    from tests.integration.crashes.orders import OrderDesk

STEPS = ["reserve", "ship", "pay", "book", "tell"]
SQL = ["reserve", "book"]
OUTSIDE = {"ship", "pay", "tell"}
PROBED, BACK_OF = {"find_pay"}, {"recall": "ship", "repay": "pay", "untell": "tell"}
ENDS = {"COMPLETED", "COMPENSATED", "TIMEOUT", "FAILED"}
BACK = {"COMPENSATED", "TIMEOUT"}
OPEN = {"done", "unknown"}
STANDS = OPEN | {"compensation_failed"}
GOES_BACK = {"compensating", "step_compensated", "compensated", "timed_out"}
TURNS = {"compensating", "compensated", "timed_out"}
ORDERED = {"compensation_ordered", "resolved"}
BEGINS = {"attempt_started", "attempt_counted"}
GIVES_BACK = {"waiting", "accepted", "sleeping", "signalled"}
MOST = {"recall": 3, "release": 3, "repay": 11, "untell": 11}

Event = Mapping[str, Any]


class OrderPromises:
    """What is left of one order."""

    def __init__(self, desk: "OrderDesk") -> None:
        self.desk, self.plan = desk, desk.plan
        self.row = desk.stands
        self.status = self.row["status"]
        self.events = desk.events(self.row["saga_id"])
        self.signals = desk.rows("SELECT * FROM saga_signal ORDER BY id")
        self.effects = {
            step.removeprefix("shop."): effect for step, effect in self.row["effects"].items()
        }

    def broken(self) -> Iterator[str]:
        yield from self._rests()
        yield from self._does_sql_once()
        yield from self._calls_with_one_key()
        yield from self._goes_back_in_reverse()
        yield from self._stays_past_the_pivot()
        yield from self._lets_only_claims_settle()
        yield from self._frees_its_key()
        yield from self._tells_all()
        yield from self._takes_signals_once()
        yield from self._stands_still()
        yield from self._keeps_to_its_attempts()
        yield from self._obeys()

    def _kinds(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event["kind"] in kinds]

    def _rests(self) -> Iterator[str]:
        if self.status not in ENDS:
            yield f"1: it is {self.status}"
        if self.row["wake_at"] is not None and self.row["waiting_for"] != "second_look":
            yield "1: it rests, and is to be woken"
        alarms = [event for event in self.events if event["detail"].get("alarm")]
        if self.status == "FAILED" and not (self.row["error_message"] and alarms):
            yield "1: it is FAILED without advice or alarm"
        if self.row["paused"] or self.row["claimed_by"] or self.row["signal"]:
            yield "1: it rests, and is paused, claimed, or waits for a signal"

    def _does_sql_once(self) -> Iterator[str]:
        done = Counter(event["step"] for event in self._kinds("step_done", "completed"))
        if again := [step for step, times in done.items() if times > 1]:
            yield f"2: done more than once: {again}"
        did = self.desk.did()
        stands = {step for step in SQL if self.effects.get(step) in STANDS}
        if did != stands:
            yield f"2: {sorted(did)} is there, and {sorted(stands)} is known of"

    def _calls_with_one_key(self) -> Iterator[str]:
        begun = Counter(
            (event["detail"]["task"].removeprefix("shop."), event["detail"]["key"])
            for event in self._kinds("attempt_started")
        )
        called = Counter((name, _key(given)) for name, given in self.plan.calls if name in _CALLS)
        if more := called - begun:
            yield f"3: called more often than is written down: {more}"
        generations = self.row["generations"]
        for step in OUTSIDE:
            newest = generations.get(f"shop.{step}", 1)
            keys = {
                str(IdempotencyKey.of(self.row["saga_id"], f"shop.{step}", generation=generation))
                for generation in range(1, newest + 1)
            }
            if used := {key for name, key in begun if name == step} - keys:
                yield f"3: {step} was called with {used}"
            if len(self.plan.done_under.get(step, set())) > 1:
                yield f"3: {step} took effect under {self.plan.done_under[step]}"
        there = self.plan.outside
        if self.status == "COMPLETED" and there != OUTSIDE:
            yield f"3: COMPLETED with {there} done"
        if self.status in BACK and there:
            yield f"3: {self.status}, and {there} stands"
        if self.status == "FAILED":
            known = {step for step in OUTSIDE if self.effects.get(step) in STANDS}
            if there - known:
                yield f"3: FAILED does not know of {there - known}"

    def _goes_back_in_reverse(self) -> Iterator[str]:
        still = {step for step, effect in self.effects.items() if effect in STANDS}
        if self.status in BACK and still:
            yield f"4: {self.status} with open effects: {still}"
        order = [_index(event) for event in self._kinds("step_compensated")]
        if order != sorted(set(order), reverse=True):
            yield f"4: compensated in the order {order}"

    def _stays_past_the_pivot(self) -> Iterator[str]:
        pivot = [event["seq"] for event in self._kinds("step_done") if _index(event) == 2]
        back = [event["seq"] for event in self._kinds(*GOES_BACK)]
        ordered = [event["seq"] for event in self._kinds(*ORDERED) if event["actor"] == "Ann"]
        if pivot and [
            seq for seq in back if seq > pivot[0] and not min(ordered, default=seq) < seq
        ]:
            yield f"5: the pivot was done at {pivot}, and it went back at {back}"

    def _lets_only_claims_settle(self) -> Iterator[str]:
        claims = {event["detail"]["claim"]: event for event in self._kinds("attempt_started")}
        settled = Counter[str]()
        for event in self.events:
            claim = event["detail"].get("claim")
            if claim is None or event["kind"] in {"attempt_started", "late_success"}:
                continue
            settled[claim] += 1
            raised = 1 if event["kind"] in TURNS else 0
            late = event["kind"] == "failed"
            if claim not in claims:
                yield f"7: {event['seq']} settles a claim that nobody made"
            elif not late and event["epoch"] - claims[claim]["epoch"] != raised:
                yield f"7: {event['seq']} settles a claim of another epoch"
        if twice := [claim for claim, times in settled.items() if times > 1]:
            yield f"7: settled twice: {twice}"
        epochs = [event["epoch"] for event in self.events]
        if epochs != sorted(epochs):
            yield f"7: epochs fell: {epochs}"

    def _frees_its_key(self) -> Iterator[str]:
        if self.row["holds_key"] != (self.status not in {"COMPLETED", *BACK}):
            yield f"8: {self.status}, and holds_key is {self.row['holds_key']}"

    def _tells_all(self) -> Iterator[str]:
        told = [event["seq"] for event in self.events]
        if told != list(range(1, self.row["version"] + 1)):
            yield f"9: version {self.row['version']}, and these are told: {told}"
        for event in self._kinds("attempt_started", "step_done", "completed", "step_compensated"):
            if not (event["worker"] or event["actor"]):
                yield f"9: nobody knows who did {event['seq']}"
        for reason in self.desk.seen:
            kinds = self.desk.told(reason)
            # One order may turn a saga back and resolve a step.
            if len(kinds) > len(set(kinds)):
                yield f"9: {reason} is told as {kinds}"
            if reason in self.desk.landed and not kinds:
                yield f"9: Ann was told that {reason} is written down, and it is not"

    def _takes_signals_once(self) -> Iterator[str]:
        taken = Counter(event["detail"]["signalId"] for event in self._kinds("signalled"))
        told = {event["detail"].get("signalId") for event in self.events}
        for signal in self.signals:
            signal_id = signal["signal_id"]
            if signal_id not in told:
                yield f"9: {signal_id} is kept, and no event tells of it"
            if taken[signal_id] != (signal["consumed_at"] is not None):
                yield f"9: {signal_id} was taken in {taken[signal_id]} times"
        kept = {signal["signal_id"] for signal in self.signals}
        if lost := self.desk.sent - kept:
            yield f"9: their senders were told that they are kept: {lost}"
        if self.desk.paid() != taken.total():
            yield f"9: {taken.total()} signals were taken in, and the state has {self.desk.paid()}"

    def _stands_still(self) -> Iterator[str]:
        """Nothing begins between a pause and its end; SQL has no claim, so it shows when done."""
        pauses = [event["seq"] for event in self._kinds("paused")]
        resumed = [event["seq"] for event in self._kinds("resumed")]
        for begun in self._begun():
            last = max((seq for seq in pauses if seq < begun["seq"]), default=None)
            # A pause of the step or the type ends with its step: its instants tell.
            by_itself = last is not None and self.events[last - 1]["detail"]["what"] == "saga"
            if by_itself and not [seq for seq in resumed if last < seq < begun["seq"]]:
                yield f"paused at {last}, and {begun['seq']} {begun['kind']} was begun"
            for since, until in self.desk.stood_still:
                if since < begun["at"] and (until is None or begun["at"] < until):
                    yield f"{begun['seq']} {begun['kind']} was begun while its type was paused"

    def _begun(self) -> Iterator[Event]:
        for event in self.events:
            by_sql = event["worker"] and event["detail"].get("claim") is None
            if event["kind"] in BEGINS or (
                event["kind"] in {"step_done", "step_compensated"} and by_sql
            ):
                yield event

    def _keeps_to_its_attempts(self) -> Iterator[str]:
        given_back = False
        for event in self.events:
            if event["kind"] == "attempt_started":
                task = event["detail"]["task"].removeprefix("shop.")
                if task not in PROBED and event["attempt"] > MOST.get(task, 4):
                    yield f"{event['seq']} is attempt {event['attempt']} of {task}"
                if given_back and event["attempt"] != 1:
                    yield f"{event['seq']}: the wait before it cost an attempt"
            if event["kind"] in {*BEGINS, *GIVES_BACK}:
                given_back = event["kind"] in GIVES_BACK

    def _obeys(self) -> Iterator[str]:
        stops = [event for event in self.events if event["detail"].get("reason") == "cancelled"]
        if stops and self.status == "COMPLETED" and _index(stops[0]) < 2:
            yield f"cancelled at {stops[0]['seq']}, and COMPLETED"


_CALLS = {*OUTSIDE, *PROBED, *BACK_OF}


def _key(given: Any) -> str:
    return str(getattr(given, "key", given))


def _index(event: Event) -> int:
    return STEPS.index(event["step"].removeprefix("shop."))
