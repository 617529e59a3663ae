"""An operator's action is done, audited, and sent on; or it leaves nothing."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from saga import BusinessKeyTaken, Forward, connect, external_compensation
from saga.crashpoints import armed
from saga.errors import BadIntervention, MovedSince, SagaBusy
from saga.operator import Acted, Operator
from saga.position import Intervention, Outcome
from tests.integration.by_hand import Killed
from tests.integration.shop import Order, Shop
from tests.integration.test_operator import (
    CANCEL,
    COMPENSATE,
    PAUSE,
    RESOLVE,
    RESUME,
    RETRY,
    WHY,
    act,
    comes_to_light,
    failed_at_rest,
    failed_forward,
    failed_going_back,
    fresh,
    paused,
    probed_at_rest,
    retrying,
)

pytestmark = pytest.mark.integration

REACHED = {
    RETRY: failed_forward,
    COMPENSATE: failed_going_back,
    CANCEL: retrying,
    PAUSE: fresh,
    RESUME: paused,
    RESOLVE: failed_forward,
}


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


def dying_before_the_commit(point: str) -> None:
    if point == "before commit":
        raise Killed


@pytest.mark.parametrize("what", Intervention)
def test_without_the_commit_there_is_neither_the_action_nor_its_event(
    shop: Shop, ann: Operator, what: Intervention
) -> None:
    saga_id = REACHED[what](shop)
    before, happened = shop.row(saga_id), shop.kinds(saga_id)
    shop.broker.lose_all()

    with armed(dying_before_the_commit), pytest.raises(Killed):
        act(ann, what, saga_id)

    assert shop.row(saga_id) == before
    assert shop.kinds(saga_id) == happened
    assert not shop.broker.queue


def test_who_dies_after_the_commit_leaves_the_rest_to_recovery(shop: Shop, ann: Operator) -> None:
    def dying(point: str) -> None:
        if point == "after commit":
            raise Killed

    saga_id = failed_forward(shop)
    with armed(dying), pytest.raises(Killed):
        ann.retry(saga_id, reason=WHY)

    assert shop.status(saga_id) == "RUNNING"
    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=11)) == "COMPLETED"


def test_while_the_broker_is_away_an_action_is_done_all_the_same(shop: Shop, ann: Operator) -> None:
    saga_id = failed_forward(shop)
    shop.broker.is_away = True
    assert ann.retry(saga_id, reason=WHY).status == "RUNNING"

    shop.broker.is_away = False
    assert shop.recover_until_rest(saga_id, step=timedelta(seconds=11)) == "COMPLETED"


def acts(
    shop: Shop, actor: str, saga_id: UUID, version: int, ready: threading.Barrier
) -> Acted | MovedSince:
    operator = Operator(shop.engine, actor=actor)
    action = operator.retry if actor == "Ann" else operator.compensate
    ready.wait()
    try:
        return action(saga_id, reason=WHY, version=version)
    except MovedSince as moved:
        return moved


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(shop: Shop) -> None:
    for _ in range(10):
        saga_id = failed_forward(shop)
        version = shop.row(saga_id)["version"]
        ready = threading.Barrier(2)

        with ThreadPoolExecutor(2) as pool:
            ends = [
                pool.submit(acts, shop, name, saga_id, version, ready) for name in ("Ann", "Bob")
            ]
            told = [end.result() for end in ends]

        won = [one for one in told if isinstance(one, Acted)]
        lost = [one for one in told if isinstance(one, MovedSince)]
        assert (len(won), len(lost)) == (1, 1)
        assert lost[0].version == won[0].version
        assert lost[0].allowed == won[0].allowed
        asked = [event for event in shop.events(saga_id) if "because" in event["detail"]]
        assert {event["actor"] for event in asked} in ({"Ann"}, {"Bob"})
        shop.broker.lose_all()


@contextmanager
def a_worker_at(shop: Shop, saga_id: UUID) -> Iterator[None]:
    with shop.database.begin() as worker:
        lock = text("SELECT 1 FROM saga_state WHERE saga_id = :saga_id FOR UPDATE")
        worker.execute(lock, {"saga_id": saga_id})
        yield


def test_of_a_saga_that_a_worker_has_one_is_told_soon_and_what_would_be_allowed(
    shop: Shop,
) -> None:
    saga_id = failed_forward(shop)
    url = shop.database.url.render_as_string(hide_password=False)
    hasty = connect(url, lock_timeout=timedelta(milliseconds=50))
    engine = shop.engine_for(shop.saga)
    engine.database = hasty

    with a_worker_at(shop, saga_id), pytest.raises(SagaBusy) as told:
        Operator(engine, actor="Ann").retry(saga_id, reason=WHY)

    assert told.value.allowed == (RETRY, COMPENSATE, RESOLVE)
    hasty.dispose()


# What a person found out


def found(operator: Operator, saga_id: UUID, outcome: Outcome, step: str | None = None) -> Acted:
    return operator.resolve(
        saga_id, outcome=outcome, step=step, evidence="asked the bank", reason=WHY
    )


@pytest.mark.parametrize("reach", [failed_forward, failed_going_back, failed_at_rest])
@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.DONE, "COMPLETED"), (Outcome.NOT_DONE, "COMPENSATED")]
)
def test_a_person_may_vouch_for_a_whole_saga_wherever_it_failed(
    shop: Shop, ann: Operator, reach: object, outcome: Outcome, status: str
) -> None:
    assert callable(reach)
    saga_id = reach(shop)

    assert found(ann, saga_id, outcome).status == status

    row, event = shop.row(saga_id), shop.events(saga_id)[-1]
    assert (row["holds_key"], row["completed_at"] is None) == (False, False)
    assert not {"done", "unknown", "compensation_failed"} & set(row["effects"].values()) or (
        status == "COMPLETED"
    )
    assert event["detail"]["evidence"] == "asked the bank"
    assert (event["actor"], event["detail"]["outcome"]) == ("Ann", outcome)


def test_a_step_in_hand_that_is_done_lets_the_saga_go_forward(shop: Shop, ann: Operator) -> None:
    saga_id = failed_forward(shop)

    assert found(ann, saga_id, Outcome.DONE, "shop.book").status == "RUNNING"
    shop.work_off()

    assert shop.status(saga_id) == "COMPLETED"
    assert shop.row(saga_id)["effects"]["shop.book"] == "done"
    assert "book" not in shop.did(), "nobody ran it again"


def test_a_compensation_done_by_hand_lets_the_saga_go_on_back(shop: Shop, ann: Operator) -> None:
    saga_id = failed_going_back(shop)

    assert found(ann, saga_id, Outcome.NOT_DONE, "shop.ship").status == "COMPENSATING"
    shop.work_off()

    assert shop.status(saga_id) == "COMPENSATED"
    assert shop.script.order()[-1] == "release"


def test_a_late_success_taken_back_by_hand_ends_it(shop: Shop, ann: Operator) -> None:
    saga_id = failed_at_rest(shop)

    assert found(ann, saga_id, Outcome.NOT_DONE, "shop.pay").status == "COMPENSATED"
    assert shop.row(saga_id)["effects"]["shop.pay"] in {"compensated", "not_done"}


def test_a_step_that_is_none_of_its_saga_is_refused(shop: Shop, ann: Operator) -> None:
    saga_id = failed_forward(shop)
    for step in ("book", "market.book", ""):
        with pytest.raises(BadIntervention) as told:
            found(ann, saga_id, Outcome.DONE, step)
        assert told.value.field == "step"


@external_compensation("shop.pay_back")
def pay_back(state: Order, forward: Forward) -> None:
    pass


def test_a_saga_whose_business_key_was_taken_meanwhile_must_wait(shop: Shop) -> None:
    steps = [
        replace(step, compensation=pay_back) if step.name == "shop.pay" else step
        for step in shop.saga.steps
    ]
    shop.saga = replace(shop.saga, steps=steps)
    shop.engine = shop.engine_for(shop.saga)
    ann = Operator(shop.engine, actor="Ann")
    late = probed_at_rest(shop, business_key="tea")
    other = shop.start(business_key="tea")
    message = shop.broker.queue.popleft()
    comes_to_light(shop)
    assert shop.status(late) == "FAILED"
    shop.broker.queue.append(message)
    before, happened = shop.row(late), shop.kinds(late)

    with pytest.raises(BusinessKeyTaken) as told:
        ann.compensate(late, reason=WHY)

    assert told.value.saga_id == other
    assert told.value.allowed == (RETRY, CANCEL, PAUSE), "what may be done to the one in the way"
    assert shop.row(late) == before
    assert shop.kinds(late) == happened
    shop.work_off()
    assert shop.status(other) == "COMPLETED"
    ann.compensate(late, reason=WHY)
    shop.work_off()
    assert shop.status(late) == "COMPENSATED"
