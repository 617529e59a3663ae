"""While something is paused nothing is begun, no attempt is spent, and no time passes."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from saga import PollAgain, Refused, Wait
from saga.errors import AlreadySo, BadIntervention, NotAllowedNow
from saga.followup import Drop
from saga.operator import Operator
from saga.timing import Timing
from tests.integration.by_hand import Killed
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
WHY = "the bank is down"


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def left(shop: Shop, saga_id: UUID) -> timedelta:
    """How much of the saga's time is left, by its own clock."""
    with shop.database.begin() as connection:
        found = connection.execute(
            text(
                "SELECT timeout_at - coalesce(paused_at, clock_timestamp()) FROM saga_state "
                "WHERE saga_id = :saga_id"
            ),
            {"saga_id": saga_id},
        )
        passed: timedelta = found.scalar_one()
    return passed


def about(time: timedelta) -> Any:
    return pytest.approx(time.total_seconds(), abs=3)


def test_a_paused_saga_stands_still_and_goes_on_where_it_stood(shop: Shop, ann: Operator) -> None:
    saga_id = shop.start()
    shop.deliver()
    ann.pause(saga_id, reason=WHY)

    assert shop.deliver() == Drop("paused")
    shop.let_pass(HOUR)
    assert shop.recover().due == 0
    assert shop.row(saga_id)["attempt"] == 0
    ann.resume(saga_id, reason="it is up again")
    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    paused = next(event for event in shop.events(saga_id) if event["kind"] == "paused")
    assert paused["actor"] == "Ann"
    assert paused["detail"]["because"] == WHY


def test_a_call_in_hand_ends_before_the_pause_holds(shop: Shop, ann: Operator) -> None:
    def pauses(_: object) -> None:
        ann.pause(saga_id, reason=WHY)

    shop.script.say("ship", pauses)
    saga_id = shop.start()
    shop.work_off()

    row = shop.row(saga_id)
    assert (row["current_step"], row["paused"], row["claimed_by"]) == ("shop.pay", "saga", None)
    shop.let_pass(11 * SECOND)
    shop.recover()
    assert shop.row(saga_id)["wake_at"] is None
    assert not shop.broker.queue
    ann.resume(saga_id, reason="go")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_worker_that_dies_in_a_paused_saga_is_noticed(shop: Shop, ann: Operator) -> None:
    def dies(_: object) -> None:
        ann.pause(saga_id, reason=WHY)
        raise Killed

    shop.script.say("ship", dies)
    saga_id = shop.start()
    shop.deliver()
    shop.kill()

    shop.let_pass(Timing().lease + 10 * SECOND)
    shop.recover()
    shop.work_off()

    row = shop.row(saga_id)
    assert (row["claimed_by"], row["epoch"], row["effects"]["shop.ship"]) == (None, 2, "unknown")
    ann.resume(saga_id, reason="go")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_saga_is_paused_on_its_way_back_too(shop: Shop, ann: Operator) -> None:
    shop.script.say("pay", Refused("no"))
    saga_id = shop.start()
    shop.work_off(until="recall")
    ann.pause(saga_id, reason=WHY)

    assert shop.deliver() == Drop("paused")
    ann.resume(saga_id, reason="go")
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"


