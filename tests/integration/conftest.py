from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine as Database

from saga import connect
from tests.integration.shop import Shop


@pytest.fixture(scope="session")
def shop_database(new_database: Callable[[], str]) -> Iterator[Database]:
    database = connect(new_database(), pool_size=12)
    yield database
    database.dispose()


@pytest.fixture
def shop(shop_database: Database) -> Shop:
    """A shop's saga over an empty database, worked off by hand."""
    return Shop(shop_database)
