"""What must hold whatever happens: every move of a row, and every row against the world's truth."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from saga import IdempotencyKey
from tests.integration.market import Market

ENDS = {"COMPLETED", "COMPENSATED", "TIMEOUT", "FAILED"}
BACK = {"COMPENSATING", "COMPENSATED", "TIMEOUT"}
# docs/explanation/protocol.md, Statuses
ALLOWED = {
    "RUNNING": {"RUNNING", "COMPLETED", "COMPENSATING", "COMPENSATED", "TIMEOUT", "FAILED"},
    "COMPENSATING": {"COMPENSATING", "COMPENSATED", "TIMEOUT", "FAILED"},
    "COMPENSATED": {"COMPENSATED", "FAILED"},
    "TIMEOUT": {"TIMEOUT", "FAILED"},
    "COMPLETED": {"COMPLETED"},
    "FAILED": {"FAILED"},
}
STEPS = ["shop.reserve", "shop.ship", "shop.pay", "shop.book", "shop.tell"]
PIVOT = STEPS.index("shop.pay")
COMPENSATION = {"shop.reserve": "release", "shop.ship": "recall"}
CALLS, IN_SQL = {"ship", "pay", "tell"}, {"reserve", "book"}
OPEN = {"done", "unknown"}
BEGINS = {"attempt_started", "attempt_counted"}
GIVES_BACK = {"accepted", "waiting", "signalled"}
ATTEMPTS, COMPENSATIONS = 4, 3
HOUR = timedelta(hours=1)

# All in one look; what was noted is not noted again.
_SEEN = """
WITH noted AS (DELETE FROM movement RETURNING id, before, after)
SELECT (SELECT json_agg(noted ORDER BY id) FROM noted) AS noted,
       (SELECT json_agg(saga_state) FROM saga_state) AS rows,
       (SELECT json_agg(did) FROM did) AS did"""

Row = dict[str, Any]


class Audit:
    """Looks at everything that was committed since it last looked."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._provider = market.provider
        self.events: defaultdict[UUID, list[Row]] = defaultdict(list)
        self._counts: Counter[tuple[UUID, str]] = Counter()
        self._missed: set[tuple[UUID, str]] = set()
        self._paused: set[str | None] = set()
        self._called = 0
        self.rows: dict[UUID, Row] = {}

    def look(self) -> None:
        """Raises AssertionError when anything is as it must never be."""
        assert not self._provider.intruders, f"an old epoch acts: {self._provider.intruders}"
        (seen,) = self._market.place.ask(_SEEN)
        noted, rows, did = seen["noted"] or [], seen["rows"] or [], seen["did"] or []
        # What began in the very moment of a pause may be told behind it.
        self._paused, paused = self._paused & self._market.paused, set(self._market.paused)
        for event in (each["after"] for each in noted if each["before"] is None):
            self._event(event)
        for each in noted:
            if each["before"] is not None:
                self._movement(each["before"], each["after"])
        self._give_back(noted)
        self._paused = paused
        self.rows = {UUID(row["saga_id"]): row for row in rows}
        assert set(self.rows) == set(self._market.sagas), "a saga is missing"
        for row in rows:
            self._row(row)
        self._business_keys(rows)
        self._sql(rows, did)
        self._calls()

    def _give_back(self, noted: list[Row]) -> None:
        """Once it is written down that a step waits, its failures so far do not count."""
        last = {each["after"]["saga_id"]: each["after"] for each in noted if not each["before"]}
        for saga_id, event in last.items():
            if event["kind"] in GIVES_BACK:
                name = event["step"].removeprefix("shop.")
                self._provider.failures[UUID(saga_id), name] = 0

    def _event(self, event: Row) -> None:
        events = self.events[UUID(event["saga_id"])]
        assert event["seq"] == len(events) + 1, f"a gap in the timeline: {event}"
        events.append(event)
        if "SignalMissed" in str(event["detail"].get("error")):
            self._missed.add((UUID(event["saga_id"]), event["step"]))
        if event["kind"] in BEGINS:
            stopped = self._paused & {None, event["step"]}
            assert not stopped, f"begun while {stopped} is paused: {event}"

    def _movement(self, before: Row, after: Row) -> None:
        saga_id = UUID(after["saga_id"])
        changed = {name for name in after if after[name] != before[name]}
        if after["version"] == before["version"]:
            assert changed <= {"wake_at", "attempt"}, f"moved without an event: {changed}"
            return
        assert after["version"] == before["version"] + 1
        event = self.events[saga_id][after["version"] - 1]
        assert not (before["paused"] and event["kind"] in BEGINS), f"begun while paused: {event}"
        assert (event["epoch"], event["step"]) == (after["epoch"], before["current_step"])
        assert after["status"] in ALLOWED[before["status"]], (before["status"], after["status"])
        self._epoch(before, after, event)
        if after["status"] in BACK and (
            before["status"] == "RUNNING" or after["current_step"] != before["current_step"]
        ):
            self._going_back(before, after)
        if after["status"] == "FAILED" and before["status"] != "FAILED":
            self._failed(saga_id, after, event)

    def _epoch(self, before: Row, after: Row, event: Row) -> None:
        """Who has the claim moves the row; only recovery takes it away, in a new epoch."""
        token, is_its_own = before["claimed_by"], False
        if token is not None:
            is_its_own = event["detail"].get("claim") == token
            assert after["claimed_by"] in {token, None}, "two claims at once"
        taken = token is not None and after["claimed_by"] is None and not is_its_own
        turned = after["status"] != before["status"] and after["status"] != "COMPLETED"
        # A probe that is lost for good ends its saga in the epoch that begins with that.
        # What a transaction said before its signal came must not be written down behind it.
        in_sql = before["current_step"].removeprefix("shop.") in IN_SQL
        raises = event["kind"] == "retried" or (event["kind"] == "signalled" and in_sql)
        raised = taken or turned or raises
        assert after["epoch"] == before["epoch"] + raised, (event, before, after)
        if after["claimed_by"] is not None and token is None:
            assert event["kind"] == "attempt_started"

    def _going_back(self, before: Row, after: Row) -> None:
        effects, index = after["effects"], after["step_index"]
        saga_id, reason = UUID(after["saga_id"]), after["stop_reason"]
        if before["status"] == "RUNNING":
            assert before["step_index"] <= PIVOT, "went back past the pivot"
            assert before["effects"].get("shop.pay") != "done", "went back although it was paid"
            at, timeout_at = _instant(after["updated_at"]), _instant(before["timeout_at"])
            self._reason(saga_id, reason, before["current_step"], at, timeout_at)
        later = {effects.get(step) for step in STEPS[index + 1 :]}
        if after["status"] == "COMPENSATING":
            assert not later & OPEN, f"not in reverse order: {effects}"

    def _reason(
        self, saga_id: UUID, reason: str, step: str, at: datetime, timeout_at: datetime
    ) -> None:
        """Nothing goes back without a cause out in the world."""
        name, provider = step.removeprefix("shop."), self._provider
        match reason:
            case "timeout":
                assert at >= timeout_at, "timed out before its time"
            case "refused":
                assert (saga_id, name) in provider.refusals, "nobody refused"
            case "cancelled":
                assert saga_id in self._market.cancelled, "nobody cancelled it"
            case "gave_up" if (saga_id, step) not in self._missed:
                tried = provider.failures[saga_id, name]
                assert tried >= ATTEMPTS, f"gave up {name} after {tried} failures"

    def _failed(self, saga_id: UUID, row: Row, event: Row) -> None:
        """A person is asked only where the protocol asks one."""
        advice, provider = event["detail"]["alarm"], self._provider
        step = row["current_step"]
        name = step.removeprefix("shop.")
        if advice.startswith("the compensation of"):
            back = COMPENSATION[step]
            tried = provider.failures[saga_id, back]
            assert tried >= COMPENSATIONS or (saga_id, back) in provider.refusals, (back, tried)
        elif "waited in vain for the signal" in advice:
            assert (saga_id, step) in self._missed
        elif "past the pivot nothing goes back" in advice:
            tried = provider.failures[saga_id, name]
            assert tried >= ATTEMPTS or (saga_id, name) in provider.refusals, (name, tried)
        elif "could not tell whether" in advice:
            waited = _instant(row["updated_at"]) - _instant(row["call_ended_at"])
            assert waited >= HOUR, f"gave up asking after {waited}"
        else:
            found = advice.partition(" ")[0].removeprefix("shop.")
            assert "took effect after all" in advice, advice
            assert found in provider.ever[saga_id], f"{found} never took effect"

    def _row(self, row: Row) -> None:
        saga_id, effects, status = UUID(row["saga_id"]), row["effects"], row["status"]
        events = self.events[saga_id]
        assert len(events) == row["version"], "the timeline is not the row's"
        books, late = self._provider.books[saga_id], self._provider.late[saga_id]
        done = {name for name in CALLS if effects.get(f"shop.{name}") == "done"}
        if status in {"RUNNING", "COMPLETED"}:
            assert done <= books, f"believed to be done: {done - books}"
        if status == "COMPLETED":
            assert set(effects.values()) == {"done"}
            assert len(effects) == len(STEPS)
        if status in BACK:
            assert "pay" not in books - late, "goes back although it was paid in time"
        if status in {"COMPENSATED", "TIMEOUT"}:
            assert not books - late, f"rests with {books}"
        self._attempts(row, events)
        told = sum(note.startswith("paid by") for note in row["state"]["notes"])
        assert told == sum(event["kind"] == "signalled" for event in events), "signals taken in"

    def _attempts(self, row: Row, events: list[Row]) -> None:
        if row["status"] == "RUNNING" and row["waiting_for"] in {None, "poll"}:
            assert row["attempt"] <= ATTEMPTS, "too many attempts"
        if row["status"] == "COMPENSATING":
            again = sum(event["kind"] == "late_success" for event in events)
            assert row["attempt"] <= COMPENSATIONS + again, "too many compensations"

    def _calls(self) -> None:
        """Every call was claimed before, and carried the same key."""
        calls = self._provider.calls[self._called :]
        self._called = len(self._provider.calls)
        for saga_id, name, key in calls:
            step = {"recall": "ship", "find_pay": "pay"}.get(name, name)
            assert key == IdempotencyKey.of(saga_id, f"shop.{step}")
            self._counts[saga_id, name] += 1
            noted = [
                event
                for event in self.events[saga_id]
                if event["kind"] == "attempt_started" and event["detail"]["task"] == f"shop.{name}"
            ]
            assert {event["detail"]["key"] for event in noted} == {key}
            assert self._counts[saga_id, name] <= len(noted), f"{name} was called unclaimed"
            if name in CALLS:
                self._in_a_row(saga_id, name)

    def _in_a_row(self, saga_id: UUID, name: str) -> None:
        """Calls since the provider last accepted the order, the first one among them."""
        calls = 0
        for event in self.events[saga_id]:
            if event["kind"] == "attempt_started" and event["detail"]["task"] == f"shop.{name}":
                calls += 1
            elif event["kind"] in GIVES_BACK:
                calls = 0
        assert calls <= ATTEMPTS, f"{name} was called {calls} times"

    def _business_keys(self, rows: list[Row]) -> None:
        held = [row["business_key"] for row in rows if row["business_key"] and row["holds_key"]]
        assert len(held) == len(set(held)), "two sagas work on one business key"
        for row in rows:
            if row["status"] in {"RUNNING", "COMPENSATING"}:
                assert row["holds_key"]

    def _sql(self, rows: list[Row], did: list[Row]) -> None:
        """What a transactional step did is there exactly when the row says so, and once."""
        there = sorted((each["step"], each["item"]) for each in did)
        wanted = sorted(
            (name, self._market.sagas[UUID(row["saga_id"])])
            for row in rows
            for name in IN_SQL
            if row["effects"].get(f"shop.{name}") in {"done", "compensation_failed"}
        )
        assert there == wanted, f"SQL did {there}, the rows say {wanted}"

    def look_at_rest(self) -> None:
        """When all has come to rest, what rests is true."""
        for saga_id, row in self.rows.items():
            books = self._provider.books[saga_id]
            assert row["status"] in ENDS, f"no rest: {row}"
            assert row["wake_at"] is None, f"still looked at: {row}"
            if row["status"] == "COMPLETED":
                assert books == CALLS
            if row["status"] in {"COMPENSATED", "TIMEOUT"}:
                assert not books - self._provider.unseen[saga_id], f"rests with {books}"


def _instant(of_json: str) -> datetime:
    return datetime.fromisoformat(of_json)