def test_a_signal_for_a_paused_saga_is_taken_in_and_nothing_is_begun(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("ship", Wait(signal="paid", timeout=HOUR))
    saga_id = shop.start()
    shop.work_off()
    ann.pause(saga_id, reason=WHY)

    shop.signal(saga_id)

    assert not shop.broker.queue
    assert shop.recover().due == 0
    ann.resume(saga_id, reason="go")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_wait_for_a_signal_does_not_end_while_it_is_paused(shop: Shop, ann: Operator) -> None:
    shop.script.say("tell", Wait(signal="paid", timeout=2 * MINUTE))
    saga_id = shop.start()
    shop.work_off()
    ann.pause(saga_id, reason=WHY)
    shop.let_pass(HOUR)
    ann.resume(saga_id, reason="go")

    shop.recover()
    assert shop.row(saga_id)["waiting_for"] == "signal"
    shop.signal(saga_id)
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_what_waited_for_its_next_question_waits_on_after_the_pause(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("pay", PollAgain(after=10 * MINUTE))
    saga_id = shop.start()
    shop.work_off()
    ann.pause(saga_id, reason=WHY)
    ann.resume(saga_id, reason="go")

    shop.let_pass(9 * MINUTE)
    shop.recover()
    shop.work_off()
    assert shop.script.order().count("pay") == 1
    shop.let_pass(MINUTE)
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


@pytest.mark.parametrize("step", [None, "shop.pay"])
def test_a_paused_type_or_step_parks_every_saga_without_an_attempt(
    shop: Shop, ann: Operator, step: str | None
) -> None:
    ann.pause_type("shop", step=step, reason=WHY)
    sagas = [shop.start() for _ in range(3)]
    shop.work_off()

    assert not shop.script.called("pay")
    shop.let_pass(11 * SECOND)
    shop.recover()
    for saga_id in sagas:
        row = shop.row(saga_id)
        assert row["paused"] == ("type" if step is None else "step")
        assert (row["attempt"], row["wake_at"]) == (0, None)
    shop.let_pass(HOUR)
    assert shop.recover().due == 0

    ann.resume_type("shop", step=step, reason="it is up again")
    assert shop.recover().resumed == len(sagas)
    for saga_id in sagas:
        assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)
    shop.work_off()
    assert {shop.status(saga_id) for saga_id in sagas} == {"COMPLETED"}
    resumed = next(event for event in shop.events(sagas[0]) if event["kind"] == "resumed")
    assert (resumed["actor"], resumed["detail"]["because"]) == ("Ann", "it is up again")


def test_the_clock_of_a_saga_that_no_message_met_stood_still_too(shop: Shop, ann: Operator) -> None:
    shop.script.say("ship", Wait(signal="paid", timeout=HOUR))
    saga_id = shop.start()
    shop.work_off()
    ann.pause_type("shop", reason=WHY)
    shop.let_pass(3 * MINUTE)
    ann.resume_type("shop", reason="go")
    shop.recover()

    assert shop.row(saga_id)["paused"] is None
    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)
    shop.recover()
    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE), "given back once"


def test_the_end_of_a_sagas_time_meets_the_pause_of_its_type(shop: Shop, ann: Operator) -> None:
    shop.script.say("ship", Wait(signal="paid", timeout=HOUR))
    saga_id = shop.start()
    shop.work_off()
    ann.pause_type("shop", reason=WHY)
    shop.let_pass(6 * MINUTE)
    shop.recover()

    assert shop.row(saga_id)["paused"] == "type"
    assert shop.status(saga_id) == "RUNNING"
    ann.resume_type("shop", reason="go")
    shop.recover()
    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)


def test_a_saga_paused_by_itself_stays_so_when_its_type_is_resumed(
    shop: Shop, ann: Operator
) -> None:
    saga_id = shop.start()
    ann.pause(saga_id, reason="I look at it")
    ann.pause_type("shop", reason=WHY)
    ann.resume_type("shop", reason="go")
    shop.recover()

    assert shop.row(saga_id)["paused"] == "saga"
    ann.resume(saga_id, reason="go")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_pause_that_ended_is_lifted_once_nobody_can_meet_it_any_more(
    shop: Shop, ann: Operator
) -> None:
    lifted = text("SELECT count(lifted_at) FROM saga_pause")
    ann.pause_type("shop", reason=WHY)
    ann.resume_type("shop", reason="go")

    shop.recover()
    with shop.database.begin() as connection:
        assert connection.execute(lifted).scalar_one() == 0
    shop.let_pass(MINUTE + SECOND)
    shop.recover()
    with shop.database.begin() as connection:
        assert connection.execute(lifted).scalar_one() == 1


def test_second_looks_wait_for_the_end_of_a_pause(shop: Shop, ann: Operator) -> None:
    shop.script.say("pay", *[RuntimeError("cut off")] * 4)
    saga_id = shop.start()
    shop.work_off()
    assert shop.recover_until_rest(saga_id, step=MINUTE) == "COMPENSATED"
    asked = len(shop.script.called("find_pay"))
    ann.pause_type("shop", step="shop.pay", reason=WHY)

    shop.let_pass(11 * MINUTE)
    shop.recover()
    shop.work_off()
    assert len(shop.script.called("find_pay")) == asked
    ann.resume_type("shop", step="shop.pay", reason="go")
    shop.let_pass(MINUTE + SECOND)
    shop.recover()
    shop.work_off()
    assert len(shop.script.called("find_pay")) == asked + 1


