"""What is sensitive of a saga is told to nobody who may not see it, by no face, log or event."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from celery import Celery, signals
from celery.contrib.testing.worker import start_worker
from pydantic import BaseModel
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    Engine,
    IdempotencyKey,
    NeedsPerson,
    Refused,
    RetryPolicy,
    Saga,
    connect,
    external,
    pivot,
)
from saga.access import Role, keys
from saga.api import create_app
from saga.filter import Filter
from saga.followup import Lane, Raise, RetryIn
from saga.lists import list_sagas
from saga.operator import Operator
from saga.registry import Registry
from saga.views import events_after, one, show, show_preview
from saga.worker import CeleryPublisher, register
from tests.integration.consoles import at, key_of, opened
from tests.integration.served import calling, served
from tests.integration.shop import Order, Shop

pytestmark = pytest.mark.integration

NAMES = ("alice", "smith", "beatrice")


class SecretShop(Shop):
    """A shop where nobody is to know who ordered what: all of an order's items are names."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.saga = replace(self.saga, sensitive=["item"])
        self.engine = self.engine_for(self.saga)

    def order(self, item: str = "Alice Smith", **options: Any) -> UUID:
        with Session(self.database) as session, session.begin():
            return self.engine.start(session, self.saga, Order(item=item), **options).saga_id


@pytest.fixture
def shop(shop_database: Database) -> SecretShop:
    return SecretShop(shop_database)


def tell(shop: SecretShop, saga_id: UUID, *, masked: bool, known: bool = True) -> dict[str, str]:
    """Each thing that faces tell of the saga, as JSON."""
    registry = shop.engine.registry if known else Registry([])
    with shop.database.connect() as connection:
        told = {
            "show": show(connection, registry, saga_id, masked=masked),
            "one": one(connection, saga_id, registry=registry, masked=masked),
            "events": events_after(connection, saga_id, 0, registry=registry, masked=masked),
            "preview": show_preview(connection, registry, saga_id, masked=masked),
            "list": list_sagas(connection, registry=registry, masked=masked),
        }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in told.items()}


def names_in(told: Any) -> list[str]:
    return [name for name in NAMES if name in str(told).lower()]


def troubled(shop: SecretShop) -> UUID:
    """A saga whose item was another one once, with an error that names both."""
    changed = Order(item="Beatrice")
    shop.script.say("reserve", ValueError("no room for Alice Smith"), changed)
    shop.script.say("ship", ValueError("ALICE SMITH is not beatrice"))
    saga_id = shop.order()
    shop.work_off(until="ship")
    shop.deliver()
    return saga_id


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_the_console_tells_nothing_to_who_may_not_see_it(shop: SecretShop, role: Role) -> None:
    seen = role is Role.OPERATOR
    shop.execute("DELETE FROM saga_key")
    saga_id = troubled(shop)
    with opened(shop.engine) as address, at(address) as guest:
        guest.log_in(key_of(shop.engine, role, "somebody").secret)
        pages = [guest.get(path) for path in ("/", "/sagas", f"/sagas/{saga_id}")]
        found = guest.get("/sagas?q=Alice").text

    assert [page.status_code for page in pages] == [200] * 3
    assert bool(names_in(pages[-1].text)) is seen
    assert bool(names_in([page.text for page in pages])) is seen
    assert (str(saga_id)[:8] in found) is seen


def test_who_may_not_see_it_is_told_no_value_that_a_field_has_or_had(shop: SecretShop) -> None:
    saga_id = troubled(shop)
    Operator(shop.engine, actor="Olga").pause(saga_id, reason="Beatrice asked for it")

    plain, masked = (tell(shop, saga_id, masked=hides) for hides in (False, True))

    assert all(names_in(plain[name]) for name in ("show", "one", "events", "list"))
    assert {name: names_in(told) for name, told in masked.items() if names_in(told)} == {}
    shown = json.loads(masked["show"])
    assert shown["saga"]["errorMessage"] == "ValueError: *** is not ***"
    assert "*** asked for it" in shown["why"]
    [done] = [event for event in shown["events"] if event["kind"] == "step_done"]
    assert done["detail"]["was"] == {"item": "***"}
    differ = {"saga", "events", "why"}
    was = json.loads(plain["show"])
    assert {name for name in was if was[name] != shown[name]} == differ, "the rest is the same"


