"""A word from outside that a step took effect, which no worker brings to its saga."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from saga import Effect, IdempotencyKey, NeedsPerson, Operator, Outcome, SagaNotFound, TryAgain
from saga.errors import BadKey
from tests.integration.shop import SETTLE_AFTER, Shop

pytestmark = pytest.mark.integration

PAY = "shop.pay"


def tell(shop: Shop, saga_id: UUID, *, step: str = PAY, generation: int = 1) -> bool:
    key = IdempotencyKey.of(saga_id, step, generation=generation)
    with Session(shop.database) as session, session.begin():
        return shop.engine.late_success(session, saga_id, key=key, actor="the provider")


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def gone_back(shop: Shop) -> UUID:
    """A saga that rests on its probe's word that nobody paid."""
    shop.script.say("pay", *[TimeoutError()] * 4)
    saga_id = shop.start(business_key="tea")
    shop.work_off()
    assert shop.recover_until_rest(saga_id, step=SETTLE_AFTER) == "COMPENSATED"
    return saga_id


def test_a_saga_that_had_gone_back_is_failed_with_an_alarm(shop: Shop) -> None:
    saga_id = gone_back(shop)

    with capture_logs() as logs:
        assert tell(shop, saga_id)

    row = shop.row(saga_id)
    assert (row["status"], row["effects"][PAY], row["holds_key"]) == ("FAILED", "done", True)
    assert [each["why"] for each in logs if each["event"] == "alarm"]
    event = shop.events(saga_id)[-1]
    assert (event["kind"], event["actor"]) == ("failed", "the provider")
    assert event["detail"]["key"] == IdempotencyKey.of(saga_id, PAY)


def test_what_the_caller_rolls_back_was_never_said(shop: Shop) -> None:
    saga_id = gone_back(shop)

    with Session(shop.database) as session:
        key = IdempotencyKey.of(saga_id, PAY)
        assert shop.engine.late_success(session, saga_id, key=key)
        session.rollback()

    assert shop.status(saga_id) == "COMPENSATED"


def test_what_is_told_again_is_no_news_even_when_a_person_has_dealt_with_it(
    shop: Shop, ann: Operator
) -> None:
    saga_id = gone_back(shop)
    tell(shop, saga_id)
    assert not tell(shop, saga_id)
    ann.resolve(saga_id, outcome=Outcome.NOT_DONE, evidence="taken back", reason="by hand")
    assert shop.status(saga_id) == "COMPENSATED"
    before = shop.row(saga_id)

    assert not tell(shop, saga_id)

    assert shop.row(saga_id) == before


def test_a_completed_saga_knows_it_already(shop: Shop) -> None:
    saga_id = shop.start()
    shop.work_off()
    before = shop.row(saga_id)

    assert not tell(shop, saga_id)

    assert shop.row(saga_id) == before


def test_a_failed_saga_whose_step_is_known_to_be_done_calls_nobody(shop: Shop) -> None:
    shop.script.say("tell", NeedsPerson("mend the mail"))
    saga_id = shop.start()
    shop.work_off()

    assert not tell(shop, saga_id)


@pytest.mark.parametrize("effect", [Effect.UNKNOWN, Effect.NOT_DONE, Effect.NOT_STARTED])
def test_a_failed_saga_learns_of_it_and_keeps_its_advice(
    shop: Shop, ann: Operator, effect: Effect
) -> None:
    shop.script.say("pay", NeedsPerson("look at it", effect=effect))
    saga_id = shop.start()
    shop.work_off()

    assert tell(shop, saga_id)
    assert not tell(shop, saga_id)

    row = shop.row(saga_id)
    assert (row["status"], row["effects"][PAY]) == ("FAILED", "done")
    assert row["error_message"].startswith("look at it")
    ann.retry(saga_id, reason="it is there")
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    assert len(set(shop.script.called("pay"))) == 1, "what took effect keeps its key"


def test_a_compensation_that_waits_learns_of_it(shop: Shop) -> None:
    shop.script.say("ship", *[TimeoutError()] * 4)
    saga_id = shop.start()
    shop.work_off(until="recall")

    assert tell(shop, saga_id, step="shop.ship")
    shop.work_off()

    assert [forward.effect for forward in shop.script.called("recall")] == [Effect.DONE]
    assert shop.status(saga_id) == "COMPENSATED"


def test_a_saga_that_goes_forward_does_not_believe_any_more_that_nothing_happened(
    shop: Shop,
) -> None:
    hour = timedelta(hours=1)
    shop.script.say("pay", TryAgain("I did nothing", after=hour))
    saga_id = shop.start()
    shop.work_off()
    assert shop.row(saga_id)["effects"][PAY] == "not_started"

    assert tell(shop, saga_id)
    assert not tell(shop, saga_id)

    assert shop.row(saga_id)["effects"][PAY] == "unknown"
    shop.let_pass(hour)
    shop.recover()
    shop.work_off()
    assert shop.script.called("find_pay"), "the saga's time was over, and so its probe was asked"


def test_a_doubt_that_was_overcome_may_come_true(shop: Shop) -> None:
    hour = timedelta(hours=1)
    shop.script.say("pay", TryAgain("I did nothing", after=hour))
    saga_id = shop.start()
    shop.work_off()
    tell(shop, saga_id)
    assert shop.recover_until_rest(saga_id, step=hour) == "TIMEOUT"

    assert tell(shop, saga_id)

    assert shop.status(saga_id) == "FAILED"


def test_success_under_an_earlier_key_stops_a_saga_at_work_and_is_told_once(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("pay", NeedsPerson("closed", effect=Effect.NOT_DONE))
    saga_id = shop.start()
    shop.work_off()
    ann.retry(saga_id, reason="under a new number")

    assert tell(shop, saga_id)
    assert shop.status(saga_id) == "FAILED"
    assert "under an earlier key" in shop.row(saga_id)["error_message"]
    assert not tell(shop, saga_id)


@pytest.mark.parametrize(("step", "generation"), [(PAY, 2), ("shop.book", 1), ("shop.tea", 1)])
def test_a_key_that_no_step_was_called_with_is_refused(
    shop: Shop, step: str, generation: int
) -> None:
    saga_id = shop.start()
    shop.work_off()

    with pytest.raises(BadKey):
        tell(shop, saga_id, step=step, generation=generation)


def test_a_key_of_no_saga_is_refused(shop: Shop) -> None:
    with pytest.raises(SagaNotFound):
        tell(shop, uuid4())


def test_what_was_told_before_a_retry_is_news_when_the_retry_ended_in_doubt(
    shop: Shop, ann: Operator
) -> None:
    shop.script.say("pay", NeedsPerson("top up", effect=Effect.NOT_STARTED), *[TimeoutError()] * 4)
    saga_id = shop.start(business_key="tea")
    shop.work_off()
    assert tell(shop, saga_id)
    ann.retry(saga_id, reason="topped up")
    shop.work_off()
    assert shop.recover_until_rest(saga_id, step=SETTLE_AFTER) == "COMPENSATED"

    assert tell(shop, saga_id)

    assert shop.status(saga_id) == "FAILED"
    assert not tell(shop, saga_id)
