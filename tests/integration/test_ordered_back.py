"""A person orders a FAILED saga back past its pivot; its timeline tells what was done, and when."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from saga import PollAgain, Refused, Timing
from saga.attempts import attempts
from saga.operator import Operator
from tests.integration.by_hand import ByHand
from tests.integration.crashes.orders import OrderDesk
from tests.integration.shop import Shop
from tests.unit.positions import State, visit

pytestmark = pytest.mark.integration


def test_an_order_to_go_back_does_not_tell_of_a_compensation_that_has_not_run(
    shop_database: Database,
) -> None:
    desk = OrderDesk(shop_database, timing=Timing())
    desk.plan.behaviours["tell"] = lambda _: RuntimeError("cut off")
    desk.start()
    desk.work_off()
    saga_id = desk.saga_id()
    assert saga_id is not None
    assert desk.status(saga_id) == "FAILED"

    Operator(desk.engine, actor="Ann").compensate(saga_id, reason="sold out")

    assert desk.kinds(saga_id)[-2:] == ["compensation_ordered", "compensating"]
    desk.work_off()
    assert desk.status(saga_id) == "COMPENSATED"
    done = [event["step"] for event in desk.events(saga_id) if event["kind"] == "step_compensated"]
    assert done == ["shop.tell", "shop.book", "shop.pay", "shop.ship"]
    assert attempts(desk.events(saga_id))["shop.tell"] == 4, "compensations are not attempts of it"


def test_a_compensation_that_answers_something_is_not_done(shop: Shop) -> None:
    shop.script.say("pay", Refused("no"))
    shop.script.say("recall", lambda _: PollAgain(after=timedelta(seconds=30)))
    saga_id = shop.start()

    shop.work_off(until="recall")
    shop.deliver()

    assert shop.status(saga_id) == "COMPENSATING"
    assert "must return nothing when it is done" in shop.row(saga_id)["error_message"]


def test_a_compensation_that_is_done_is_told_also_where_a_person_comes_next(shop: Shop) -> None:
    desk = ByHand(shop.database, visit)
    with Session(desk.database) as session, session.begin():
        saga_id = desk.engine.start(session, visit, State()).saga_id
    desk.deliver()
    desk.deliver()
    Operator(desk.engine, actor="Ann").cancel(saga_id, reason="they called")

    desk.work_off()

    [*_, last] = desk.events(saga_id)
    assert (last["kind"], last["detail"]["compensated"]) == ("failed", "visit.reserve")
    assert "call the guest" in last["detail"]["alarm"]
