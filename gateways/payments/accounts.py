"""Whom we are to a payment provider: accounts read from settings, judged without calling anybody.

An account is read from what the settings say by variable name. A secret `NAME` may instead stand in
the file that `NAME_FILE` names, which is read once. No secret is ever part of a `Fault`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from gateways.payments.pem import PemFault, private_key, public_key, public_key_of

_APIV3_KEY_BYTES = 32
_HEX = frozenset("0123456789abcdefABCDEF")
_LARGEST_FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What is wrong with one variable, and what to do: one sentence."""

    variable: str
    detail: str
    advice: str

    def __str__(self) -> str:
        return f"{self.variable} {self.detail}: {self.advice}"


class AccountFaulty(Exception):
    """A provider's account is set up by half, or wrongly; `faults` has all that is wrong."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


@dataclass(frozen=True, kw_only=True)
class WechatPayAccount:
    """A merchant of WeChat Pay. Keys are PEM (PKCS 8 and SubjectPublicKeyInfo)."""

    URL = "https://api.mch.weixin.qq.com"
    TEXTS = ("WECHATPAY_MCHID", "WECHATPAY_CERT_SERIAL_NO", "WECHATPAY_PUBLIC_KEY_ID")
    SECRETS = ("WECHATPAY_PRIVATE_KEY", "WECHATPAY_APIV3_KEY", "WECHATPAY_PUBLIC_KEY")

    mchid: str
    cert_serial_no: str
    private_key: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    public_key: str = field(repr=False)
    public_key_id: str
    url: str = URL

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self | None:
        """Return the account, None if no variable of it is set. Raises AccountFaulty."""
        form = _Form(given, cls.TEXTS, cls.SECRETS, "WECHATPAY_URL")
        if form.is_blank:
            return None
        mchid = form.text("WECHATPAY_MCHID")
        if mchid and not (mchid.isascii() and mchid.isdigit()):
            form.fault("WECHATPAY_MCHID", "is not a number", "give the merchant number")
        serial = form.text("WECHATPAY_CERT_SERIAL_NO")
        if not _HEX.issuperset(serial):
            form.fault(
                "WECHATPAY_CERT_SERIAL_NO",
                "is not hexadecimal",
                "give the serial number of the merchant's certificate, as WeChat Pay shows it",
            )
        public_key_id = form.text("WECHATPAY_PUBLIC_KEY_ID")
        if public_key_id and not public_key_id.startswith("PUB_KEY_ID_"):
            form.fault(
                "WECHATPAY_PUBLIC_KEY_ID",
                "does not begin with PUB_KEY_ID_",
                "give the id that WeChat Pay shows beside its public key",
            )
        apiv3_key = form.secret("WECHATPAY_APIV3_KEY")
        if apiv3_key and len(apiv3_key.encode()) != _APIV3_KEY_BYTES:
            form.fault("WECHATPAY_APIV3_KEY", "is not 32 bytes long", "give the APIv3 key")
        own, theirs = form.keys("WECHATPAY_PRIVATE_KEY", "WECHATPAY_PUBLIC_KEY", "WeChat Pay's")
        url = form.url("WECHATPAY_URL", cls.URL).rstrip("/")
        form.end()
        return cls(
            mchid=mchid,
            cert_serial_no=serial,
            private_key=own,
            apiv3_key=apiv3_key,
            public_key=theirs,
            public_key_id=public_key_id,
            url=url,
        )


@dataclass(frozen=True, kw_only=True)
class AlipayAccount:
    """An application at Alipay. `url` is that of its gateway, with the path."""

    URL = "https://openapi.alipay.com/gateway.do"
    TEXTS = ("ALIPAY_APP_ID",)
    SECRETS = ("ALIPAY_PRIVATE_KEY", "ALIPAY_PUBLIC_KEY")

    app_id: str
    private_key: str = field(repr=False)
    public_key: str = field(repr=False)
    url: str = URL

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self | None:
        """Return the account, None if no variable of it is set. Raises AccountFaulty."""
        form = _Form(given, cls.TEXTS, cls.SECRETS, "ALIPAY_URL")
        if form.is_blank:
            return None
        app_id = form.text("ALIPAY_APP_ID")
        if app_id and not (app_id.isascii() and app_id.isdigit()):
            form.fault("ALIPAY_APP_ID", "is not a number", "give the application's APPID")
        own, theirs = form.keys("ALIPAY_PRIVATE_KEY", "ALIPAY_PUBLIC_KEY", "Alipay's")
        url = form.url("ALIPAY_URL", cls.URL)
        form.end()
        return cls(app_id=app_id, private_key=own, public_key=theirs, url=url)


class _Form:
    """What is given of one account; collects what is wrong with it."""

    def __init__(
        self, given: Mapping[str, str], texts: Iterable[str], secrets: Iterable[str], url: str
    ) -> None:
        names = [*texts, *secrets, *(f"{name}_FILE" for name in secrets), url]
        self._given = {name: given[name].strip() for name in names if given.get(name, "").strip()}
        self._faults: list[Fault] = []

    @property
    def is_blank(self) -> bool:
        return not self._given

    def fault(self, variable: str, detail: str, advice: str) -> None:
        self._faults.append(Fault(variable, detail, advice))

    def text(self, variable: str) -> str:
        if variable not in self._given:
            self.fault(variable, "is not set", f"set it, as {self._others(variable)}")
        return self._given.get(variable, "")

    def secret(self, variable: str) -> str:
        """Return the secret, without the white space around it; "" after a fault."""
        file_variable = f"{variable}_FILE"
        match self._given.get(variable), self._given.get(file_variable):
            case None, None:
                self.fault(
                    variable,
                    "is not set",
                    f"set it or {file_variable}, as {self._others(variable)}",
                )
            case str(), str():
                self.fault(variable, f"and {file_variable} are both set", "keep one of them")
            case str(text), None:
                return text
            case None, str(name):
                return self._contents(file_variable, Path(name))
        return ""

    def keys(self, private: str, public: str, whose: str) -> tuple[str, str]:
        """Return our private and the provider's public key, as PEM."""
        own, theirs = self._key(private, private_key), self._key(public, public_key)
        if own and theirs and public_key_of(own) == theirs:
            self.fault(public, "is our own public key", f"give {whose}, as its site shows it")
        return own, theirs

    def url(self, variable: str, default: str) -> str:
        text = self._given.get(variable, default)
        if not is_address(text):
            self.fault(
                variable, "is not an http or https address", f"correct it, such as {default}"
            )
        return text

    def end(self) -> None:
        """Raise AccountFaulty if anything was wrong."""
        if self._faults:
            raise AccountFaulty(self._faults)

    def _others(self, variable: str) -> str:
        """What else of the account is set: why this must be, too."""
        return f"{next(name for name in self._given if name != variable)} is"

    def _contents(self, variable: str, file: Path) -> str:
        # The file is not named: who confuses the two variables gives the secret as its name.
        try:
            with file.open("rb") as stream:
                text = stream.read(_LARGEST_FILE_BYTES + 1)
        except OSError as error:
            self.fault(
                variable,
                f"names a file that cannot be read ({error.strerror})",
                "correct it, or let this user read the file",
            )
            return ""
        contents = "" if len(text) > _LARGEST_FILE_BYTES else text.decode(errors="ignore").strip()
        if not contents:
            self.fault(variable, "names a file that holds no secret", "correct it")
        return contents

    def _key(self, variable: str, load: Callable[[str], str]) -> str:
        text = self.secret(variable)
        try:
            return load(text) if text else ""
        except PemFault as fault:
            is_file = f"{variable}_FILE" in self._given
            self.fault(f"{variable}_FILE" if is_file else variable, fault.detail, fault.advice)
            return ""


def is_address(url: str) -> bool:
    """Whether a text is an http or https address, without a query, a fragment or a user."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    more = parts.query or parts.fragment or parts.username
    return is_whole and parts.scheme in {"http", "https"} and not more


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine, as far as can be told without asking for it."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_open(url: str) -> bool:
    """Whether what is sent there can be read on the way: http, beyond this or a private network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_near = ip_address(host).is_private
    except ValueError:
        # A name without a dot is one of a private network, such as a container's.
        is_near = "." not in host
    return parts.scheme == "http" and not is_near
