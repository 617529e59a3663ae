"""Lists and counts find what looking at every saga finds, by pages, each through its index."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database

from saga import connect, counts, lists
from saga.counts import count_failed, count_sagas
from saga.filter import Filter
from saga.lists import list_sagas

pytestmark = pytest.mark.integration

START = datetime(2026, 7, 1, tzinfo=UTC)
TYPES = ("payment_refund", "app_upload", "device_creation")
STEPS = ("ask", "call", "book")
OPEN = ("RUNNING", "COMPENSATING", "FAILED")
AT_REST = ("COMPLETED", "COMPENSATED", "TIMEOUT")
ERRORS = {
    None: None,
    "Refused: not today": "Refused",
    "Refused: payment:5 is not there": "Refused",
    "TimeoutError:": "TimeoutError",
    "see what happened: 2 ways (last error: TimeoutError: read timed out)": "TimeoutError",
    "nothing in one word: at all": None,
}

_INSERT = text("""
INSERT INTO saga_state (
    saga_id, saga_type, definition_version, current_step, step_index, state, status, error_message,
    retry_count, max_retries, stop_reason, failed_from, paused, paused_at, wake_at, business_key,
    holds_key, timeout_at, started_at, completed_at, created_at, updated_at)
VALUES (
    :saga_id, :saga_type, 1, :step, 0, '{}', :status, :error_message, :retry_count, 3, :stop_reason,
    :failed_from, :paused, CASE WHEN :paused IS NOT NULL THEN now() END,
    CASE WHEN :status IN ('RUNNING', 'COMPENSATING') THEN now() + interval '1 day' END,
    :business_key, :status IN ('RUNNING', 'COMPENSATING', 'FAILED'), now(), :created_at,
    CASE WHEN :status IN ('COMPLETED', 'COMPENSATED', 'TIMEOUT') THEN now() END,
    :created_at, now())""")


def a_saga(**given: Any) -> dict[str, Any]:
    saga = {
        "saga_id": uuid4(),
        "saga_type": "payment_refund",
        "step": "payment_refund.ask",
        "status": "RUNNING",
        "error_message": None,
        "retry_count": 0,
        "paused": None,
        "business_key": None,
        "created_at": START,
    } | given
    status = saga["status"]
    reasons = {"COMPENSATING": "refused", "COMPENSATED": "refused", "TIMEOUT": "timeout"}
    saga["stop_reason"] = reasons.get(status)
    saga["failed_from"] = "RUNNING" if status == "FAILED" else None
    return saga


def put(connection: Connection, *sagas: dict[str, Any]) -> None:
    connection.execute(_INSERT, list(sagas))


def some_sagas(number: int) -> list[dict[str, Any]]:
    """Sagas of all kinds; several were started in the same moment, several have the same key."""
    draw = random.Random(5)
    made = []
    for n in range(number):
        status = draw.choice((*OPEN, *AT_REST, "COMPLETED", "COMPLETED"))
        saga_type = draw.choice((*TYPES[:1] * 4, *TYPES))
        at_work = status in {"RUNNING", "COMPENSATING"}
        made.append(
            a_saga(
                saga_type=saga_type,
                step=f"{saga_type}.{draw.choice(STEPS)}",
                status=status,
                error_message=None if status == "COMPLETED" else draw.choice(list(ERRORS)),
                retry_count=draw.choice((0, 0, 1, 2, 3)),
                paused=draw.choice((None, None, "saga", "type")) if at_work else None,
                business_key=f"payment:{n if status in OPEN else n % 7}",
                created_at=START + timedelta(seconds=n // 3),
            )
        )
    draw.shuffle(made)
    return made


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], str]) -> Iterator[Database]:
    """120 sagas of all kinds; nothing is changed for good."""
    database = connect(new_database())
    with database.begin() as connection:
        put(connection, *some_sagas(120))
    yield database
    database.dispose()


@pytest.fixture
def connection(filled: Database) -> Iterator[Connection]:
    with filled.connect() as connection:
        yield connection


@pytest.fixture
def fresh(database: Database) -> Iterator[Connection]:
    """A database without sagas."""
    with database.connect() as connection:
        yield connection


def everything(connection: Connection) -> list[dict[str, Any]]:
    sql = "SELECT * FROM saga_state ORDER BY created_at DESC, id DESC"
    return [dict(row) for row in connection.execute(text(sql)).mappings()]


def is_meant(saga: dict[str, Any], wanted: Filter) -> bool:
    """What a filter means, said once more and in Python."""
    is_open, at_work = saga["status"] in OPEN, saga["status"] in {"RUNNING", "COMPENSATING"}
    texts = (str(saga["saga_id"]), saga["business_key"], saga["error_message"] or "")
    return all(
        (
            wanted.type in {None, saga["saga_type"]},
            not wanted.statuses or saga["status"] in wanted.statuses,
            wanted.step in {None, saga["current_step"]},
            wanted.key in {None, saga["business_key"]},
            wanted.error in {None, ERRORS[saga["error_message"]]},
            wanted.retries is None or (at_work and saga["retry_count"] >= wanted.retries),
            not wanted.paused or saga["paused"] is not None,
            wanted.q is None or (is_open and any(wanted.q.lower() in one.lower() for one in texts)),
            wanted.since is None or saga["created_at"] >= wanted.since,
            wanted.until is None or saga["created_at"] < wanted.until,
        )
    )


def pages(
    connection: Connection, wanted: Filter, meanwhile: Callable[[], None] = lambda: None
) -> list[list[str]]:
    found = []
    cursor: str | None = None
    while True:
        page = list_sagas(connection, replace(wanted, cursor=cursor))
        found.append([item["sagaId"] for item in page["items"]])
        cursor = page["nextCursor"]
        if cursor is None:
            return found
        assert len(found) < 200, "the pages come to an end"
        meanwhile()


def flat(found: list[list[str]]) -> list[str]:
    return [saga_id for page in found for saga_id in page]


SINGLE: list[dict[str, Any]] = [
    {"type": "payment_refund"},
    {"type": "device_creation"},
    {"type": "nothing"},
    {"status": "COMPLETED"},
    {"status": "FAILED"},
    {"status": "RUNNING,FAILED,TIMEOUT"},
    {"status": "RUNNING,COMPENSATING,FAILED"},
    {"step": "payment_refund.call"},
    {"step": "nothing"},
    {"key": "payment:3"},
    {"key": "nothing"},
    {"error": "Refused"},
    {"error": "TimeoutError"},
    {"error": "refused"},
    {"retries": 1},
    {"retries": 3},
    {"retries": 2**31 - 1},
    {"paused": True},
    {"q": "not TODAY"},
    {"q": "payment:1"},
    {"q": "%"},
    {"q": "_"},
    {"q": "\\"},
    {"since": START + timedelta(seconds=20)},
    {"until": START + timedelta(seconds=20)},
]
COMBINED = [{}, *SINGLE, *({**one, **other} for one, other in combinations(SINGLE, 2))]
COMBINED += [
    {**one, "type": "payment_refund", "status": "RUNNING", "step": "payment_refund.ask"}
    for one in SINGLE
]


@pytest.mark.parametrize(("limit", "looked_at"), [(11, lists.LOOKED_AT), (2, 5)])
def test_all_that_is_asked_is_found_once_and_in_order(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, limit: int, looked_at: int
) -> None:
    monkeypatch.setattr(lists, "LOOKED_AT", looked_at)
    sagas = everything(connection)
    found_anything = 0

    for given in COMBINED:
        # "payment:1" is a key of its own, too; then those that have it are meant.
        named = [saga for saga in sagas if given.get("q") == saga["business_key"]]
        wanted = Filter(**given, limit=limit)
        if named:
            meant = [s for s in named if is_meant(s, replace(wanted, q=None))]
        else:
            meant = [saga for saga in sagas if is_meant(saga, wanted)]

        found = pages(connection, wanted)

        assert flat(found) == [str(saga["saga_id"]) for saga in meant], given
        assert all(len(page) <= limit for page in found)
        found_anything += bool(meant)
    assert found_anything > 100, "most filters find something"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"type": "payment_refund"},
        {"status": "RUNNING"},
        {"status": "RUNNING,COMPLETED"},
        {"step": "payment_refund.ask"},
        {"error": "Refused"},
        {"retries": 1},
        {"paused": True},
        {"q": "today"},
    ],
    ids=str,
)
def test_pages_have_no_gaps_and_no_doubles_while_sagas_are_started(
    connection: Connection, given: dict[str, Any]
) -> None:
    whole = flat(pages(connection, Filter(**given)))

    def start_another() -> None:
        error = "Refused: not today"
        paused, later = "saga", START + timedelta(days=1)
        put(
            connection,
            a_saga(error_message=error, retry_count=1, paused=paused, created_at=later),
            a_saga(status="COMPLETED", created_at=later),
        )

    found = pages(connection, Filter(**given, limit=3), start_another)

    assert len(found) > 2
    assert flat(found) == whole


def test_a_page_that_looked_at_enough_says_where_to_go_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LOOKED_AT", 5)

    first, *others = pages(connection, Filter(q="nowhere in any saga", limit=1))

    assert first == []
    assert len(others) > 2


def test_a_saga_at_rest_is_found_by_its_whole_id_or_key_alone(fresh: Connection) -> None:
    rests = a_saga(status="COMPENSATED", error_message="Refused: no", business_key="payment:1")
    again = a_saga(status="COMPLETED", business_key="payment:1", created_at=START)
    works = a_saga(business_key="payment:1", error_message="Refused: no")
    like_it = a_saga(business_key="payment:12", error_message=str(rests["saga_id"]))
    put(fresh, rests, again, works, like_it)

    def found(q: str) -> list[UUID]:
        return [UUID(item["sagaId"]) for item in list_sagas(fresh, Filter(q=q))["items"]]

    assert found(str(rests["saga_id"])) == [rests["saga_id"]]
    assert found(str(rests["saga_id"]).upper()) == [rests["saga_id"]]
    assert found("payment:1") == [works["saga_id"], again["saga_id"], rests["saga_id"]]
    assert found("payment:") == [like_it["saga_id"], works["saga_id"]]
    assert found("refused: no") == [works["saga_id"]]
    assert found(str(rests["saga_id"])[:35]) == [like_it["saga_id"]]


def test_a_saga_whose_key_is_its_id_is_found_once(fresh: Connection) -> None:
    saga_id = uuid4()
    put(fresh, a_saga(saga_id=saga_id, business_key=str(saga_id)))

    assert flat(pages(fresh, Filter(q=str(saga_id)))) == [str(saga_id)]


def test_age_is_counted_from_the_start(fresh: Connection) -> None:
    now = fresh.execute(text("SELECT clock_timestamp()")).scalar_one()
    old, young = (a_saga(created_at=now - timedelta(minutes=age)) for age in (16, 14))
    put(fresh, old, young)

    def found(age: timedelta) -> list[str]:
        return flat(pages(fresh, Filter(older_than=age, status="RUNNING")))

    assert found(timedelta(minutes=15)) == [str(old["saga_id"])]
    assert len(found(timedelta(0))) == 2
    assert found(timedelta(days=36_500)) == []


def test_an_error_of_one_endless_word_can_be_written_and_has_no_class(fresh: Connection) -> None:
    word = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    put(fresh, a_saga(error_message=f"{word}: (last error: {word}: x)"))
    put(fresh, a_saga(error_message="É: x"))

    assert pages(fresh, Filter(error=word[:100])) == [[]]
    assert len(flat(pages(fresh, Filter(error="É")))) == 1


PLANS = {
    "": "saga_state_by_age",
    "since": "saga_state_by_age",
    "older_than": "saga_state_by_age",
    "type": "saga_state_at_rest",
    "status": "saga_state_open",
    "step": "saga_state_at_rest",
    "type status": "saga_state_open",
    "type status step": "saga_state_open",
    "key": "saga_state_by_key",
    "error": "saga_state_by_error",
    "error status": "saga_state_by_error",
    "retries": "saga_state_retrying",
    "retries type status": "saga_state_retrying",
    "paused": "saga_state_paused",
    "q": "saga_state_open",
    "q type": "saga_state_open",
}
VALUES: dict[str, Any] = {
    "type": "payment_refund",
    "status": "FAILED",
    "step": "payment_refund.ask",
    "key": "payment:3",
    "error": "Refused",
    "retries": 2,
    "paused": True,
    "q": "today",
    "since": START,
    "older_than": timedelta(hours=1),
}


def plan_of(connection: Connection, sql: str, params: dict[str, Any]) -> str:
    # So few rows would be read whole, and sorted.
    for way in ("seqscan", "bitmapscan", "sort"):
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN {sql}", params).scalars())


@pytest.mark.parametrize("names", PLANS)
def test_each_filter_has_its_index(connection: Connection, names: str) -> None:
    first = Filter(**{name: VALUES[name] for name in names.split()})
    later = replace(first, cursor=lists.cursor_after(START, 7))

    for wanted in (first, later):
        plan = plan_of(connection, lists.statement(wanted), lists.params(wanted))

        assert f"using {PLANS[names]} on" in plan
        assert "Seq Scan" not in plan


def test_a_name_is_looked_up(connection: Connection) -> None:
    wanted = Filter(q=str(uuid4()))

    plan = plan_of(connection, lists.statement(wanted, named=True), lists.params(wanted))

    for index in ("saga_id_key", "business_key_of_open", "by_key"):
        assert f"using saga_state_{index} on" in plan
    assert "Seq Scan" not in plan


def test_no_statistics_make_a_list_look_at_all_sagas_in_search_of_a_rare_one(
    fresh: Connection,
) -> None:
    """With all sagas alike, PostgreSQL takes it that any saga will do."""
    put(fresh, *(a_saga(status="COMPLETED", step="payment_refund.book") for _ in range(3_000)))
    fresh.execute(text("ANALYZE saga_state"))
    wanted = Filter(type="payment_refund", status="COMPLETED", step="payment_refund.book")

    plan = plan_of(fresh, lists.statement(wanted), lists.params(wanted))

    assert "using saga_state_at_rest on" in plan
    assert "saga_state_by_age" not in plan


def test_open_sagas_are_counted_all_and_those_at_rest_of_the_last_hour(fresh: Connection) -> None:
    now = fresh.execute(text("SELECT clock_timestamp()")).scalar_one()
    lately, long_ago = now - timedelta(minutes=59), now - timedelta(minutes=61)
    for created_at in (lately, long_ago):
        for status in (*OPEN, *AT_REST):
            put(fresh, a_saga(status=status, created_at=created_at))
    put(fresh, a_saga(saga_type="app_upload", status="TIMEOUT", created_at=long_ago))
    put(fresh, a_saga(saga_type="device_creation", status="FAILED", created_at=long_ago))
    put(fresh, a_saga(step="payment_refund.book", created_at=long_ago))

    counted = count_sagas(fresh)

    assert counted["counts"] == {
        "device_creation": {"FAILED": 1},
        "payment_refund": {
            "RUNNING": 3,
            "COMPENSATING": 2,
            "FAILED": 2,
            "COMPLETED": 1,
            "COMPENSATED": 1,
            "TIMEOUT": 1,
        },
    }
    since = datetime.fromisoformat(counted["since"])
    assert timedelta(hours=1) <= datetime.now(UTC) - since < timedelta(hours=1, minutes=5)
    assert count_failed(fresh) == 3


def test_many_sagas_at_rest_are_counted_to_a_bound(fresh: Connection) -> None:
    now = fresh.execute(text("SELECT clock_timestamp()")).scalar_one()
    put(fresh, a_saga(status="COMPLETED", created_at=now))
    many = text(
        "INSERT INTO saga_state (saga_id, saga_type, definition_version, current_step, step_index, "
        "state, status, max_retries, holds_key, timeout_at, started_at, completed_at, created_at, "
        "updated_at) SELECT gen_random_uuid(), saga_type, 1, 'step ' || n % 3, 0, '{}', status, 3, "
        "false, now(), now(), now(), now(), now() "
        "FROM saga_state, generate_series(1, :rows) AS n"
    )
    fresh.execute(many, {"rows": counts.MOST_COUNTED})

    assert count_sagas(fresh)["counts"] == {"payment_refund": {"COMPLETED": counts.MOST_COUNTED}}


def test_nothing_is_counted_where_nothing_is(fresh: Connection) -> None:
    assert count_sagas(fresh)["counts"] == {}


def test_counts_are_read_from_the_indexes(connection: Connection) -> None:
    since = {"since": START}

    plan = plan_of(connection, counts._COUNTS, since)

    assert "using saga_state_open on" in plan
    assert "using saga_state_at_rest on" in plan
    assert "Seq Scan" not in plan
