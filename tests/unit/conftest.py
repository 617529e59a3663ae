"""The keys of both sides of a provider's wire, made once, and the wire."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.unit.wire import Wire, wire


@pytest.fixture(scope="session")
def ours() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def theirs() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    with pytest.MonkeyPatch.context() as environment, wire() as made:
        # What is on this machine is not behind a proxy, whatever the environment says.
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            environment.setenv(variable, "http://127.0.0.1:9")
        for variable in ("no_proxy", "NO_PROXY"):
            environment.delenv(variable, raising=False)
        yield made


@pytest.fixture
def provider(server: Wire) -> Wire:
    """The provider, which knows no answer yet."""
    server.answers, server.asked = [], []
    return server
