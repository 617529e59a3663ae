"""Whom we are to a payment provider."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from gateways.account import Form
from gateways.payments.pem import PemFault, private_key, public_key, public_key_of

_APIV3_KEY_BYTES = 32
_HEX = frozenset("0123456789abcdefABCDEF")


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
        form = _KeyForm(given, cls.TEXTS, cls.SECRETS, "WECHATPAY_URL")
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
        form = _KeyForm(given, cls.TEXTS, cls.SECRETS, "ALIPAY_URL")
        if form.is_blank:
            return None
        app_id = form.text("ALIPAY_APP_ID")
        if app_id and not (app_id.isascii() and app_id.isdigit()):
            form.fault("ALIPAY_APP_ID", "is not a number", "give the application's APPID")
        own, theirs = form.keys("ALIPAY_PRIVATE_KEY", "ALIPAY_PUBLIC_KEY", "Alipay's")
        url = form.url("ALIPAY_URL", cls.URL)
        form.end()
        return cls(app_id=app_id, private_key=own, public_key=theirs, url=url)


class _KeyForm(Form):
    """What is given of an account that signs with a key and is answered with another's."""

    def keys(self, private: str, public: str, whose: str) -> tuple[str, str]:
        """Return our private and the provider's public key, as PEM."""
        own, theirs = self._key(private, private_key), self._key(public, public_key)
        if own and theirs and public_key_of(own) == theirs:
            self.fault(public, "is our own public key", f"give {whose}, as its site shows it")
        return own, theirs

    def _key(self, variable: str, load: Callable[[str], str]) -> str:
        text = self.secret(variable)
        try:
            return load(text) if text else ""
        except PemFault as fault:
            is_file = f"{variable}_FILE" in self.given
            self.fault(f"{variable}_FILE" if is_file else variable, fault.detail, fault.advice)
            return ""
