"""An engine that is far is known by its certificate, and knows us by ours."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateways.devices import HostAway
from gateways.devices.accounts import HostAccount
from gateways.devices.engine import DockerHost

pytestmark = pytest.mark.unit


class Authority:
    """Somebody who vouches for others."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        self._number = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def certificates(self, folder: Path, *, by: "Authority") -> Path:
        """Write a key and its certificate of ours, and which authority to believe."""
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / "ca.pem").write_bytes(_pem(by.itself()))
        (folder / "cert.pem").write_bytes(_pem(self._certificate("127.0.0.1", key, is_ca=False)))
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return folder

    def itself(self) -> x509.Certificate:
        return self._certificate("authority", self._key, is_ca=True)

    def _certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=is_ca,
            crl_sign=is_ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(address, critical=False)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(self._number, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class _Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ApiVersion": "1.41"}) if self.path == "/version" else "OK"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        pass  # who is not let in hangs up


@contextmanager
def engine(certs: Path) -> Iterator[str]:
    """Give the address of an engine that lets in whom its authority vouches for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certs / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certs / "cert.pem", certs / "key.pem")
    with _Server(("127.0.0.1", 0), _Engine) as server:
        # Each connection is greeted in its own thread: one that fails does not end the server.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


def host(url: str, certs: Path) -> DockerHost:
    account = HostAccount.read({"DEVICE_HOST_URL": url, "DEVICE_HOST_CERTS": str(certs)})
    assert account is not None
    return DockerHost(account, timedelta(seconds=10))


def test_both_sides_know_each_other(tmp_path: Path) -> None:
    authority = Authority()
    theirs = authority.certificates(tmp_path / "theirs", by=authority)
    ours = authority.certificates(tmp_path / "ours", by=authority)

    with engine(theirs) as url:
        host(url, ours).check()


def test_who_is_not_who_they_should_be_is_told_nothing(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    theirs = other.certificates(tmp_path / "theirs", by=authority)
    ours = authority.certificates(tmp_path / "ours", by=authority)

    with engine(theirs) as url, pytest.raises(HostAway, match="DEVICE_HOST_CERTS") as away:
        host(url, ours).check()

    assert not away.value.sent


def test_an_engine_that_does_not_know_us_is_away(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    theirs = authority.certificates(tmp_path / "theirs", by=authority)
    ours = other.certificates(tmp_path / "ours", by=authority)

    # Its word that it does not may be lost with the connection.
    with engine(theirs) as url, pytest.raises(HostAway):
        host(url, ours).check()