def test_of_a_definition_unknown_here_no_text_is_told(shop: SecretShop) -> None:
    saga_id = troubled(shop)

    masked = tell(shop, saga_id, masked=True, known=False)

    assert {name: names_in(told) for name, told in masked.items() if names_in(told)} == {}
    assert json.loads(masked["one"])["errorMessage"] == "***"
    with shop.database.connect() as connection:
        assert one(connection, saga_id, masked=True)["errorMessage"] == "***"
        assert names_in(list_sagas(connection, masked=True)) == []


def test_a_signal_that_changes_what_is_sensitive_leaves_what_it_was_masked(
    shop: SecretShop,
) -> None:
    told = replace(shop.saga.signals[0], function=lambda *_: Order(item="Beatrice"))
    shop.saga = replace(shop.saga, signals=[told])
    shop.engine = shop.engine_for(shop.saga)
    shop.script.say("reserve", ValueError("no room for Alice Smith"))
    saga_id = shop.order()
    shop.deliver()
    with shop.database.begin() as connection:
        connection.execute(
            text("UPDATE saga_state SET waiting_for = 'signal', signal = 'paid', attempt = 0")
        )

    shop.signal(saga_id)

    assert shop.row(saga_id)["state"]["item"] == "Beatrice"
    masked = tell(shop, saga_id, masked=True)
    assert {name: names_in(told) for name, told in masked.items() if names_in(told)} == {}


@pytest.mark.parametrize("masked", [False, True])
def test_lists_find_nothing_by_what_they_do_not_tell(shop: SecretShop, masked: bool) -> None:  # noqa: FBT001
    shop.script.say("reserve", Refused("Beatrice: no room for Alice Smith"))
    shop.script.say("release", NeedsPerson("Beatrice: must go"))
    saga_id, other = shop.order(), shop.order("Beatrice", business_key="table:7")
    shop.deliver()
    with shop.database.begin() as connection:
        connection.execute(
            text("UPDATE saga_state SET error_message = :error WHERE saga_id = :saga_id"),
            {"error": "Beatrice: must go", "saga_id": other},
        )

    def found(**wanted: Any) -> list[str]:
        with shop.database.connect() as connection:
            page = list_sagas(
                connection, Filter(**wanted), registry=shop.engine.registry, masked=masked
            )
        assert page["nextCursor"] is None
        return [item["sagaId"] for item in page["items"]]

    assert found(q="must go") == ([] if masked else [str(other)])
    assert found(error="Beatrice") == ([] if masked else [str(other)])
    assert found(q="table:") == found(q="table:7") == found(q=str(other)) == [str(other)]
    assert found(error="Refused") == [str(saga_id)]
    assert len(found()) == 2


def test_what_is_hidden_moves_no_cursor(shop: SecretShop) -> None:
    for item, error in [("Carla", "Carla: 1"), ("x", "Carla: 2"), ("Carla", "Carla: 3")] * 2:
        saga_id = shop.order(item)
        shop.execute(
            "UPDATE saga_state SET error_message = :error WHERE saga_id = :saga_id",
            {"error": error, "saga_id": saga_id},
        )
    seen: list[str] = []
    wanted = Filter(error="Carla", limit=1)

    with shop.database.connect() as connection:
        while True:
            page = list_sagas(connection, wanted, registry=shop.engine.registry, masked=True)
            seen += [item["errorMessage"] for item in page["items"]]
            if page["nextCursor"] is None:
                break
            assert page["items"], "a page without anything would tell that more is hidden"
            wanted = replace(wanted, cursor=page["nextCursor"])

    assert seen == ["Carla: 2", "Carla: 2"]


