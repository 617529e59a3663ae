"""A fleet over an empty database and dock: fixtures for pytest_plugins."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine as Database

from saga import connect
from settings import settings
from tests.integration.dock import Dock, open_doors
from tests.integration.fleet import Fleet


@pytest.fixture(scope="module")
def fleet_database(new_database: Callable[[], str]) -> Iterator[Database]:
    database = connect(new_database(), pool_size=12)
    yield database
    database.dispose()


@pytest.fixture
def dock(fleet_database: Database, monkeypatch: pytest.MonkeyPatch) -> Dock:
    """The container host behind the doors of the steps, and their own database."""
    dock = Dock(settings.device_image)
    open_doors(fleet_database, dock, monkeypatch)
    return dock


@pytest.fixture
def fleet(fleet_database: Database, dock: Dock) -> Fleet:
    fleet = Fleet(fleet_database, dock)
    fleet.user()
    return fleet


@pytest.fixture
def few_ports(monkeypatch: pytest.MonkeyPatch) -> range:
    """All that there are."""
    few = range(5555, 5558)
    monkeypatch.setitem(vars(settings), "device_port_range", few)
    return few
