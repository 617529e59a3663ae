"""What operators may do, and when: one predicate for all faces, kept by the engine."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from saga import PollAgain, Refused, Wait, sleep_until
from saga.errors import BadIntervention, MovedSince, NotAllowedNow, SagaNotFound
from saga.operator import Operator
from saga.position import Intervention, Outcome
from saga.views import show
from tests.integration.by_hand import Killed
from tests.integration.shop import Shop
from tests.integration.test_pauses import MINUTE, SECOND

pytestmark = pytest.mark.integration

WHY = "looked into it"
RETRY, COMPENSATE, CANCEL, PAUSE, RESUME, RESOLVE = Intervention


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def act(operator: Operator, what: Intervention, saga_id: UUID, **options: Any) -> Any:
    options = {"reason": WHY} | options
    if what is RESOLVE:
        options = {"outcome": Outcome.DONE, "evidence": "the books"} | options
    return getattr(operator, what.value)(saga_id, **options)


# Where a saga may stand, and how it gets there.


def fresh(shop: Shop) -> UUID:
    return shop.start()


def until(shop: Shop, step: str) -> UUID:
    saga_id = shop.start()
    shop.work_off(until=step)
    return saga_id


def retrying(shop: Shop) -> UUID:
    shop.script.say("ship", ValueError("no car"))
    saga_id = until(shop, "ship")
    shop.deliver()
    return saga_id


def in_a_call(shop: Shop) -> UUID:
    shop.script.say("ship", Killed())
    saga_id = until(shop, "ship")
    shop.kill()
    return saga_id


def being_cancelled(shop: Shop) -> UUID:
    saga_id = in_a_call(shop)
    Operator(shop.engine, actor="Bob").cancel(saga_id, reason="changed their mind")
    return saga_id


def probing(shop: Shop) -> UUID:
    shop.script.say("pay", *[ValueError("cut off")] * 4)
    return until(shop, "find_pay")


def waiting_for_a_signal(shop: Shop) -> UUID:
    shop.script.say("reserve", Wait(signal="paid", timeout=MINUTE))
    saga_id = shop.start()
    shop.work_off()
    return saga_id


def sleeping(shop: Shop) -> UUID:
    saga_id = shop.start()
    later = shop.row(saga_id)["created_at"] + timedelta(hours=1)
    shop.script.say("reserve", sleep_until(later))
    shop.work_off()
    return saga_id


def accepted(shop: Shop) -> UUID:
    shop.script.say("pay", PollAgain(after=MINUTE))
    saga_id = shop.start()
    shop.work_off()
    return saga_id


def past_the_pivot(shop: Shop) -> UUID:
    return until(shop, "book")


def paused(shop: Shop) -> UUID:
    saga_id = shop.start()
    Operator(shop.engine, actor="Bob").pause(saga_id, reason="lunch")
    return saga_id


def compensating(shop: Shop) -> UUID:
    shop.script.say("pay", Refused("no money"))
    return until(shop, "recall")


def completed(shop: Shop) -> UUID:
    saga_id = shop.start()
    shop.work_off()
    return saga_id


def compensated(shop: Shop) -> UUID:
    shop.script.say("pay", Refused("no money"))
    return completed(shop)


def timed_out(shop: Shop) -> UUID:
    saga_id = shop.start()
    shop.let_pass(6 * MINUTE)
    shop.recover()
    return saga_id


def failed_forward(shop: Shop) -> UUID:
    shop.script.say("book", *[ValueError("no ink")] * 4)
    return completed(shop)


def failed_going_back(shop: Shop) -> UUID:
    shop.script.say("pay", Refused("no money"))
    shop.script.say("recall", *[ValueError("no car")] * 3)
    return completed(shop)


def probed_at_rest(shop: Shop, **options: Any) -> UUID:
    """It rests on its probe's word that the pivot did not happen, and looks again."""
    shop.script.say("pay", *[ValueError("cut off")] * 4)
    saga_id = shop.start(**options)
    shop.work_off()
    assert shop.recover_until_rest(saga_id, step=50 * SECOND) == "COMPENSATED"
    return saga_id


def comes_to_light(shop: Shop) -> None:
    shop.script.outside.add("pay")
    shop.execute("UPDATE saga_state SET wake_at = clock_timestamp() WHERE status = 'COMPENSATED'")
    shop.recover()
    shop.work_off()


def failed_at_rest(shop: Shop) -> UUID:
    saga_id = probed_at_rest(shop)
    comes_to_light(shop)
    return saga_id


@dataclass(frozen=True)
class Standing:
    reach: Callable[[Shop], UUID]
    status: str
    allowed: tuple[Intervention, ...]


