"""The keys of both sides: the merchant's, which its gateways use, and the platforms' own."""

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from gateways.payments.sandbox.merchant import (
    ALIPAY,
    APIV3_KEY,
    MERCHANT_KEY,
    PUBLIC_KEY,
    WECHATPAY,
)

_PLATFORM_KEY = "{}-platform-key.pem"


@dataclass(frozen=True)
class Keys:
    """What one provider needs: its own key, and the merchant's public one."""

    platform: rsa.RSAPrivateKey
    merchant: rsa.RSAPublicKey

    def sign(self, text: str) -> str:
        """Return the RSA-SHA256 signature of a text as the provider gives it, in base64."""
        signature = self.platform.sign(text.encode(), padding.PKCS1v15(), SHA256())
        return base64.b64encode(signature).decode()

    def is_signed(self, text: bytes, signature: str) -> bool:
        """Tell whether the merchant signed that text."""
        try:
            decoded = base64.b64decode(signature, validate=True)
            self.merchant.verify(decoded, text, padding.PKCS1v15(), SHA256())
        except (ValueError, InvalidSignature):
            return False
        return True


@dataclass(frozen=True)
class KeyRing:
    wechatpay: Keys
    alipay: Keys
    apiv3_key: bytes


def key_ring(folder: Path) -> KeyRing:
    """Return the keys kept in `folder`; what is not there is made, readable for its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return KeyRing(
        wechatpay=_keys(folder, WECHATPAY),
        alipay=_keys(folder, ALIPAY),
        apiv3_key=_kept(folder / APIV3_KEY, secrets.token_hex(16)),
    )


def _keys(folder: Path, provider: str) -> Keys:
    merchant = _private_key(folder / MERCHANT_KEY.format(provider))
    platform = _private_key(folder / _PLATFORM_KEY.format(provider))
    public = platform.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _kept(folder / PUBLIC_KEY.format(provider), public.decode())
    return Keys(platform=platform, merchant=merchant.public_key())


def _private_key(file: Path) -> rsa.RSAPrivateKey:
    if file.exists():
        text = file.read_bytes()
    else:
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        text = _kept(file, made.decode())
    key = serialization.load_pem_private_key(text, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{file} is not an RSA key")
    return key


def _kept(file: Path, text: str) -> bytes:
    """Return what is in `file`, which is `text` if there was nothing; never a half of it."""
    if not file.exists():
        draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:  # noqa: PTH123
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Not a rename: of two that start at once, both must go on with the same keys.
            file.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_bytes()
