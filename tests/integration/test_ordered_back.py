"""A person orders a FAILED saga back past its pivot; its timeline tells what was done, and when."""

import pytest
from sqlalchemy import Engine as Database

from saga import Timing
from saga.attempts import attempts
from saga.operator import Operator
from tests.integration.crashes.orders import OrderDesk

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
