"""A provider's word that a person must act, and how the saga goes on when that person has."""

from datetime import timedelta
from uuid import UUID

import pytest

from saga import Effect, NeedsPerson, Operator, PollAgain, Refused, TryAgain
from saga.filter import Filter
from saga.lists import list_sagas
from saga.views import show
from tests.integration.shop import SETTLE_AFTER, Shop

pytestmark = pytest.mark.integration

TOP_UP = "top up the merchant's account, then retry"
STUCK = "the mail server is gone"


def not_enough() -> NeedsPerson:
    return NeedsPerson(TOP_UP, effect=Effect.NOT_STARTED, code="NOT_ENOUGH")


def closed() -> NeedsPerson:
    return NeedsPerson("the number is closed: retry", effect=Effect.NOT_DONE, code="CLOSED")


def abnormal() -> NeedsPerson:
    return NeedsPerson("the money is parked: apply for it, then retry", code="ABNORMAL")


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def why(shop: Shop, saga_id: UUID) -> str:
    with shop.database.connect() as connection:
        return str(show(connection, shop.engine.registry, saga_id)["why"])


@pytest.mark.parametrize(
    ("said", "generation"),
    [(not_enough(), 1), (abnormal(), 1), (closed(), 2)],
    ids=["not enough", "abnormal", "closed"],
)
@pytest.mark.parametrize("step", ["pay", "tell"], ids=["pivot", "past the pivot"])
def test_a_saga_waits_for_a_person_and_then_goes_on(
    shop: Shop, ann: Operator, step: str, said: NeedsPerson, generation: int
) -> None:
    shop.script.say(step, said)
    saga_id = shop.start()
    shop.work_off()
    parked = shop.row(saga_id)
    assert (parked["status"], parked["current_step"]) == ("FAILED", f"shop.{step}")
    assert parked["effects"][f"shop.{step}"] == said.effect
    assert parked["wake_at"] is None

    ann.retry(saga_id, reason="done as advised")
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    first, second = shop.script.called(step)
    assert first.endswith("-1")
    assert second == f"{first[:-1]}{generation}"
    assert not shop.script.called("find_pay"), "the provider's own word needs no probe"


def test_its_advice_comes_first_and_its_kind_can_be_searched(shop: Shop) -> None:
    shop.script.say("pay", not_enough())
    saga_id = shop.start()
    shop.work_off()

    told = f"{TOP_UP} (last error: NeedsPerson: NOT_ENOUGH)"
    assert why(shop, saga_id).startswith(f"a person must decide: {told}; ")
    assert "; retry: shop.pay is tried again, with 4 attempts and fresh time" in why(shop, saga_id)
    [failed] = [event for event in shop.events(saga_id) if event["kind"] == "failed"]
    assert failed["detail"]["alarm"] == TOP_UP
    assert failed["detail"]["error"] == "NeedsPerson: NOT_ENOUGH"
    with shop.database.connect() as connection:
        found = list_sagas(connection, Filter(error="NeedsPerson"))
    assert [each["sagaId"] for each in found["items"]] == [str(saga_id)]


@pytest.mark.parametrize("said", [not_enough(), closed()], ids=["not enough", "closed"])
def test_a_person_may_have_it_go_back_instead(shop: Shop, ann: Operator, said: NeedsPerson) -> None:
    shop.script.say("pay", said)
    saga_id = shop.start()
    shop.work_off()

    ann.compensate(saga_id, reason="the customer does not want it any more")
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert not shop.did()
    assert not shop.script.outside


def test_an_order_that_is_parked_after_it_was_accepted_is_asked_for_again(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("pay", PollAgain(), abnormal(), PollAgain())
    saga_id = shop.start()
    shop.work_off()
    shop.let_pass(timedelta(minutes=1))
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"

    ann.retry(saga_id, reason="applied for it")

    assert shop.recover_until_rest(saga_id, step=timedelta(minutes=1)) == "COMPLETED"
    assert len(set(shop.script.called("pay"))) == 1


def test_a_call_that_asked_for_a_person_ended_then(shop: Shop, ann: Operator) -> None:
    """Its probe's "nothing" is not believed for the sake of a call that ended long before."""
    shop.script.say("pay", TryAgain("busy", after=timedelta(minutes=2)), abnormal())
    saga_id = shop.start()
    shop.work_off()
    shop.let_pass(timedelta(minutes=2))
    shop.recover()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    ann.retry(saga_id, reason="applied for it")
    shop.broker.lose_all()

    ann.cancel(saga_id, reason="or rather not")
    shop.work_off()

    assert shop.status(saga_id) == "RUNNING", "the provider may still be at it"
    assert len(shop.script.called("find_pay")) == 1
    assert shop.recover_until_rest(saga_id, step=SETTLE_AFTER) == "COMPENSATED"


def test_a_probe_that_finds_the_key_closed_lets_the_saga_go_back_at_once(shop: Shop) -> None:
    shop.script.say("pay", *[TimeoutError()] * 4)
    shop.script.say("find_pay", closed())
    saga_id = shop.start()
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.row(saga_id)["look_at"] is None
    assert shop.row(saga_id)["effects"]["shop.pay"] == "not_done"


def test_a_probe_may_say_that_a_person_must_act(shop: Shop, ann: Operator) -> None:
    shop.script.say("pay", *[TimeoutError()] * 4)
    shop.script.say("find_pay", abnormal())
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    assert "ABNORMAL" in why(shop, saga_id)

    ann.retry(saga_id, reason="applied for it")
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert len(set(shop.script.called("pay"))) == 1


def test_a_compensation_that_needs_a_person_is_not_tried_again_by_itself(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("pay", Refused("no"))
    shop.script.say("recall", NeedsPerson(STUCK))
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    assert shop.row(saga_id)["effects"]["shop.ship"] == "compensation_failed"

    ann.retry(saga_id, reason="it is back")
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert len(shop.script.called("recall")) == 2


def test_the_sql_of_a_step_that_needs_a_person_is_rolled_back(shop: Shop, ann: Operator) -> None:
    shop.script.say("book", NeedsPerson("open the books"))
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"
    assert shop.row(saga_id)["effects"]["shop.book"] == "not_started"
    assert "book" not in shop.did()

    ann.retry(saga_id, reason="they are open")
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
