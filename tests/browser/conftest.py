"""The console, and those who look at it with browsers of their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser
from sqlalchemy import Engine as Database

from saga import connect
from tests.browser.chromium import chromium
from tests.browser.counter import Counter
from tests.browser.visitor import Visitor

__all__ = ["chromium"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def counter_database(new_database: Callable[[], str]) -> Iterator[Database]:
    database = connect(new_database(), pool_size=12)
    yield database
    database.dispose()


@pytest.fixture
def counter(counter_database: Database) -> Iterator[Counter]:
    """A shop's sagas in an empty database, and the console over them."""
    with Counter.opened(counter_database) as counter:
        yield counter


@pytest.fixture
def visit(chromium: Browser, counter: Counter) -> Iterator[Callable[..., Visitor]]:
    """Open a browser of its own for a person: ``visit(counter.operator)`` is logged in.

    Whatever a page complains about fails the test in the end.
    """
    with ExitStack() as doors:
        visitors: list[Visitor] = []

        def enter(key: str | None = None, **options: object) -> Visitor:
            context = doors.enter_context(chromium.new_context(**options))
            visitor = Visitor(context, counter.address)
            visitors.append(visitor)
            if key is not None:
                visitor.log_in(key)
            return visitor

        yield enter
        for visitor in visitors:
            assert visitor.complaints == []
