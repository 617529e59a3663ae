"""What Prometheus is told, as its own parser reads it."""

from collections.abc import Iterator

import pytest
from httpx import Client
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from saga import Engine, connect
from saga.api import create_app
from saga.followup import BrokerAway, Lane, Publication
from tests.integration.served import calling, served
from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

KEY = "the key of these tests"


class NoBroker:
    def publish(self, publication: Publication) -> None:  # noqa: ARG002
        raise BrokerAway("nobody there")

    def waiting(self, lane: Lane) -> int:  # noqa: ARG002
        raise BrokerAway("nobody there")


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    with served(create_app(shop.engine, api_key=KEY)) as address, calling(address) as client:
        yield client


def scraped(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each sample by its name and its labels' values."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_open_sagas_are_told_by_type_and_status(shop: Shop, client: Client) -> None:
    shop.start()
    shop.start()
    done = shop.start()
    with shop.database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO saga_pulse VALUES ('recovery', clock_timestamp()) "
                "ON CONFLICT (name) DO UPDATE SET at = excluded.at"
            )
        )
        sql = (
            "UPDATE saga_state SET wake_at = clock_timestamp() - interval '90 s' WHERE saga_id = :i"
        )
        connection.execute(text(sql), {"i": done})

    told = scraped(client)

    assert told["saga_open_sagas", ("shop", "RUNNING")] == 3
    assert told["saga_database_up", ()] == told["saga_broker_up", ()] == 1
    assert 90 <= told["saga_oldest_due_seconds", ()] < 120
    assert 0 <= told["saga_last_scan_seconds", ()] < 30
    assert {queue for name, queue in told if name == "saga_queue_messages"} == {
        (str(lane),) for lane in Lane
    }


def test_requests_are_counted_by_route_and_never_by_path(shop: Shop, client: Client) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    for number in range(3):
        client.get(f"/api/sagas/{number}", headers=headers)
    client.get(f"/api/sagas/{shop.start()}")
    client.get("/no/such/path/4711", headers=headers)
    client.request("FROBNICATE", "/api/sagas", headers=headers)

    told = scraped(client)

    name = "saga_http_requests_total"
    assert told[name, ("GET", "/api/sagas/{sagaId}", "404")] == 3
    assert told[name, ("GET", "/api/sagas/{sagaId}", "401")] == 1
    assert told[name, ("GET", "none", "404")] == 1
    assert told[name, ("other", "none", "405")] == 1
    assert told["saga_http_request_duration_seconds_count", ("GET", "/api/sagas/{sagaId}")] == 4
    assert "4711" not in client.get("/metrics").text


def test_metrics_are_told_while_the_servers_are_away() -> None:
    nowhere = connect("postgresql://127.0.0.1:1/none")
    engine = Engine(database=nowhere, sagas=[], publisher=NoBroker())
    with served(create_app(engine, api_key=KEY)) as address, calling(address) as client:
        told = scraped(client)

    assert told["saga_database_up", ()] == told["saga_broker_up", ()] == 0
    assert not any(name.startswith("saga_open") for name, _ in told)
    assert ("process_start_time_seconds", ()) in told
