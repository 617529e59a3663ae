"""An office whose refunds are reconciled, and its alarms: fixtures for pytest_plugins."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine as Database

from saga import connect
from tests.integration.office import Office


@pytest.fixture(scope="module")
def office_url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def office_database(office_url: str) -> Iterator[Database]:
    database = connect(office_url)
    yield database
    database.dispose()


@pytest.fixture
def office(office_database: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    office = Office(office_database)
    monkeypatch.setattr("tasks.payment_refund.payment_gateway", office.door)
    return office


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **said: Any) -> None:
            assert event == "alarm"
            heard.append(said)

    monkeypatch.setattr("workflows.reconciliation.checks.log", Log())
    return heard
