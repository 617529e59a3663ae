"""The sandbox, and us as its merchant: fixtures for whoever names this among its pytest_plugins."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from gateways.payments.sandbox.keys import KeyRing, key_ring
from settings import settings
from tasks.doors import payment_gateway
from tests.integration.crashes.sandbox import Sandbox, open_sandbox
from tests.integration.payee import Payee


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's keys, made once: that takes longer than most tests."""
    folder = tmp_path_factory.mktemp("keys")
    key_ring(folder)
    return folder


@pytest.fixture(scope="session")
def ring(keys: Path) -> KeyRing:
    return key_ring(keys)


@pytest.fixture(scope="module")
def sandbox(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with open_sandbox(tmp_path_factory.mktemp("sandbox"), keys=keys) as sandbox:
        yield sandbox


@pytest.fixture
def as_merchant(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refund through the sandbox in this process."""
    for name, word in sandbox.environment.items():
        monkeypatch.setattr(settings, name.lower(), word or None)
    payment_gateway.cache_clear()
    yield
    payment_gateway.cache_clear()


@pytest.fixture
def payee(
    shop_database: Database,
    sandbox: Sandbox,
    ring: KeyRing,
    as_merchant: None,  # noqa: ARG001
) -> Payee:
    return Payee(shop_database, sandbox, ring)
