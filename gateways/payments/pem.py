"""RSA keys as PEM text: what is wrong with one is said without showing any of it."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_LEAST_BITS = 2048


class PemFault(Exception):
    """A text that is not the key it should be; it has no part of the text."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(f"{detail}: {advice}")
        self.detail = detail
        self.advice = advice


def private_key(text: str) -> str:
    """Return a private RSA key as PKCS 8, however it was written. Raises PemFault."""
    _expect(text, "PRIVATE KEY", other="PUBLIC KEY", wanted="private", given="public")
    if "ENCRYPTED" in text:
        raise PemFault("is encrypted", "give the key without a password (openssl pkey -in …)")
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PemFault("is not a readable PEM key", "give the whole file as you got it") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PemFault("is not an RSA key", "give the RSA key of this account")
    _expect_long(key.key_size)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_key(text: str) -> str:
    """Return a public RSA key as SubjectPublicKeyInfo. Raises PemFault."""
    if "BEGIN CERTIFICATE" in text:
        raise PemFault("is a certificate", "give the public key, which begins BEGIN PUBLIC KEY")
    _expect(text, "PUBLIC KEY", other="PRIVATE KEY", wanted="public", given="private")
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PemFault("is not a readable PEM key", "give the whole file as you got it") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise PemFault("is not an RSA key", "give the RSA key of the provider")
    _expect_long(key.key_size)
    return _public_pem(key)


def public_key_of(private: str) -> str:
    """Return the public half of what `private_key` returned, as `public_key` would."""
    key = serialization.load_pem_private_key(private.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return _public_pem(key.public_key())


def _public_pem(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def _expect(text: str, kind: str, *, other: str, wanted: str, given: str) -> None:
    if f"{other}-----" in text:
        raise PemFault(f"is a {given} key", f"give the {wanted} one")
    if "-----BEGIN " not in text or f"{kind}-----" not in text:
        raise PemFault(
            "is not a PEM key", f"give one that begins -----BEGIN {kind}-----, best in a file"
        )


def _expect_long(bits: int) -> None:
    if bits < _LEAST_BITS:
        raise PemFault(f"has only {bits} bits", f"make one of at least {_LEAST_BITS}")
