"""Which container host is set up, and what is wrong with how."""

from pathlib import Path

import pytest

from gateways.account import AccountFaulty
from gateways.devices.accounts import HostAccount

pytestmark = pytest.mark.unit

URL, CERTS = "DEVICE_HOST_URL", "DEVICE_HOST_CERTS"


@pytest.fixture
def certs(tmp_path: Path) -> str:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    return str(tmp_path)


def faults(given: dict[str, str]) -> str:
    with pytest.raises(AccountFaulty) as faulty:
        HostAccount.read(given)
    return str(faulty.value)


def test_nothing_set_is_no_host_and_no_fault() -> None:
    assert HostAccount.read({URL: " "}) is None


@pytest.mark.parametrize(
    "url",
    ["unix:///var/run/docker.sock", "http://127.0.0.1:2375", "tcp://10.0.0.5:2375"],
)
def test_a_host_that_is_near_needs_no_certificates(url: str) -> None:
    assert HostAccount.read({URL: url}) == HostAccount(url=url)


def test_a_host_that_is_far_is_spoken_to_by_tls(certs: str) -> None:
    url = "tcp://docker.example.com:2376"

    assert HostAccount.read({URL: url, CERTS: certs}) == HostAccount(url=url, certs=Path(certs))
    assert "set DEVICE_HOST_CERTS" in faults({URL: url})


@pytest.mark.parametrize(
    "url",
    [
        *("/var/run/docker.sock", "unix://docker.sock", "ssh://host", "tcp://host", "tcp://"),
        *("tcp://host:0", "http://me:secret@host:2375", "tcp://host:2375/path?query"),
    ],
)
def test_what_leads_to_no_engine_is_a_fault_that_shows_nothing_of_it(url: str) -> None:
    said = faults({URL: url})

    assert "is not where a Docker Engine listens" in said
    assert "secret" not in said


def test_all_that_is_wrong_is_told_at_once(certs: str) -> None:
    (Path(certs) / "key.pem").unlink()

    said = faults({URL: "unix:///var/run/docker.sock", CERTS: certs})

    assert "has no key.pem that can be read" in said
    assert "no TLS is spoken there" in said
    assert "DEVICE_HOST_URL is not set" in faults({CERTS: certs})