STANDINGS = [
    Standing(fresh, "RUNNING", (RETRY, CANCEL, PAUSE)),
    Standing(retrying, "RUNNING", (RETRY, CANCEL, PAUSE)),
    Standing(in_a_call, "RUNNING", (CANCEL, PAUSE)),
    Standing(being_cancelled, "RUNNING", (PAUSE,)),
    Standing(probing, "RUNNING", (RETRY, CANCEL, PAUSE)),
    Standing(waiting_for_a_signal, "RUNNING", (CANCEL, PAUSE)),
    Standing(sleeping, "RUNNING", (RETRY, CANCEL, PAUSE)),
    Standing(accepted, "RUNNING", (RETRY, PAUSE)),
    Standing(past_the_pivot, "RUNNING", (RETRY, PAUSE)),
    Standing(paused, "RUNNING", (CANCEL, RESUME)),
    Standing(compensating, "COMPENSATING", (RETRY, PAUSE)),
    Standing(completed, "COMPLETED", ()),
    Standing(compensated, "COMPENSATED", ()),
    Standing(timed_out, "TIMEOUT", ()),
    Standing(failed_forward, "FAILED", (RETRY, COMPENSATE, RESOLVE)),
    Standing(failed_going_back, "FAILED", (RETRY, COMPENSATE, RESOLVE)),
    Standing(failed_at_rest, "FAILED", (COMPENSATE, RESOLVE)),
]


@pytest.mark.parametrize("what", Intervention)
@pytest.mark.parametrize("standing", STANDINGS, ids=lambda each: each.reach.__name__)
def test_the_predicate_and_the_engine_agree_on_every_action_in_every_standing(
    shop: Shop, ann: Operator, standing: Standing, what: Intervention
) -> None:
    saga_id = standing.reach(shop)
    before, happened = shop.row(saga_id), shop.kinds(saga_id)
    assert before["status"] == standing.status
    with shop.database.connect() as connection:
        told = show(connection, shop.engine.registry, saga_id)["allowedActions"]
    assert told == [each.value for each in standing.allowed]

    if what in standing.allowed:
        acted = act(ann, what, saga_id, version=before["version"])
        row = shop.row(saga_id)
        assert (acted.status, acted.version) == (row["status"], row["version"])
        event = shop.events(saga_id)[len(happened)]
        assert event["actor"] == "Ann"
        assert (event["detail"]["asked"], event["detail"]["because"]) == (what, WHY)
    else:
        with pytest.raises(NotAllowedNow) as refused:
            act(ann, what, saga_id)
        assert refused.value.allowed == tuple(standing.allowed)
        assert refused.value.saga_id == saga_id
        assert shop.row(saga_id) == before
        assert shop.kinds(saga_id) == happened


def test_a_version_that_is_old_is_refused(shop: Shop, ann: Operator) -> None:
    saga_id = failed_forward(shop)
    before = shop.row(saga_id)

    for version in (1, before["version"] - 1, before["version"] + 1):
        with pytest.raises(MovedSince) as refused:
            ann.retry(saga_id, reason=WHY, version=version)
        assert refused.value.allowed == (RETRY, COMPENSATE, RESOLVE)

    assert shop.row(saga_id) == before


@pytest.mark.parametrize("what", Intervention)
def test_what_does_not_exist_is_not_found(ann: Operator, what: Intervention) -> None:
    with pytest.raises(SagaNotFound):
        act(ann, what, uuid4())


@pytest.mark.parametrize("what", Intervention)
def test_a_definition_that_is_not_known_here_allows_nothing(shop: Shop, what: Intervention) -> None:
    saga_id = shop.start()
    stranger = Operator(shop.engine_for(), actor="Ann")

    with pytest.raises(NotAllowedNow, match="not known here") as refused:
        act(stranger, what, saga_id)

    assert refused.value.allowed == ()
    with shop.database.connect() as connection:
        assert show(connection, shop.engine_for().registry, saga_id)["allowedActions"] == []


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("reason", odd) for odd in ("a\0b", "x" * 10_000, " \n ", "")],
        *[("evidence", odd) for odd in ("a\0b", "x" * 10_000, "")],
    ],
)
def test_words_that_cannot_be_kept_whole_are_refused(
    shop: Shop, ann: Operator, field: str, text: str
) -> None:
    saga_id = failed_forward(shop)
    before = shop.row(saga_id)

    with pytest.raises(BadIntervention) as refused:
        act(ann, RESOLVE, saga_id, **{field: text})

    assert refused.value.field == field
    assert shop.row(saga_id) == before


def test_words_on_several_lines_are_kept_as_one(shop: Shop, ann: Operator) -> None:
    saga_id = shop.start()

    ann.pause(saga_id, reason="the bank\n  is \udcff down")

    assert shop.events(saga_id)[-1]["detail"]["because"] == "the bank is ? down"