def test_pauses_that_cannot_be_are_refused(shop: Shop, ann: Operator) -> None:
    saga_id = shop.start()
    with pytest.raises(BadIntervention, match="there are: shop"):
        ann.pause_type("shoop", reason=WHY)
    with pytest.raises(BadIntervention, match="none of shop"):
        ann.pause_type("shop", step="shop.dance", reason=WHY)
    with pytest.raises(BadIntervention, match="reason must say something"):
        ann.pause_type("shop", reason="  ")
    with pytest.raises(AlreadySo, match="is not paused"):
        ann.resume_type("shop", reason="go")
    ann.pause_type("shop", reason=WHY)
    with pytest.raises(AlreadySo, match="is paused already"):
        ann.pause_type("shop", reason=WHY)
    with pytest.raises(NotAllowedNow, match="its type is paused: resume that"):
        ann.resume(saga_id, reason="go")
    with pytest.raises(NotAllowedNow, match="its type is paused: resume that"):
        ann.retry(saga_id, reason="go")
    ann.resume_type("shop", reason="go")
    with pytest.raises(NotAllowedNow, match="not paused"):
        ann.resume(saga_id, reason="go")


@pytest.mark.parametrize("step", [None, "shop.ship"])
def test_a_signal_right_after_the_pause_does_not_take_its_time_away(
    shop: Shop, ann: Operator, step: str | None
) -> None:
    shop.script.say("ship", Wait(signal="paid", timeout=HOUR))
    shop.script.say("pay", Wait(signal="paid", timeout=HOUR))
    saga_id = shop.start()
    shop.work_off()
    ann.pause_type("shop", step=step, reason=WHY)
    shop.let_pass(3 * MINUTE)
    ann.resume_type("shop", step=step, reason="go")

    shop.signal(saga_id)
    shop.work_off()
    assert shop.row(saga_id)["current_step"] == "shop.pay"
    shop.recover()

    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)
    shop.recover()
    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE), "given back once"


def test_a_step_that_is_come_to_after_its_pause_was_never_paused(shop: Shop, ann: Operator) -> None:
    shop.script.say("ship", Wait(signal="paid", timeout=HOUR))
    shop.script.say("pay", Wait(signal="paid", timeout=HOUR))
    saga_id = shop.start()
    shop.work_off()
    ann.pause_type("shop", step="shop.pay", reason=WHY)
    shop.let_pass(3 * MINUTE)
    ann.resume_type("shop", step="shop.pay", reason="go")

    shop.signal(saga_id)
    shop.work_off()
    shop.recover()

    assert left(shop, saga_id).total_seconds() == about(2 * MINUTE)


def test_a_pause_that_ends_does_not_end_another(shop: Shop, ann: Operator) -> None:
    ann.pause_type("shop", reason=WHY)
    ann.pause_type("shop", step="shop.reserve", reason=WHY)
    saga_id = shop.start()
    shop.work_off()
    shop.let_pass(11 * SECOND)
    shop.recover()
    ann.resume_type("shop", reason="go")

    for _ in range(3):
        shop.recover()
        shop.let_pass(11 * SECOND)
    assert shop.kinds(saga_id) == ["started", "paused"]
    ann.resume_type("shop", step="shop.reserve", reason="go")
    shop.recover()

    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"


def test_a_saga_that_nobody_knows_does_not_keep_a_pause_from_ending(
    shop: Shop, ann: Operator
) -> None:
    saga_id = shop.start()
    shop.execute("UPDATE saga_state SET definition_version = 9")
    ann.pause_type("shop", reason=WHY)
    ann.resume_type("shop", reason="go")

    assert shop.recover().resumed == 1
    assert shop.recover().resumed == 0
    assert shop.kinds(saga_id).count("resumed") == 1


@pytest.mark.parametrize("touched", ["signal", "pause"])
def test_what_only_touches_a_saga_does_not_let_its_clock_go_on(
    shop: Shop, ann: Operator, touched: str
) -> None:
    shop.script.say("ship", PollAgain(after=HOUR))
    saga_id = shop.start()
    shop.work_off()
    ann.pause_type("shop", reason=WHY)
    shop.let_pass(2 * MINUTE)
    if touched == "signal":
        shop.signal(saga_id)
    else:
        ann.pause(saga_id, reason="I look at it")
    shop.let_pass(2 * MINUTE)
    ann.resume_type("shop", reason="go")
    shop.recover()
    if touched == "pause":
        ann.resume(saga_id, reason="seen")

    assert left(shop, saga_id).total_seconds() == about(5 * MINUTE)
