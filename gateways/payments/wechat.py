"""WeChat Pay, API v3, through `wechatpayv3`.

https://pay.weixin.qq.com/doc/v3/merchant/4012791862 (refund), …4012791863 (query), …4012791865
(callback).
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from wechatpayv3 import WeChatPay, WeChatPayType

from gateways.account import is_loopback
from gateways.payments.accounts import WechatPayAccount
from gateways.payments.codes import WECHATPAY, Meaning, error
from gateways.payments.gateway import (
    CallbackRejected,
    NumberReused,
    RefundAnswer,
    RefundNotice,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)

_CONNECT_WITHIN = timedelta(seconds=5)
_FRESH = timedelta(minutes=5)
_REASON_BYTES = 80
_SIGNED_BY = ("signature", "timestamp", "nonce", "serial", "signature-type")


class WechatPayGateway:
    """Refunds through WeChat Pay for one merchant.

    `timeout` bounds each wait for the network (connecting takes at most 5 s of it), not the whole
    call. Safe to create before a fork and to share between threads: each call has a connection of
    its own.
    """

    def __init__(self, account: WechatPayAccount, timeout: timedelta) -> None:
        self._account = account
        seconds = timeout.total_seconds()
        host = urlsplit(account.url).hostname
        self._client = WeChatPay(
            wechatpay_type=WeChatPayType.NATIVE,  # refunds are the same for all types
            mchid=account.mchid,
            private_key=account.private_key,
            cert_serial_no=account.cert_serial_no,
            appid="",  # refunds name none
            apiv3_key=account.apiv3_key,
            # Without both of these the library asks the network for certificates here.
            public_key=account.public_key,
            public_key_id=account.public_key_id,
            # What is on this machine is not behind the proxy that the environment names.
            proxy={"no_proxy": host} if is_loopback(account.url) else None,
            timeout=(min(seconds, _CONNECT_WITHIN.total_seconds()), seconds),
        )
        # The library knows only the real address and offers no other way to give one.
        self._client._core._gate_way = account.url  # noqa: SLF001

    def refund(self, request: RefundRequest) -> RefundAnswer:
        if request.currency != "CNY":
            raise RefundRefused(
                "CURRENCY_NOT_SUPPORTED", f"WeChat Pay refunds CNY, not {request.currency}"
            )
        status, text = _called(
            self._client.refund,
            out_refund_no=request.refund_no,
            out_trade_no=request.payment_no,
            amount={
                "refund": request.amount_minor,
                "total": request.payment_minor,
                "currency": request.currency,
            },
            reason=_cut(request.reason),
            notify_url=request.notify_url,
        )
        answer = _object(text)
        if status == _OK:
            return _refund(answer, request.refund_no, request.payment_no).answering(request)
        code, message = str(answer.get("code")), str(answer.get("message", ""))
        known = WECHATPAY.get((status, code))
        if known is None:
            raise _unexpected(status, text)
        if known.meaning is Meaning.LOOK:
            found = self.find_refund(request.refund_no, payment_no=request.payment_no)
            if found is not None:
                return found.answering(request)
        raise error(code, message, known)

    def find_refund(self, refund_no: str, *, payment_no: str) -> RefundAnswer | None:
        # What is signed must be what is sent, so it is quoted here, not by the library.
        status, text = _called(self._client.query_refund, quote(refund_no, safe="*@"))
        answer = _object(text)
        match status, answer.get("code"):
            case 200, _:
                return _refund(answer, refund_no, payment_no)
            # Only this: a proxy and a wrong address answer 404 as well.
            case 404, "RESOURCE_NOT_EXISTS":
                return None
            case _:
                raise _unexpected(status, text)

    def verify_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> RefundNotice | None:
        said = {name: headers.get(f"wechatpay-{name}", "") for name in _SIGNED_BY}
        if missing := [name for name, word in said.items() if not word]:
            raise CallbackRejected(f"the header Wechatpay-{missing[0].title()} is missing")
        _expect_fresh(said["timestamp"], now)
        # With any other serial number the library would ask the network for certificates.
        if said["serial"] != self._account.public_key_id:
            raise CallbackRejected("it is signed with a key that is not set up here")
        try:
            event = self._client.callback(
                {f"wechatpay-{name}": word for name, word in said.items()}, body
            )
        except Exception as odd:
            # The library raises whatever it stumbles over.
            raise CallbackRejected(f"it cannot be read ({type(odd).__name__})") from odd
        if not isinstance(event, dict):
            raise CallbackRejected("its signature is wrong, or it is sealed with another key")
        if not str(event.get("event_type")).startswith("REFUND."):
            return None
        return self._notice(event)

    def _notice(self, event: Mapping[str, Any]) -> RefundNotice:
        try:
            resource = event["resource"]
            if resource["mchid"] != self._account.mchid:
                raise CallbackRejected("it is for another merchant")
            return RefundNotice(
                event_id=_text(event["id"]),
                refund_no=_text(resource["out_refund_no"]),
                payment_no=_text(resource["out_trade_no"]),
                status=RefundStatus(resource["refund_status"]),
                amount_minor=_fen(resource["amount"]["refund"]),
            )
        except (LookupError, TypeError, ValueError) as odd:
            raise CallbackRejected(f"its refund is not complete: {odd}") from odd


_OK = 200


def _called(call: Callable[..., tuple[int, str | bytes]], *args: Any, **kwargs: Any) -> Any:
    """Call the library. Raises UnexpectedAnswer for an answer that WeChat Pay did not sign."""
    try:
        return call(*args, **kwargs)
    except Exception as odd:
        # Just so it says that; all else, of the network and of time limits, has a type of its own.
        if type(odd) is Exception:
            raise UnexpectedAnswer(f"the answer is not WeChat Pay's: {odd}") from odd
        raise


def _expect_fresh(timestamp: str, now: datetime) -> None:
    # Not int() alone: it takes spaces, signs, underscores and the digits of other scripts.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):  # noqa: PLR2004
        raise CallbackRejected("its timestamp is not a number of seconds")
    if abs(now.timestamp() - int(timestamp)) > _FRESH.total_seconds():
        raise CallbackRejected("it is older than five minutes, or of the future")


def _cut(reason: str) -> str:
    """Return as many whole characters as fit: WeChat Pay counts the bytes of UTF-8."""
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _refund(answer: Mapping[str, Any], refund_no: str, payment_no: str) -> RefundAnswer:
    """Read a refund. Raises UnexpectedAnswer, and NumberReused for another payment's."""
    try:
        amount = answer["amount"]
        found = RefundAnswer(
            refund_no=_text(answer["out_refund_no"]),
            status=RefundStatus(answer["status"]),
            amount_minor=_fen(amount["refund"]),
            raw=dict(answer),
        )
        currency, of_payment = amount.get("currency", "CNY"), _text(answer["out_trade_no"])
    except (LookupError, TypeError, ValueError, AttributeError) as odd:
        # Never the answer itself, which names the payer's account: people and logs see this.
        raise UnexpectedAnswer(
            f"WeChat Pay's answer is not a refund: {type(odd).__name__} {odd}"
        ) from odd
    if (found.refund_no, currency) != (refund_no, "CNY"):
        raise UnexpectedAnswer(
            f"asked for refund {refund_no}, WeChat Pay answered for {found.refund_no} in {currency}"
        )
    if of_payment != payment_no:
        raise NumberReused(refund_no, found.amount_minor)
    return found


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


def _fen(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{value!r} is not an amount in fen")
    return value


def _unexpected(status: int, text: str | bytes) -> UnexpectedAnswer:
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return UnexpectedAnswer(f"WeChat Pay answered {status}: {said[:200]}")
