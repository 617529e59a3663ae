"""Purging takes what rested long ago, all of it, and nothing else."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from saga import retention
from saga.access.audit import list_audit
from saga.retention import BadRetention, Purged, count_old, purge
from saga.tables import saga_state
from tests.integration.desk import Desk
from tests.integration.shop import Shop
from tests.integration.test_operator import probed_at_rest

pytestmark = pytest.mark.integration

MONTH = timedelta(days=30)


def aged(shop: Shop, *sagas: UUID, days: int = 40) -> None:
    """Let it all have happened so long ago."""
    with shop.database.begin() as connection:
        for saga_id in sagas:
            connection.execute(
                text(
                    "UPDATE saga_state SET created_at = created_at - :age, "
                    "completed_at = completed_at - :age WHERE saga_id = :saga_id"
                ),
                {"age": timedelta(days=days), "saga_id": saga_id},
            )


def completed(shop: Shop) -> UUID:
    saga_id = shop.start()
    shop.work_off()
    assert shop.status(saga_id) == "COMPLETED"
    return saga_id


def run(shop: Shop, **asked: str) -> Purged:
    *_, done = purge(shop.database, older_than=MONTH, actor="Ann", **asked)
    return done


def left(shop: Shop) -> set[tuple[str, UUID]]:
    """What is there of any saga."""
    with shop.database.connect() as connection:
        return {
            (table, saga_id)
            for table in ("saga_state", "saga_event", "saga_signal")
            for saga_id in connection.execute(text(f"SELECT saga_id FROM {table}")).scalars()
        }


def test_what_rested_long_ago_is_gone_with_all_that_is_about_it(shop: Shop) -> None:
    old, young = completed(shop), completed(shop)
    with shop.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO saga_signal (saga_id, name, signal_id, payload, received_at) "
                "VALUES (:saga_id, 'said', 'one', '{}', now())"
            ),
            {"saga_id": old},
        )
    aged(shop, old)

    assert count_old(shop.database, older_than=MONTH) == 1
    assert run(shop).sagas == 1
    assert left(shop) == {("saga_state", young), ("saga_event", young)}
    assert run(shop).sagas == 0


def test_what_anybody_may_still_act_on_stays(shop: Shop) -> None:
    looked_at = probed_at_rest(shop)
    shop.script.say("book", *[ValueError("no ink")] * 4)
    failed = shop.start()
    shop.work_off()
    running = shop.start()
    sagas = {failed, looked_at, running}
    aged(shop, *sagas)

    run(shop)

    assert {saga_id for table, saga_id in left(shop) if table == "saga_state"} == sagas


def test_a_saga_that_somebody_works_on_just_now_is_left_for_the_next_time(shop: Shop) -> None:
    old, other = completed(shop), completed(shop)
    aged(shop, old, other)
    with shop.database.begin() as connection:
        sql = "SELECT FROM saga_state WHERE saga_id = :saga_id FOR UPDATE"
        connection.execute(text(sql), {"saga_id": old})

        assert run(shop).sagas == 1

    assert run(shop).sagas == 1


def test_it_goes_batch_by_batch_and_may_be_stopped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    sagas = [completed(shop) for _ in range(5)]
    aged(shop, *sagas)

    begun = purge(shop.database, older_than=MONTH, actor="Ann")
    assert next(begun).sagas == 2
    with shop.database.connect() as connection:
        assert list_audit(connection, limit=1)["items"][0]["action"] == "purge"

    assert count_old(shop.database, older_than=MONTH) == 3
    assert [done.sagas for done in purge(shop.database, older_than=MONTH, actor="Ann")] == [2, 3, 3]


def test_one_type_alone_may_be_meant(shop: Shop) -> None:
    aged(shop, completed(shop))

    assert run(shop, saga_type="another").sagas == 0
    assert run(shop, saga_type="shop").sagas == 1


def test_the_audit_keeps_the_purge_and_loses_what_is_old(shop: Shop) -> None:
    with shop.database.begin() as connection:
        connection.execute(text("TRUNCATE saga_audit"))
        sql = "INSERT INTO saga_audit (at, action, outcome) VALUES (now() - :age, 'old', 'done')"
        connection.execute(text(sql), {"age": timedelta(days=40)})
    aged(shop, completed(shop))

    assert run(shop) == Purged(sagas=1, audit=1)

    with shop.database.connect() as connection:
        [entry] = list_audit(connection)["items"]
    assert (entry["actor"], entry["action"]) == ("Ann", "purge")
    assert entry["why"].startswith("all that rested before ")


def test_old_sagas_are_found_by_their_index(shop: Shop) -> None:
    completed(shop)
    names = [column.name for column in saga_state.columns if column.name != "id"]
    values = [{"saga_id": "gen_random_uuid()"}.get(name, name) for name in names]
    many = (
        f"INSERT INTO saga_state ({', '.join(names)}) "
        f"SELECT {', '.join(values)} FROM saga_state, generate_series(1, 5000)"
    )
    with shop.database.connect() as connection, connection.begin() as transaction:
        connection.execute(text(many))
        connection.execute(text("ANALYZE saga_state"))
        found = connection.exec_driver_sql(
            "EXPLAIN " + retention._PURGE,
            {
                "before": retention._BEGINNING,
                "after_at": retention._BEGINNING,
                "after_id": 0,
                "type": None,
                "batch": 10,
            },
        )
        plan = "\n".join(found.scalars())
        transaction.rollback()

    assert "saga_state_by_age" in plan
    assert "Seq Scan on saga_state" not in plan


@pytest.mark.parametrize("age", [timedelta(seconds=-1), timedelta(days=36_501)])
def test_an_age_that_cannot_be_is_refused(shop: Shop, age: timedelta) -> None:
    with pytest.raises(BadRetention):
        count_old(shop.database, older_than=age)


@pytest.fixture
def desk(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(shop, capsys, monkeypatch)


def test_the_command_counts_first_and_deletes_then(shop: Shop, desk: Desk) -> None:
    aged(shop, completed(shop))

    assert desk.json("purge", "--older-than=30d", "--dry-run") == {"wouldPurge": 1}
    assert "say --yes" in desk.fails(2, "purge", "--older-than=30d")
    assert desk.json("purge", "--older-than=30d", "--dry-run") == {"wouldPurge": 1}
    assert desk.json("purge", "--older-than=30d", "--yes")["purged"] == 1
    assert "0 sagas deleted" in desk.says("purge", "--older-than=30d", "--yes")
    assert "must be a duration" in desk.fails(2, "purge", "--older-than=soon")
    assert desk.fails(2, "purge")
