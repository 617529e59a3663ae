"""A step that its author lets the saga go on without, on a real database."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection
from sqlalchemy import Engine as Database
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from saga import IdempotencyKey, NeedsPerson, Operator, Refused, Wait
from saga.call import Call
from saga.followup import Followup, Next
from saga.timeline import outcome
from saga.views import show
from tests.integration.by_hand import Killed
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

SECOND = timedelta(seconds=1)
CUT = ConnectionError("cut")
TELL, BOOK = "shop.tell", "shop.book"


@pytest.fixture
def shop(shop_database: Database) -> Shop:
    """Its customers need not be told, and books need not be kept."""
    return Shop(shop_database, skippable=frozenset({"book", "tell"}))


def told(shop: Shop, saga_id: UUID) -> dict[str, Any]:
    with shop.database.connect() as connection:
        return show(connection, shop.engine.registry, saga_id)


def told_from_outside(shop: Shop, saga_id: UUID) -> bool:
    with Session(shop.database) as session, session.begin():
        key = IdempotencyKey.of(saga_id, TELL)
        return shop.engine.late_success(session, saga_id, key=key, actor="the provider")


@pytest.mark.parametrize(
    ("said", "why", "error", "effect"),
    [
        ([Refused("no such address")], "was refused", "Refused: no such address", "not_done"),
        ([CUT] * 4, "did not succeed in 4 attempts", "ConnectionError: cut", "unknown"),
        ([CUT, Refused("no")], "was refused", "Refused: no", "unknown"),
        ([NeedsPerson("buy stamps")], "asked for a person", "NeedsPerson: buy stamps", "unknown"),
    ],
    ids=["refused", "cut off", "refused after a doubt", "asks for a person"],
)
def test_a_saga_whose_last_step_is_given_up_is_completed(
    shop: Shop, said: list[Exception], why: str, error: str, effect: str
) -> None:
    shop.script.say("tell", *said)
    saga_id = shop.start(business_key="tea")

    with capture_logs() as logs:
        shop.work_off()

    row = shop.row(saga_id)
    assert (row["status"], row["effects"][TELL]) == ("COMPLETED", effect)
    assert (row["holds_key"], row["error_message"]) == (False, None)
    event = shop.events(saga_id)[-1]
    assert event["kind"] == "step_skipped"
    claim = event["detail"].pop("claim")
    assert claim
    assert event["detail"] == {
        "reason": why,
        "error": error,
        "effect": effect,
        "completed": True,
    }
    assert [each["event"] for each in logs if each["log_level"] != "info"] == ["step skipped"]
    shown = told(shop, saga_id)
    known = effect.replace("_", " ")
    assert shown["why"].endswith(f": skipped: {TELL} ({known}); every other step is done")
    assert outcome(shown["events"][-1], "shop") == (
        f"skipped, as it {why} ({error}); the saga is COMPLETED"
    )
    assert shown["steps"][-1]["attempts"] == len(said)


def test_the_chain_goes_on_past_a_skipped_step_of_which_nothing_is_left(shop: Shop) -> None:
    shop.script.say("book", Refused("the books are closed"))
    saga_id = shop.start()

    shop.work_off()

    row = shop.row(saga_id)
    assert (row["status"], row["effects"][BOOK]) == ("COMPLETED", "not_done")
    assert row["state"]["notes"] == ["reserve", "ship", "pay", "tell"]
    assert shop.did() == {"reserve"}
    assert shop.kinds(saga_id)[-3:] == ["step_skipped", "attempt_started", "completed"]
    assert len(shop.broker.published) == 1, "it was one chain"


@pytest.mark.parametrize("step", ["book", "tell"])
def test_a_step_that_kills_its_worker_every_time_is_skipped(shop: Shop, step: str) -> None:
    saga_id = shop.start()
    shop.work_off(until=step)
    shop.script.say(step, *[Killed()] * 10)

    for _ in range(10):
        if shop.broker.queue and shop.broker.queue[0].step == step:
            shop.kill() if shop.row(saga_id)["attempt"] < 4 else shop.work_off()
        else:
            shop.work_off()
        shop.let_pass(timedelta(minutes=1))
        shop.recover()

    row = shop.row(saga_id)
    known = "unknown" if step == "tell" else "not_done"
    assert (row["status"], row["effects"][f"shop.{step}"]) == ("COMPLETED", known)
    assert "step_skipped" in shop.kinds(saga_id)


def test_who_lost_a_claim_on_what_was_skipped_acts_no_more(shop: Shop) -> None:
    saga_id = shop.start()
    shop.script.say("tell", CUT, CUT, CUT, Killed())
    shop.work_off(until="tell")
    for _ in range(3):
        shop.deliver()
        shop.broker.queue.append(shop.broker.held.pop()[1])
        shop.let_pass(timedelta(minutes=1))
    shop.kill()
    before = shop.row(saga_id)
    shop.let_pass(timedelta(minutes=1))

    shop.recover()

    row = shop.row(saga_id)
    assert (row["status"], row["claimed_by"]) == ("COMPLETED", None)
    assert row["epoch"] == before["epoch"] + 1
    [skipped] = [event for event in shop.events(saga_id) if event["kind"] == "step_skipped"]
    assert skipped["detail"]["error"] == "ConnectionError: cut", "the last one that is known"


def test_a_signal_that_never_comes_stops_nobody(shop: Shop) -> None:
    shop.script.say("tell", Wait(signal="paid", timeout=timedelta(hours=1)))
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "RUNNING"
    shop.let_pass(timedelta(hours=1))

    shop.recover()

    assert shop.status(saga_id) == "COMPLETED"
    detail = shop.events(saga_id)[-1]["detail"]
    assert detail["reason"] == "waited in vain for the signal paid"


def test_a_skip_whose_commit_answer_was_lost_is_recognised(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = shop.start()
    shop.work_off(until="tell")
    shop.script.say("tell", Refused("no"))
    real: Callable[..., Followup] = Call._settle
    lost: list[bool] = []

    def settle(self: Call, connection: Connection, *args: Any) -> Followup:
        found = real(self, connection, *args)
        if not lost:
            lost.append(True)
            connection.commit()
            raise OperationalError("COMMIT", {}, Exception("connection lost"))
        return found

    monkeypatch.setattr(Call, "_settle", settle)

    assert shop.deliver() == Next(), "the chain goes on"
    assert shop.kinds(saga_id).count("step_skipped") == 1


def test_that_it_happened_after_all_is_written_down_once_without_an_alarm(shop: Shop) -> None:
    shop.script.say("tell", *[CUT] * 4)
    saga_id = shop.start()
    shop.work_off()

    with capture_logs() as logs:
        assert told_from_outside(shop, saga_id)
        assert not told_from_outside(shop, saga_id)

    row = shop.row(saga_id)
    assert (row["status"], row["effects"][TELL]) == ("COMPLETED", "done")
    assert shop.kinds(saga_id)[-1] == "late_success"
    assert [each for each in logs if each["event"] == "alarm"] == []
    assert told(shop, saga_id)["why"].endswith("every step is done")


def test_a_failed_saga_is_retried_over_what_it_skipped(shop_database: Database) -> None:
    shop = Shop(shop_database, skippable=frozenset({"book"}))
    shop.script.say("book", Refused("the books are closed"))
    shop.script.say("tell", Refused("no such address"))
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"

    Operator(shop.engine, actor="Ann").retry(saga_id, reason="the address was mended")
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
