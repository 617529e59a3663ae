"""What was started and came to rest in the last hour is counted by type, in fives of minutes."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database

from saga import rates
from saga.rates import BUCKETS, FAILED, RESTED, STARTED, Bucket
from tests.integration.test_lists import a_saga, plan_of, put

pytestmark = pytest.mark.integration

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def fresh(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        yield connection


def begin(connection: Connection) -> datetime:
    at: datetime = rates.params(connection)["begin"]
    return at


def settled(
    connection: Connection,
    status: str,
    *,
    started: datetime,
    took: timedelta,
    saga_type: str = "payment_refund",
) -> None:
    """A saga that was started then, and came to rest, or failed, after that long."""
    saga = a_saga(saga_type=saga_type, step=f"{saga_type}.ask", status=status, created_at=started)
    put(connection, saga)
    column = "updated_at" if status == "FAILED" else "completed_at"
    sql = f"UPDATE saga_state SET {column} = started_at + :took WHERE saga_id = :saga_id"
    connection.execute(text(sql), {"took": took, "saga_id": saga["saga_id"]})


def test_where_nothing_happened_lately_there_is_no_rate(fresh: Connection) -> None:
    put(fresh, a_saga())
    settled(fresh, "COMPLETED", started=begin(fresh) - 2 * HOUR, took=MINUTE)

    assert rates.rates(fresh) == {}


def test_each_saga_counts_where_it_began_and_where_it_ended(fresh: Connection) -> None:
    first = begin(fresh)
    for took in (1, 2, 3, 4, 100):
        settled(fresh, "COMPLETED", started=first, took=took * SECOND)
    settled(fresh, "COMPENSATED", started=first + 4 * MINUTE, took=2 * MINUTE)
    settled(fresh, "TIMEOUT", started=first - MINUTE, took=13 * MINUTE)
    settled(fresh, "FAILED", started=first - 3 * HOUR, took=3 * HOUR + 13 * MINUTE)
    settled(fresh, "TIMEOUT", started=first, took=MINUTE, saga_type="app_upload")

    found = rates.rates(fresh)

    assert list(found) == ["app_upload", "payment_refund"]
    refund = found["payment_refund"]
    assert len(refund.buckets) == BUCKETS
    assert refund.buckets[0] == Bucket(
        at=first, started=6, completed=5, median=3 * SECOND, p95=80.8 * SECOND
    )
    assert refund.buckets[1] == Bucket(
        at=first + 5 * MINUTE, back=1, median=2 * MINUTE, p95=2 * MINUTE
    )
    assert refund.buckets[2] == Bucket(
        at=first + 10 * MINUTE, back=1, failed=1, median=13 * MINUTE, p95=13 * MINUTE
    )
    assert refund.buckets[3:] == [
        Bucket(at=first + number * 5 * MINUTE) for number in range(3, BUCKETS)
    ]
    whole = refund.whole
    assert (whole.started, whole.completed, whole.back, whole.failed) == (6, 5, 2, 1)
    assert whole.median == 4 * SECOND
    assert refund.counted_from is None


def test_where_too_many_were_started_it_says_from_when_on_it_is_whole(
    fresh: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(fresh)
    for number in range(5):
        settled(fresh, "COMPLETED", started=first + number * MINUTE, took=SECOND)
    few = {name: getattr(rates, name).replace("10000", "3") for name in ("STARTED", "RESTED")}
    for name, sql in few.items():
        monkeypatch.setattr(rates, name, sql)

    [found] = rates.rates(fresh).values()

    assert found.whole.started == found.whole.completed == 3
    assert found.counted_from == first + 2 * MINUTE


@pytest.mark.parametrize(
    ("sql", "indexes"), [(STARTED, ["open", "at_rest"]), (RESTED, ["at_rest"]), (FAILED, ["open"])]
)
def test_each_question_has_its_index(fresh: Connection, sql: str, indexes: list[str]) -> None:
    put(fresh, *(a_saga(status="COMPLETED", step="payment_refund.book") for _ in range(300)))
    fresh.execute(text("ANALYZE saga_state"))
    fresh.execute(text("SET LOCAL enable_hashagg = off"))

    plan = plan_of(fresh, sql, rates.params(fresh))

    for index in indexes:
        assert f"using saga_state_{index} on" in plan
    assert "Seq Scan" not in plan
    assert "saga_state_by_age" not in plan