def test_each_role_is_told_over_http_what_it_may_see(shop: SecretShop) -> None:
    saga_id = troubled(shop)
    paths = [
        f"/api/sagas/{saga_id}",
        f"/api/sagas/{saga_id}/compensate/preview",
        "/api/sagas",
        "/api/sagas?error=ValueError",
    ]
    seen: dict[Role, list[str]] = {}
    found: dict[Role, int] = {}
    with served(create_app(shop.engine, api_key=None)) as address:
        for role in Role:
            with shop.database.begin() as connection:
                key = keys.create(connection, name=f"a {role}", role=role, by="Ann")
            with calling(address, key.secret) as client:
                seen[role] = [client.get(path).raise_for_status().text for path in paths]
                found[role] = len(client.get("/api/sagas?q=smith").json()["items"])

    see_all = {Role.OPERATOR, Role.ADMIN}
    assert {role for role in Role if names_in(seen[role])} == see_all
    assert {role for role in Role if found[role]} == see_all
    assert all(str(saga_id) in told for role in Role for told in seen[role])


def test_followups_carry_masked_errors(shop: SecretShop) -> None:
    told = {"reserve": ValueError("no room for Alice Smith"), "ship": Refused("not to Alice Smith")}
    for step, error in told.items():
        shop.script.say(step, error)
    shop.order()

    retried = shop.deliver()
    shop.work_off(until="ship")
    refused = shop.deliver()

    assert isinstance(retried, RetryIn)
    assert isinstance(refused, Raise)
    assert (repr(retried.error), repr(refused.error)) == (
        "StepFailed('ValueError: no room for ***')",
        "Refused('not to ***')",
    )


class Guest(BaseModel):
    name: str = "Alice Smith"


class Ears(logging.Handler):
    """All that is logged in this process, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.heard: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


def leave_as_it_is(**_: object) -> None:
    pass


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears, root = Ears(), logging.getLogger()
    level = root.level
    root.addHandler(ears)
    root.setLevel(logging.INFO)
    # Else Celery has its own way with everybody's loggers.
    signals.setup_logging.connect(leave_as_it_is)
    yield ears
    signals.setup_logging.disconnect(leave_as_it_is)
    root.setLevel(level)
    root.removeHandler(ears)


def test_a_real_worker_says_nothing_of_it_to_anybody(
    new_database: Callable[[], str],
    ears: Ears,
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls: list[str] = []

    @external("guest.invite")
    def invite(state: Guest, key: IdempotencyKey) -> Guest:
        calls.append(key)
        if len(calls) == 1:
            raise ConnectionError(f"{state.name} is not at home") from KeyError(state.name)
        raise NeedsPerson(f"ask {state.name} when to come")

    guest = Saga(
        name="guest",
        version=1,
        state=Guest,
        timeout=timedelta(minutes=5),
        steps=[pivot(invite, retry=RetryPolicy(retries=3, first=timedelta(milliseconds=1)))],
        sensitive=["name"],
    )
    celery = Celery("guests", broker="memory://", set_as_current=False)
    celery.conf.update(worker_redirect_stdouts=False, worker_send_task_events=True)
    database = connect(new_database())
    engine = Engine(database=database, sagas=[guest], publisher=CeleryPublisher(celery))
    register(celery, engine)
    events: list[dict[str, Any]] = []

    def begin(*_: object, **__: object) -> None:
        with Session(database) as session, session.begin():
            engine.start(session, guest, Guest())

    with celery.connection() as connection:

        def hear(event: dict[str, Any]) -> None:
            events.append(event)
            receiver.should_stop = event["type"] == "task-failed"

        receiver = celery.events.Receiver(connection, handlers={"*": hear})
        receiver.on_consume_ready = begin
        queues = [lane.value for lane in Lane]
        with start_worker(celery, pool="solo", perform_ping_check=False, queues=queues):
            receiver.capture(limit=None, timeout=30, wakeup=False)
    said = capfd.readouterr()
    database.dispose()

    types = [event["type"] for event in events]
    assert {"task-retried", "task-failed"} <= set(types)
    assert "StepFailed('ConnectionError: *** is not at home')" in str(events)
    assert "ask *** when to come" in str(events)
    assert any("alarm" in line and "ask ***" in line for line in [*ears.heard, *said])
    assert any("celery.app.trace" in line for line in ears.heard)
    assert names_in(events) == names_in(ears.heard) == names_in(said) == []
