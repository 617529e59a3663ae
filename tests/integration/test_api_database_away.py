"""The database goes away in the middle of a request: 503, nothing half-done, and then it works."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import Client, Response
from sqlalchemy import Engine as Database
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from api import create_app
from models import DeviceQuota
from saga import Engine, connect
from saga.access import Role, keys
from tests.integration.paid import paid
from tests.integration.served import assert_problem, calling, served
from tests.integration.test_api import Broker
from workflows import creation, deletion, refund

pytestmark = pytest.mark.integration

TABLES = ("saga_state", "saga_event", "saga_pause", "saga_signal", "devices", "payments")


@dataclass(frozen=True, kw_only=True)
class Front:
    """An API, its database, and another way to the same database that nobody cuts."""

    client: Client
    database: Database
    aside: Database

    def rows(self) -> dict[str, list[Any]]:
        with self.aside.connect() as connection:
            return {
                table: sorted(
                    connection.execute(text(f"SELECT {table}::text FROM {table}")).scalars()
                )
                for table in TABLES
            }

    def rest(self) -> None:
        """Wait for what comes after the last answer: its connection serves nobody before."""
        assert self.client.get("/healthz").status_code == 200

    def end(self, connection: Any) -> None:
        """What a restart of the server does to a connection."""
        pid = connection.connection.dbapi_connection.info.backend_pid
        with self.aside.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


@pytest.fixture(scope="module")
def front(new_database: Callable[[], str]) -> Iterator[Front]:
    url = new_database()
    database, aside = connect(url, pool_size=12), connect(url)
    with aside.begin() as connection:
        key = keys.create(connection, name="Ann", role=Role.ADMIN, by="Ann")
    with Session(aside) as session, session.begin():
        names = ("cpu", "memory_mb", "storage_mb")
        most = {f"{whose}_{name}": 10**8 for whose in ("device", "total") for name in names}
        session.add(DeviceQuota(user_id="user", devices=100, **most))
    engine = Engine(database=database, sagas=[refund, creation, deletion], publisher=Broker())
    with (
        served(create_app(engine, api_key=None)) as address,
        calling(address, key.secret) as client,
    ):
        yield Front(client=client, database=database, aside=aside)
    database.dispose()
    aside.dispose()


Request = Callable[[], Response]
Prepared = Callable[[Front], Request]


def refunded(front: Front) -> Request:
    path = f"/api/billing/payments/{paid(front.aside).id}/refund"
    body = {"amount": "1.00", "reason": "broken"}
    return lambda: front.client.post(path, json=body, headers={"Idempotency-Key": path[:250]})


def device(front: Front) -> Request:
    key = paid(front.aside).id
    body = {"userId": "user", "name": "Mine"}
    return lambda: front.client.post("/api/devices", json=body, headers={"Idempotency-Key": key})


def started(front: Front) -> str:
    saga_id: str = refunded(front)().json()["sagaId"]
    return saga_id


def paused(front: Front) -> Request:
    path = f"/api/sagas/{started(front)}/pause"
    return lambda: front.client.post(path, json={"version": 1, "reason": "look first"})


def cancelled(front: Front) -> Request:
    path = f"/api/sagas/{started(front)}/cancel"
    return lambda: front.client.post(path, json={"version": 1, "reason": "look first"})


REQUESTS: list[Prepared] = [refunded, device, paused, cancelled]


@contextmanager
def before_each_write(front: Front, number: int) -> Iterator[list[str]]:
    """The server ends the request's connection before its ``number``-th write."""
    met: list[str] = []

    def look(connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if not sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "WITH")):
            return
        met.append(sql)
        if len(met) == number:
            front.end(connection)

    event.listen(front.database, "before_cursor_execute", look)
    try:
        yield met
    finally:
        event.remove(front.database, "before_cursor_execute", look)


def assert_away(response: Response) -> dict[str, Any]:
    told = assert_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert "psycopg" not in response.text
    assert "Traceback" not in response.text
    return told


@pytest.mark.parametrize("prepared", REQUESTS)
def test_what_is_cut_off_before_any_of_its_writes_did_nothing(
    front: Front, prepared: Prepared
) -> None:
    request = prepared(front)
    front.rest()
    before = front.rows()
    for number in range(1, 30):
        with before_each_write(front, number) as met:
            answer = request()
        if len(met) < number:
            break
        assert_away(answer)
        assert front.rows() == before, met[-1]

    assert number > 1, "it writes nothing"
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("prepared", REQUESTS)
def test_what_is_cut_off_before_its_commit_did_nothing(front: Front, prepared: Prepared) -> None:
    request = prepared(front)
    front.rest()
    before = front.rows()
    # One of its own: SQLAlchemy does not listen twice to what it heard once.
    cut = lambda connection: front.end(connection)  # noqa: E731, PLW0108
    event.listen(front.database, "commit", cut, once=True)

    told = assert_away(request())

    assert "not known" in told["detail"]
    assert front.rows() == before
    assert request().status_code == 202


@pytest.mark.parametrize("prepared", REQUESTS)
def test_a_commit_that_nobody_heard_of_is_told_as_such_and_is_not_done_twice(
    front: Front, prepared: Prepared
) -> None:
    request = prepared(front)
    front.rest()
    before = front.rows()

    def lose(connection: Any) -> None:
        connection.connection.dbapi_connection.commit()
        front.end(connection)
        # PostgreSQL knows of the commit; we are told only that the connection is gone.
        connection.exec_driver_sql("SELECT 1")

    event.listen(front.database, "commit", lose, once=True)

    told = assert_away(request())

    assert "not known" in told["detail"]
    done = front.rows()
    assert done != before
    again = request()
    assert again.status_code in (202, 409), again.text
    assert front.rows() == done


def test_a_read_that_is_cut_off_may_be_asked_again(front: Front) -> None:
    path = f"/api/sagas/{started(front)}"
    front.rest()
    cut: list[str] = []

    def end(connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if "saga_key" not in sql and not cut:
            cut.append(sql)
            front.end(connection)

    event.listen(front.database, "before_cursor_execute", end)
    first, second = front.client.get(path), front.client.get(path)
    event.remove(front.database, "before_cursor_execute", end)

    assert assert_away(first)["detail"] == "the database is away; try again"
    assert second.status_code == 200


def test_a_key_is_looked_up_again_where_a_restart_cut_its_connection(front: Front) -> None:
    front.rest()
    event.listen(
        front.database,
        "before_cursor_execute",
        lambda connection, *_: front.end(connection),
        once=True,
    )

    assert front.client.get("/api/sagas").status_code == 200
