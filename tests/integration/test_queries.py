"""Whoever is to decide about a row gets it locked, and only if it may decide."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from saga import queries, store
from saga.row import Row
from saga.store import Record
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
TOKEN = uuid4()


def claim(shop: Shop, saga_id: UUID) -> None:
    with shop.database.begin() as connection:
        row = queries.lock(connection, saga_id)
        assert row is not None
        record = Record(kind="tried")
        assert store.claim(connection, row, record, token=TOKEN, lease=SECOND, limit=HOUR)


def lock_for(shop: Shop, connection: Connection, saga_id: UUID) -> Row | None:
    place = shop.engine.registry.places["shop.reserve"]
    return queries.lock_for(connection, place, saga_id, epoch=1, idle_limit=SECOND)


def lock_claim(shop: Shop, connection: Connection, saga_id: UUID) -> Row | None:
    claim(shop, saga_id)
    return queries.lock_claim(connection, saga_id, epoch=1, token=TOKEN)


def lock(_: Shop, connection: Connection, saga_id: UUID) -> Row | None:
    return queries.lock(connection, saga_id)


def lock_due(shop: Shop, connection: Connection, saga_id: UUID) -> Row | None:
    shop.let_pass(HOUR)
    return queries.lock_due(connection, saga_id, lease=SECOND)


Lock = Callable[[Shop, Connection, UUID], Row | None]


@pytest.mark.parametrize("lock", [lock_for, lock_claim, lock, lock_due], ids=lambda f: f.__name__)
def test_whoever_decides_about_a_row_has_it_locked(shop: Shop, lock: Lock) -> None:
    saga_id = shop.start()

    with shop.database.begin() as ours, shop.database.begin() as theirs:
        assert lock(shop, ours, saga_id) is not None

        free = theirs.execute(text("SELECT saga_id FROM saga_state FOR UPDATE SKIP LOCKED"))
        assert free.all() == []


def test_recovery_passes_by_a_row_that_another_one_has(shop: Shop) -> None:
    saga_id = shop.start()
    shop.let_pass(HOUR)

    with shop.database.begin() as theirs, shop.database.begin() as ours:
        theirs.execute(text("SELECT FROM saga_state FOR UPDATE"))
        ours.execute(text("SET LOCAL lock_timeout = '1ms'"))

        assert queries.due(ours, lease=SECOND, most=10) == []
        assert queries.lock_due(ours, saga_id, lease=SECOND) is None


def test_a_claim_is_found_by_its_owner_in_its_epoch_alone(shop: Shop) -> None:
    saga_id = shop.start()
    claim(shop, saga_id)

    with shop.database.begin() as connection:
        assert queries.lock_claim(connection, saga_id, epoch=1, token=TOKEN) is not None
        assert queries.lock_claim(connection, saga_id, epoch=1, token=uuid4()) is None
        assert queries.lock_claim(connection, saga_id, epoch=2, token=TOKEN) is None


def test_a_frozen_step_keeps_its_row_for_its_limit_and_no_longer(shop: Shop) -> None:
    shop.start()
    limits: list[str] = []

    def look(session: Session) -> None:
        shown = session.execute(text("SHOW idle_in_transaction_session_timeout"))
        limits.append(shown.scalar_one())

    shop.script.say("reserve", look)
    shop.deliver()

    assert limits == ["11s"]  # the step's 10 s, and a second of grace
