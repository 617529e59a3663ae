"""What is told of real rows: since when, by whom, and the same ledger wherever it is told."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from saga import PollAgain, Wait, queries
from saga.operator import Operator
from saga.row import Row
from saga.views import show, show_preview
from saga.why import Background
from saga.why.paused import as_if_resumed
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

PAID = Wait(signal="paid", timeout=timedelta(hours=1))
WHY = "the bank is down"


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def seen(shop: Shop, saga_id: UUID) -> dict[str, Any]:
    with shop.database.connect() as connection:
        return show(connection, shop.engine.registry, saga_id)


def row(shop: Shop, saga_id: UUID) -> Row:
    with shop.database.connect() as connection:
        found = queries.look(connection, saga_id)
    assert found is not None
    return found


def why(shop: Shop, saga_id: UUID) -> str:
    return str(seen(shop, saga_id)["why"])


def test_a_wait_is_told_since_when_whatever_came_meanwhile(shop: Shop, ann: Operator) -> None:
    shop.script.say("ship", PAID)
    saga_id = shop.start()
    shop.work_off()
    began = next(e["at"] for e in seen(shop, saga_id)["events"] if e["kind"] == "waiting")
    ann.pause(saga_id, reason=WHY)
    ann.resume(saga_id, reason="go")

    told = why(shop, saga_id)

    assert told.startswith(f"shop.ship waits for the signal paid since {began[11:19]} UTC; ")
    assert "; if it has not come when the saga's time ends at " in told
    assert ", shop.recall, then shop.release runs, then the saga is TIMEOUT" in told


def test_a_paused_saga_is_told_by_whom_and_why(shop: Shop, ann: Operator) -> None:
    saga_id = shop.start()
    ann.pause(saga_id, reason=WHY)

    told = why(shop, saga_id)

    assert told.startswith("paused since ")
    assert f" by Ann: {WHY}; nothing is begun, and its clock stands, with 0:04:5" in told


def test_a_paused_step_is_told_before_and_after_the_saga_meets_it(
    shop: Shop, ann: Operator
) -> None:
    ann.pause_type("shop", step="shop.reserve", reason=WHY)
    saga_id = shop.start()
    said = f" by Ann: {WHY}; nothing is begun, "

    before = why(shop, saga_id)
    shop.let_pass(timedelta(seconds=11))
    shop.recover()

    assert shop.row(saga_id)["paused"] == "step"
    for told in (before, why(shop, saga_id)):
        assert told.startswith("shop.reserve is paused for all sagas since ")
        assert said in told


def test_a_pause_that_has_ended_is_told_as_such_until_recovery_lifts_it(
    shop: Shop, ann: Operator
) -> None:
    ann.pause_type("shop", reason=WHY)
    saga_id = shop.start()
    shop.let_pass(timedelta(seconds=11))
    shop.recover()
    ann.resume_type("shop", reason="go")

    assert why(shop, saga_id).startswith("its type was paused and is no more: recovery lets it go ")
    shop.recover()
    assert why(shop, saga_id).startswith("shop.reserve is with the workers; ")


@pytest.mark.parametrize("waits", [PAID, PollAgain(after=timedelta(hours=2)), None])
def test_what_is_told_to_come_once_it_is_resumed_is_what_comes(
    shop: Shop, ann: Operator, waits: object
) -> None:
    shop.script.say("ship", waits)
    saga_id = shop.start()
    if waits is not None:
        shop.work_off()
    ann.pause(saga_id, reason=WHY)
    shop.let_pass(timedelta(hours=1))

    told = as_if_resumed(row(shop, saga_id), Background())
    ann.resume(saga_id, reason="go")

    resumed = row(shop, saga_id)
    assert abs(told.timeout_at - resumed.timeout_at) < timedelta(seconds=5)
    assert (told.paused, told.is_waiting) == (resumed.paused, resumed.is_waiting)
    assert told.dispatches == resumed.dispatches
    if told.not_before is not None and resumed.not_before is not None:
        assert abs(told.not_before - resumed.not_before) < timedelta(seconds=5)
    assert (told.not_before is None) == (resumed.not_before is None)


def test_the_ledger_is_the_same_wherever_it_is_told(shop: Shop) -> None:
    shop.script.say("book", *[RuntimeError("no")] * 4)
    saga_id = shop.start()
    with capture_logs() as logs:
        shop.work_off()

    told = seen(shop, saga_id)
    with shop.database.connect() as connection:
        previewed = show_preview(connection, shop.engine.registry, saga_id)["effects"]

    ledger = {step["name"]: step["effect"] for step in told["steps"]}
    assert (ledger["shop.pay"], ledger["shop.tell"]) == ("done", "not_started")
    assert {step["step"]: step["effect"] for step in previewed} == ledger
    [alarm] = [line for line in logs if line["event"] == "alarm"]
    assert alarm["effects"] == ledger
    assert (
        "; known of its steps: "
        + ", ".join(f"{step} {effect.replace('_', ' ')}" for step, effect in ledger.items())
        in told["why"]
    )
