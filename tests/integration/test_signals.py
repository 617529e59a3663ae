"""A signal that cannot be is refused by a typed error; nothing is left of it."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from saga import InvalidInput, SagaNotFound
from saga.errors import BadSignal, NotAllowedNow, SagaBusy, SagaIsOver
from tests.integration.shop import Paid, Shop

pytestmark = pytest.mark.integration


def send(shop: Shop, saga_id: Any, name: str, payload: Any, **options: Any) -> None:
    with Session(shop.database) as session, session.begin():
        shop.engine.signal(session, saga_id, name, payload, **options)


def kept(shop: Shop) -> int:
    with shop.database.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM saga_signal")).scalar_one())


def test_a_signal_for_nobody_is_refused(shop: Shop) -> None:
    with pytest.raises(SagaNotFound):
        send(shop, uuid4(), "paid", {"by": "Ann"})


def test_a_signal_for_a_saga_at_rest_is_refused_but_its_repeat_is_not(shop: Shop) -> None:
    saga_id = shop.start()
    send(shop, saga_id, "paid", {"by": "Ann"}, signal_id="s1")
    shop.work_off()

    with pytest.raises(SagaIsOver, match="COMPLETED"):
        send(shop, saga_id, "paid", {"by": "Ann"}, signal_id="s2")
    send(shop, saga_id, "paid", {"by": "Ann"}, signal_id="s1")
    assert kept(shop) == 1


@pytest.mark.parametrize(
    ("name", "payload", "options", "field"),
    [
        ("godot", {"by": "Ann"}, {}, "name"),
        ("paid", {}, {}, "payload.by"),
        ("paid", {"by": 3}, {}, "payload.by"),
        ("paid", {"by": "a\0b"}, {}, "payload"),
        ("paid", [], {}, "payload"),
        ("paid", None, {}, "payload"),
        ("paid", {"by": "Ann"}, {"signal_id": ""}, "signalId"),
        ("paid", {"by": "Ann"}, {"signal_id": "x" * 256}, "signalId"),
        ("paid", {"by": "Ann"}, {"signal_id": "a\0"}, "signalId"),
    ],
)
def test_a_signal_of_a_wrong_type_is_refused(
    shop: Shop, name: str, payload: Any, options: dict[str, Any], field: str
) -> None:
    saga_id = shop.start()

    with pytest.raises(BadSignal) as refused:
        send(shop, saga_id, name, payload, **options)

    assert refused.value.field == field
    assert isinstance(refused.value, InvalidInput)
    assert kept(shop) == 0


def test_an_id_that_came_with_another_payload_is_refused(shop: Shop) -> None:
    saga_id = shop.start()
    send(shop, saga_id, "paid", {"by": "Ann"}, signal_id="s1")

    with pytest.raises(BadSignal, match="signalId"):
        send(shop, saga_id, "paid", {"by": "Bob"}, signal_id="s1")


def test_a_process_that_does_not_know_the_definition_takes_no_signal(shop: Shop) -> None:
    saga_id = shop.start()
    stranger = shop.engine_for()

    with (
        pytest.raises(NotAllowedNow, match="not known here"),
        Session(shop.database) as session,
        session.begin(),
    ):
        stranger.signal(session, saga_id, "paid", Paid(by="Ann"))


def test_a_signal_for_a_failed_saga_is_there_when_it_goes_on(shop: Shop) -> None:
    shop.script.say("tell", *[RuntimeError("no")] * 4)
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "FAILED"

    send(shop, saga_id, "paid", {"by": "Ann"})

    assert kept(shop) == 1
    assert shop.status(saga_id) == "FAILED"


def test_a_row_that_a_worker_has_for_long_is_busy(shop: Shop) -> None:
    saga_id = shop.start()
    with shop.database.connect() as worker, Session(shop.database) as session:
        worker.execute(text("SELECT FROM saga_state FOR UPDATE"))
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))

        with pytest.raises(SagaBusy) as refused:
            shop.engine.signal(session, saga_id, "paid", Paid(by="Ann"))

    assert refused.value.saga_id == saga_id
    assert isinstance(refused.value.__cause__, OperationalError)
