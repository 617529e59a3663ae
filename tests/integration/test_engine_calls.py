"""External steps: claimed, called outside any transaction, settled by their claim alone."""

import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from saga import (
    ClaimLost,
    PollAgain,
    Refused,
    progress,
)
from saga.call import Call
from saga.followup import Drop, Followup, Next, Park, RetryIn
from tests.integration.by_hand import TIMING, Killed
from tests.integration.shop import Order, Shop

pytestmark = pytest.mark.integration

CUT = ConnectionError("cut")
SECOND = timedelta(seconds=1)


def test_a_call_runs_outside_any_transaction(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")

    def look(_: Any) -> None:
        with shop.database.begin() as connection:
            locked = text("SELECT claimed_by FROM saga_state FOR UPDATE NOWAIT")
            assert connection.execute(locked).scalar_one() is not None
            idle = text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            )
            assert connection.execute(idle).scalar_one() == 0

    shop.script.say("ship", look)
    assert isinstance(shop.deliver(), Next)
    assert shop.row(saga_id)["claimed_by"] is None


def test_a_claim_has_a_lease_and_a_hard_limit(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    seen: list[dict[str, Any]] = []
    shop.script.say("ship", lambda _: seen.append(shop.row(saga_id)))
    shop.deliver()

    (row,) = seen
    claimed = shop.events(saga_id)[-2]
    assert claimed["kind"] == "attempt_started"
    assert claimed["detail"]["claim"] == str(row["claimed_by"])
    limit = row["claim_deadline"] - claimed["at"]
    assert abs(limit - timedelta(seconds=6)) < timedelta(milliseconds=50)
    assert row["wake_at"] - claimed["at"] < timedelta(seconds=1)


def test_a_heartbeat_renews_the_lease_in_time_while_the_call_runs(shop: Shop) -> None:
    lease = timedelta(seconds=1.5)
    shop.engine = shop.engine_for(shop.saga, timing=replace(TIMING, lease=lease))
    shop.start()
    shop.work_off(until="ship")

    def long(_: Any) -> None:
        time.sleep(1.2 * lease.total_seconds())
        assert shop.recover().due == 0

    shop.script.say("ship", long)
    assert isinstance(shop.deliver(), Next)


def test_what_a_long_call_tells_of_its_progress_stands_in_the_timeline(shop: Shop) -> None:
    lease = timedelta(seconds=0.6)
    shop.engine = shop.engine_for(shop.saga, timing=replace(TIMING, lease=lease))
    saga_id = shop.start()
    shop.work_off(until="ship")

    def long(_: Any) -> None:
        for done in range(1, 31):
            progress(done, 31)
            time.sleep(lease.total_seconds() / 30)
            if shop.kinds(saga_id).count("progress") == 2:
                break
        while shop.kinds(saga_id).count("progress") < 2:
            progress(30, 31)
            time.sleep(0.02)
        progress(31, 31)

    shop.script.say("ship", long)
    assert isinstance(shop.deliver(), Next)

    *_, claimed, first, second, done = shop.events(saga_id)
    assert claimed["kind"] == "attempt_started"
    assert first["kind"] == second["kind"] == "progress"
    assert (first["step"], first["attempt"], first["worker"]) == (
        claimed["step"],
        claimed["attempt"],
        claimed["worker"],
    )
    assert 0 < first["detail"]["done"] < second["detail"]["done"] < 31
    assert second["at"] - first["at"] >= 0.9 * lease
    assert done["detail"]["progress"] == {"done": 31, "of": 31, "unit": "bytes"}


def test_a_call_learns_that_its_saga_went_on_without_it(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    ended: list[str] = []

    def stuck(_: Any) -> None:
        shop.let_pass(timedelta(seconds=7))
        assert shop.recover().published == 1
        began = time.monotonic()
        try:
            while time.monotonic() < began + 20:
                progress(1, 2)
                time.sleep(0.01)
        except ClaimLost as lost:
            ended.append(str(lost))
            raise

    shop.script.say("ship", stuck)

    assert shop.deliver() == Drop("claim was lost")
    assert ended == ["the call's claim is lost: the saga goes on without it"]
    assert "progress" not in shop.kinds(saga_id)


def test_a_call_whose_row_is_locked_for_a_moment_has_not_lost_its_claim(shop: Shop) -> None:
    shop.start()
    shop.work_off(until="ship")
    skipped = threading.Semaphore(0)

    def look(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        if "SKIP LOCKED" in statement and cursor.rowcount == 0:
            skipped.release()

    def long(_: Any) -> None:
        with shop.database.begin() as connection:
            connection.execute(text("SELECT FROM saga_state FOR UPDATE"))
            # What came of the first is known once the second has begun.
            assert all(skipped.acquire(timeout=20) for _ in range(2))
            progress(1, 2)

    shop.script.say("ship", long)
    event.listen(shop.database, "after_cursor_execute", look)
    try:
        assert isinstance(shop.deliver(), Next)
    finally:
        event.remove(shop.database, "after_cursor_execute", look)


def test_a_lost_call_that_had_told_of_its_progress_is_not_taken_for_settled(shop: Shop) -> None:
    shop.engine = shop.engine_for(shop.saga, timing=replace(TIMING, lease=0.3 * SECOND))
    saga_id = shop.start()
    shop.work_off(until="ship")

    def stuck(_: Any) -> None:
        progress(1, 2)
        while "progress" not in shop.kinds(saga_id):
            time.sleep(0.02)
        shop.let_pass(timedelta(seconds=7))
        assert shop.recover().published == 1

    shop.script.say("ship", stuck)

    assert shop.deliver() == Drop("claim was lost")
    assert shop.kinds(saga_id)[-1] == "late_success"


def test_outside_of_a_call_nobody_listens_to_progress() -> None:
    progress(1, 2)


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", None])
def test_progress_that_cannot_be_is_the_steps_own_error(wrong: Any) -> None:
    for told in ((wrong, 2), (1, wrong)):
        with pytest.raises(ValueError, match="whole numbers"):
            progress(*told)


def test_no_heartbeat_renews_a_lease_past_the_hard_limit(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")

    def stuck(_: Any) -> None:
        shop.let_pass(timedelta(seconds=7))
        time.sleep(TIMING.lease.total_seconds())
        row = shop.row(saga_id)
        assert row["wake_at"] < row["updated_at"] + timedelta(seconds=7)
        assert shop.recover().published == 1
        assert shop.kinds(saga_id)[-1] == "taken_over"

    shop.script.say("ship", stuck)
    assert shop.deliver() == Drop("claim was lost")


def test_a_lost_worker_is_taken_over_in_a_new_epoch_and_its_attempt_counts(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    shop.script.say("ship", Killed())
    shop.kill()

    assert shop.recover().due == 0  # its lease still runs
    shop.let_pass(SECOND)
    assert shop.recover().published == 1

    row = shop.row(saga_id)
    assert (row["epoch"], row["attempt"], row["claimed_by"]) == (2, 1, None)
    assert row["effects"]["shop.ship"] == "unknown"
    assert "worker of shop.ship was lost in attempt 1" in row["error_message"]
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    first, second = shop.script.called("ship")
    assert first == second


@pytest.mark.parametrize("step", ["ship", "pay", "tell"])
def test_a_call_that_kills_its_worker_every_time_gives_up(shop: Shop, step: str) -> None:
    saga_id = shop.start()
    shop.work_off(until=step)
    shop.script.say(step, *[Killed()] * 100)
    while shop.broker.queue and shop.broker.queue[0].step == step:
        shop.kill()
        shop.let_pass(SECOND)
        shop.recover()

    assert len(shop.script.called(step)) == 4
    shop.work_off()
    if step != "tell":
        assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) == "COMPENSATED"
    else:
        assert shop.status(saga_id) == "FAILED"


def test_a_compensation_that_kills_its_worker_every_time_ends_failed(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", Refused("no"))
    shop.work_off(until="recall")
    shop.script.say("recall", *[Killed()] * 100)

    while shop.broker.queue:
        shop.kill()
        shop.let_pass(SECOND)
        shop.recover()

    assert shop.status(saga_id) == "FAILED"
    assert len(shop.script.called("recall")) == 3


LOST = [
    (None, Next()),
    (CUT, Park()),
    (Refused("no"), Park()),
    (PollAgain(after=SECOND), Park()),
]


@pytest.mark.parametrize(("answer", "followup"), LOST, ids=["done", "cut", "refused", "accepted"])
def test_a_settle_whose_commit_answer_was_lost_is_recognised(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: Any, followup: Followup
) -> None:
    saga_id = shop.start()
    shop.work_off(until="pay")
    shop.script.say("pay", *([] if answer is None else [answer]))
    lose_the_next_answer(monkeypatch)
    before = len(shop.events(saga_id))

    assert type(shop.deliver()) is type(followup)

    assert len(shop.events(saga_id)) == before + 2  # claimed and settled, once
    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=20)) in {
        "COMPLETED",
        "COMPENSATED",
    }


def lose_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settle's commit reaches the server; its answer does not reach us."""
    real, lost = Call._settle, []

    def settle(self: Call, connection: Connection, *args: Any) -> Followup:
        found = real(self, connection, *args)
        if not lost:
            lost.append(True)
            connection.commit()
            raise OperationalError("COMMIT", {}, Exception("connection lost"))
        return found

    monkeypatch.setattr(Call, "_settle", settle)


def test_a_database_that_is_away_at_the_claim_costs_no_attempt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    with monkeypatch.context() as patch:
        patch.setattr("saga.queries.lock_for", away)
        assert isinstance(shop.deliver(), RetryIn)
    assert shop.script.called("ship") == []
    assert shop.row(saga_id)["attempt"] == 0
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_an_answer_is_kept_in_hand_while_the_database_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    real, times = Call._settle, []

    def settle(self: Call, *args: Any) -> Followup:
        times.append(None)
        if len(times) < 3:
            raise OperationalError("UPDATE", {}, Exception("connection refused"))
        return real(self, *args)

    monkeypatch.setattr(Call, "_settle", settle)
    assert isinstance(shop.deliver(), Next)

    assert len(shop.script.called("ship")) == 1
    assert shop.row(saga_id)["current_step"] == "shop.pay"


@pytest.mark.parametrize("note", ["a\0b", "\ud800"])
def test_an_answer_that_cannot_be_stored_is_a_failed_attempt_of_unknown_outcome(
    shop: Shop, note: str
) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    shop.script.say("ship", lambda _: Order(notes=[note]))

    assert isinstance(shop.deliver(), RetryIn)

    row = shop.row(saga_id)
    assert (row["attempt"], row["claimed_by"], row["effects"]["shop.ship"]) == (1, None, "unknown")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


@pytest.mark.parametrize("step", ["reserve", "ship"])
def test_a_step_that_returns_no_state_is_told_what_it_must_return(shop: Shop, step: str) -> None:
    saga_id = shop.start()
    shop.work_off(until=step)
    shop.script.say(step, {"item": "tea"})

    shop.deliver()

    said = f"shop.{step} must return its Order, and returned a dict"
    assert shop.row(saga_id)["error_message"] == f"StepMisbehaved: {said}"


def test_what_a_provider_says_may_hold_anything(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    shop.script.say("ship", PollAgain(after=SECOND, reason="a\0b \ud800"))

    shop.deliver()

    assert shop.row(saga_id)["claimed_by"] is None


def test_a_stored_state_that_no_longer_fits_its_model_needs_a_person(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off(until="ship")
    with shop.database.begin() as connection:
        connection.execute(text("""UPDATE saga_state SET state = '{"notes": 7}'"""))

    shop.work_off()

    row = shop.row(saga_id)
    assert row["status"] == "FAILED"
    assert "no longer fits Order" in row["error_message"]
    assert "ValidationError: Order: notes: Input should be a valid list" in row["error_message"]
    assert "7" not in row["error_message"].partition("ValidationError")[2], "it may be a secret"
    assert shop.script.called("ship") == []


def test_a_probe_that_answers_what_it_must_not_has_told_nothing(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("pay", *[CUT] * 4)
    shop.script.say("find_pay", "yes")

    shop.work_off()

    row = shop.row(saga_id)
    assert (row["status"], row["waiting_for"], row["claimed_by"]) == ("RUNNING", "probe", None)


def test_an_old_claims_message_cannot_act_after_the_take_over(shop: Shop) -> None:
    shop.start()
    shop.work_off(until="ship")
    message = shop.broker.queue[0]
    shop.script.say("ship", Killed())
    shop.kill()
    shop.let_pass(SECOND)
    shop.recover()

    assert shop.deliver(replace(message, redelivered=True)) == Drop("old epoch")
