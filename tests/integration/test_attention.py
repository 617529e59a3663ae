"""What needs a person is found, told with its beginning, and never by reading all sagas."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database

from saga import NeedsPerson, Operator, Refused, attention
from saga.attention import KINDS, needs_a_person, params, statement
from saga.registry import Registry
from tests.integration.shop import Shop
from tests.integration.test_lists import a_saga, plan_of, put

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)
NOTHING = {"count": 0, "isMore": False, "items": []}
WHY = "the bank <is> down"


def told(shop: Shop, *, masked: bool = False, most: int = 20) -> dict[str, Any]:
    with shop.database.connect() as connection:
        return needs_a_person(connection, shop.engine.registry, masked=masked, most=most)


def ids(group: dict[str, Any]) -> list[UUID]:
    return [UUID(saga["sagaId"]) for saga in group["items"]]


@pytest.fixture
def fresh(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        yield connection


def test_nothing_needs_a_person_while_sagas_go_their_way(shop: Shop) -> None:
    for _ in range(3):
        shop.start()
    shop.deliver()

    found = told(shop)

    assert list(found) == [*KINDS, "pauses"]
    assert found == dict.fromkeys(KINDS, NOTHING) | {"pauses": []}


def test_failed_sagas_are_told_from_the_oldest_with_when_they_failed(shop: Shop) -> None:
    shop.script.say("book", *[NeedsPerson("ask the bank")] * 3)
    first, second, third = (shop.start() for _ in range(3))
    shop.work_off()
    assert {shop.status(saga_id) for saga_id in (first, second, third)} == {"FAILED"}
    [failed] = [event for event in shop.events(first) if event["kind"] == "failed"]

    found = told(shop, most=2)["failed"]

    assert found["count"] == 3
    assert not found["isMore"]
    assert ids(found) == [first, second]
    assert found["items"][0]["since"][:23] == failed["at"].isoformat()[:23]
    assert "ask the bank" in found["items"][0]["errorMessage"]


def test_a_compensation_is_stuck_after_three_failures_or_ten_minutes_without_any(
    shop: Shop,
) -> None:
    shop.script.say("ship", *[Refused("no")] * 4)
    failing, still, calling, lately = (shop.start() for _ in range(4))
    shop.work_off(until="release")
    assert {shop.status(one) for one in (failing, still, calling, lately)} == {"COMPENSATING"}
    change = "UPDATE saga_state SET {} WHERE saga_id = :saga_id"
    later = "updated_at = updated_at - interval '11 min'"
    shop.execute(change.format("retry_count = 3"), {"saga_id": failing})
    shop.execute(change.format(f"retry_count = 1, {later}"), {"saga_id": still})
    hand = f"claimed_by = saga_id, claim_deadline = now() + interval '1 min', {later}"
    shop.execute(change.format(hand), {"saga_id": calling})
    shop.execute(change.format("retry_count = 2"), {"saga_id": lately})

    found = told(shop)["stuck"]

    assert set(ids(found)) == {failing, still}
    assert found["count"] == 2
    [turned] = [event for event in shop.events(still) if event["kind"] == "compensating"]
    since = {UUID(saga["sagaId"]): saga["since"] for saga in found["items"]}[still]
    assert since[:23] == turned["at"].isoformat()[:23]


def test_what_a_person_paused_is_told_with_who_and_why(shop: Shop) -> None:
    ann = Operator(shop.engine, actor="Ann")
    alone, of_type = shop.start(), shop.start()
    ann.pause(alone, reason=WHY)
    ann.pause_type("shop", reason="a new bank", step="shop.reserve")
    shop.let_pass(MINUTE)
    shop.recover()
    assert shop.row(of_type)["paused"] == "step"

    found = told(shop)

    assert ids(found["paused"]) == [alone]
    [saga] = found["paused"]["items"]
    assert (saga["actor"], saga["reason"]) == ("Ann", WHY)
    [pause] = found["pauses"]
    assert (pause["step"], pause["actor"]) == ("shop.reserve", "Ann")
    assert pause["reason"] == "a new bank"


def test_overdue_and_unknown_sagas_are_told_and_paused_ones_among_them_are_not(
    shop: Shop,
) -> None:
    overdue, paused, unknown = (shop.start() for _ in range(3))
    Operator(shop.engine, actor="Ann").pause(paused, reason=WHY)
    change = "UPDATE saga_state SET {} WHERE saga_id = :saga_id"
    for saga_id in (overdue, paused):
        past = "overdue = true, timeout_at = now() - interval '5 min'"
        shop.execute(change.format(past), {"saga_id": saga_id})
    missed = "unknown_since = now() - interval '2 min'"
    shop.execute(change.format(missed), {"saga_id": unknown})

    found = told(shop)

    assert ids(found["overdue"]) == [overdue]
    assert found["overdue"]["items"][0]["since"] == found["overdue"]["items"][0]["timeoutAt"]
    assert ids(found["unknown"]) == [unknown]
    assert ids(found["paused"]) == [paused]


def test_of_a_definition_that_is_unknown_nobody_masked_is_told_a_text(shop: Shop) -> None:
    shop.script.say("book", NeedsPerson("ask the bank about 4711"))
    shop.start()
    shop.work_off()
    Operator(shop.engine, actor="Ann").pause(shop.start(), reason="4711 calls back")
    with shop.database.connect() as connection:
        found = needs_a_person(connection, Registry([]), masked=True)
        open_to_all = needs_a_person(connection, Registry([]), masked=False)

    assert "4711" not in found["failed"]["items"][0]["errorMessage"]
    assert "4711" not in found["paused"]["items"][0]["reason"]
    assert "4711" in open_to_all["failed"]["items"][0]["errorMessage"]
    assert "4711" in open_to_all["paused"]["items"][0]["reason"]


def test_what_is_more_than_anybody_counts_says_so(
    fresh: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "MOST_COUNTED", 5)
    monkeypatch.setattr(attention, "LOOKED_AT", 5)
    put(fresh, *(a_saga(status="FAILED") for _ in range(7)), *(a_saga() for _ in range(7)))

    found = needs_a_person(fresh, Registry([]), masked=False, most=2)

    assert found["failed"]["count"] == 5
    assert found["failed"]["isMore"]
    assert len(found["failed"]["items"]) == 2
    assert (found["overdue"]["count"], found["overdue"]["isMore"]) == (0, True)


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("failed", ["open"]),
        ("stuck", ["retrying", "open"]),
        ("paused", ["paused"]),
        ("overdue", ["open"]),
        ("unknown", ["due"]),
    ],
)
def test_each_kind_has_its_index(fresh: Connection, name: str, indexes: list[str]) -> None:
    put(fresh, *(a_saga(status="COMPLETED", step="payment_refund.book") for _ in range(300)))
    fresh.execute(text("ANALYZE saga_state"))

    plan = plan_of(fresh, statement(KINDS[name]), params(KINDS[name], 20))

    for index in indexes:
        assert f"using saga_state_{index} on" in plan
    assert "using saga_event_pkey on" in plan
    assert "Seq Scan" not in plan
