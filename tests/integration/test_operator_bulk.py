"""The same for many sagas: bounded, one after the other, each as it was listed."""

from uuid import UUID

import pytest

from saga import bulk
from saga.bulk import Bulk, Tried, act, meant, pages_of
from saga.errors import MovedSince, NotAllowedNow
from saga.filter import Filter
from saga.operator import Acted, Operator
from saga.position import Intervention
from tests.integration.shop import Shop
from tests.integration.test_operator import WHY, failed_forward

pytestmark = pytest.mark.integration


@pytest.fixture
def ann(shop: Shop) -> Operator:
    return Operator(shop.engine, actor="Ann")


@pytest.fixture(params=[2, 500])
def small_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST", request.param)


def ids(tried: list[Tried]) -> list[UUID]:
    return [one.saga_id for one in tried]


@pytest.mark.usefixtures("small_pages")
def test_each_saga_of_the_list_is_acted_on_once_though_the_list_shrinks_meanwhile(
    shop: Shop, ann: Operator
) -> None:
    sagas = [shop.start() for _ in range(5)]

    does = Bulk(
        pages_of(shop.engine), Filter(status="RUNNING"), act(ann, Intervention.CANCEL, reason=WHY)
    )
    tried = list(does)

    assert ids(tried) == sagas[::-1]
    assert {shop.status(saga_id) for saga_id in sagas} == {"COMPENSATED"}
    assert not does.more
    assert all(shop.events(saga_id)[-1]["actor"] == "Ann" for saga_id in sagas)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("most", "more"), [(1, True), (3, True), (4, True), (5, False)])
def test_no_more_than_asked_for(shop: Shop, ann: Operator, most: int, *, more: bool) -> None:
    sagas = [shop.start() for _ in range(5)]
    pauses = act(ann, Intervention.PAUSE, reason=WHY)

    does = Bulk(pages_of(shop.engine), Filter(), pauses, most=most)

    assert ids(list(does)) == sagas[::-1][:most]
    assert does.more is more
    assert [bool(shop.row(saga_id)["paused"]) for saga_id in sagas[::-1]] == [
        place < most for place in range(5)
    ]


def test_what_is_refused_is_told_and_the_others_are_done(shop: Shop, ann: Operator) -> None:
    broken = failed_forward(shop)
    fine = shop.start()
    shop.work_off()

    told = list(Bulk(pages_of(shop.engine), Filter(), act(ann, Intervention.RETRY, reason=WHY)))

    assert ids(told) == [fine, broken]
    assert isinstance(told[0].refusal, NotAllowedNow)
    assert told[1].acted is not None
    assert (told[1].acted.status, told[1].refusal) == ("RUNNING", None)


def test_a_saga_that_moved_since_it_was_listed_is_told_and_not_forced(
    shop: Shop, ann: Operator
) -> None:
    first, second = shop.start(), shop.start()
    pauses = act(ann, Intervention.PAUSE, reason=WHY)

    def meanwhile(saga_id: UUID, version: int | None) -> Acted:
        if saga_id == second:
            shop.deliver()
        return pauses(saga_id, version)

    told = list(Bulk(pages_of(shop.engine), Filter(), meanwhile))

    assert told[0].acted is not None
    assert isinstance(told[1].refusal, MovedSince)
    assert shop.row(first)["paused"] is None


def test_whoever_stops_in_between_keeps_what_is_done(shop: Shop, ann: Operator) -> None:
    first, second = shop.start(), shop.start()

    next(iter(Bulk(pages_of(shop.engine), Filter(), act(ann, Intervention.PAUSE, reason=WHY))))

    assert (shop.row(first)["paused"], shop.row(second)["paused"]) == (None, "saga")


def test_an_action_is_meant_for_sagas_that_it_is_for_unless_the_filter_says() -> None:
    assert meant(Filter(), Intervention.RETRY).statuses == ("FAILED",)
    assert meant(Filter(), Intervention.PAUSE).statuses == ("RUNNING", "COMPENSATING")
    assert meant(Filter(), Intervention.RESUME).paused
    assert meant(Filter(status="RUNNING"), Intervention.RETRY).statuses == ("RUNNING",)
    assert meant(Filter(retries=3), Intervention.RETRY).statuses == ()
