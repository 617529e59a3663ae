"""A sandbox for each test, and its merchants: fixtures for pytest_plugins."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.crashes.sandbox import open_sandbox
from tests.integration.wires import Alipay, Merchant, Process, Provider, Wechat


@pytest.fixture
def provider(tmp_path: Path, keys: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Provider]:
    with open_sandbox(tmp_path, keys=keys) as served:
        serving = Provider(served.url, keys)
        yield serving
        serving.http.close()
    broken = [each for each in caplog.get_records("call") if each.levelno >= logging.WARNING]
    assert broken == [], "the provider broke down somewhere"


@pytest.fixture
def process(tmp_path: Path, keys: Path) -> Iterator[Process]:
    running = Process(tmp_path / "sandbox.sqlite3", keys)
    try:
        running.start()
        running.know("PAY1", "wechat")
        yield running
    finally:
        running.close()
    assert running.log.read_text() == "", "the provider broke down somewhere"


@pytest.fixture(params=[Wechat, Alipay], ids=["wechat", "alipay"])
def merchant(provider: Provider, request: pytest.FixtureRequest) -> Merchant:
    """Us, at each of the two; PAY1 was paid there."""
    we: Merchant = request.param(provider)
    provider.know("PAY1", we.name)
    return we


@pytest.fixture
def wechat(provider: Provider) -> Wechat:
    provider.know("PAY1", "wechat")
    return Wechat(provider)


@pytest.fixture
def alipay(provider: Provider) -> Alipay:
    provider.know("PAY1", "alipay")
    return Alipay(provider)
