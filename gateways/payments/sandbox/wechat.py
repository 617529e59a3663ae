"""WeChat Pay's wire: API v3, refunds.

As its documents say: https://pay.weixin.qq.com/doc/v3/merchant/4012791862 (refund), …4012791863
(query), …4012365342 (the merchant's signature), …4013053249 (the platform's).
"""

import json
import re
import secrets
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError

from gateways.connection import HangUp
from gateways.payments.sandbox.counter import Counter
from gateways.payments.sandbox.entries import (
    TOLD,
    WECHAT,
    Refund,
    RefundOrder,
    Rejection,
    Trouble,
)
from gateways.payments.sandbox.keys import Keys
from gateways.payments.sandbox.merchant import CERT_SERIAL_NO, MCHID, PUBLIC_KEY_ID

ALGORITHM = "WECHATPAY2-SHA256-RSA2048"
RECEIVED_BY = "the payer's balance"
_FRESH_SECONDS = 300
_CHINA = timezone(timedelta(hours=8))
_REASON_BYTES = 80

_MISMATCH = (400, "INVALID_REQUEST", "the amounts are not those of the earlier request")
_REJECTIONS = {
    Rejection.UNKNOWN_PAYMENT: (404, "RESOURCE_NOT_EXISTS", "there is no such order"),
    Rejection.ANOTHER_REFUND: _MISMATCH,
    Rejection.OTHER_TOTAL: _MISMATCH,
    Rejection.TOO_MUCH: (400, "INVALID_REQUEST", "more than what is left of the order"),
    # Not INVALID_REQUEST: that may speak of an earlier refund, this is plainly a refusal.
    Rejection.REFUSED: (403, "USER_ACCOUNT_ABNORMAL", f"the refund failed: {TOLD}"),
    Rejection.NOT_ENOUGH: (
        403,
        "NOT_ENOUGH",
        "the account's balance is too low; top it up and ask again",
    ),
    Rejection.BUSY: (429, "FREQUENCY_LIMITED", "too many requests; try again later"),
}

Number = Annotated[str, Field(pattern=r"\A[0-9A-Za-z_|*@-]{1,64}\z")]
Fen = Annotated[int, Field(strict=True, gt=0)]


class _Amount(BaseModel):
    model_config = ConfigDict(frozen=True)

    refund: Fen
    total: Fen
    currency: str = Field(pattern=r"\ACNY\z")


class _Order(BaseModel):
    """A refund as WeChat Pay is asked for it; what it knows more of is not looked at."""

    model_config = ConfigDict(frozen=True)

    out_refund_no: Number
    out_trade_no: Number
    reason: str = ""
    notify_url: Annotated[AnyHttpUrl, Field(max_length=256)] | None = None
    amount: _Amount

    def order(self) -> RefundOrder:
        return RefundOrder(
            method=WECHAT,
            refund_no=self.out_refund_no,
            payment_no=self.out_trade_no,
            payment_minor=self.amount.total,
            amount_minor=self.amount.refund,
            reason=self.reason,
            notify_url=None if self.notify_url is None else str(self.notify_url),
        )


def wechat_routes(counter: Counter, keys: Keys) -> APIRouter:
    routes = APIRouter(prefix="/v3/refund/domestic/refunds")

    @routes.post("")
    async def refund(request: Request) -> Response:
        body = await request.body()
        if not _is_from_merchant(request, body, keys):
            return _signed(keys, *_SIGN_ERROR)
        try:
            wire = _Order.model_validate_json(body)
        except ValidationError as error:
            return _signed(keys, 400, _error("PARAM_ERROR", _said(error)))
        # WeChat Pay counts bytes, not characters.
        if len(wire.reason.encode()) > _REASON_BYTES:
            return _signed(keys, 400, _error("PARAM_ERROR", "reason: at most 80 bytes"))
        if wire.amount.refund > wire.amount.total:
            return _signed(keys, 400, _error("PARAM_ERROR", "amount.refund: more than the total"))
        return _answer(keys, await counter.refund(wire.order()))

    @routes.get("/{refund_no}")
    async def find_refund(request: Request, refund_no: str) -> Response:
        if not _is_from_merchant(request, b"", keys):
            return _signed(keys, *_SIGN_ERROR)
        return _answer(keys, await counter.find(WECHAT, refund_no))

    return routes


def platform_headers(keys: Keys, body: str) -> dict[str, str]:
    """Return the headers that prove a body to be WeChat Pay's: fresh ones each time."""
    timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Request-ID": secrets.token_hex(16),
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": PUBLIC_KEY_ID,
        "Wechatpay-Signature-Type": ALGORITHM,
        "Wechatpay-Signature": keys.sign(f"{timestamp}\n{nonce}\n{body}\n"),
    }


def refund_json(refund: Refund) -> dict[str, Any]:
    """Return a refund as WeChat Pay shows it."""
    shown = {
        "refund_id": refund_id(refund),
        "out_refund_no": refund.refund_no,
        "transaction_id": transaction_id(refund),
        "out_trade_no": refund.payment_no,
        "channel": "ORIGINAL",
        "user_received_account": RECEIVED_BY,
        "create_time": at(refund.created_at),
        "status": refund.status.value,
        "funds_account": "AVAILABLE",
        "amount": {
            "total": refund.payment_minor,
            "refund": refund.amount_minor,
            "payer_total": refund.payment_minor,
            "payer_refund": refund.amount_minor,
            "settlement_refund": refund.amount_minor,
            "settlement_total": refund.payment_minor,
            "discount_refund": 0,
            "currency": "CNY",
        },
    }
    return shown if refund.done_at is None else shown | {"success_time": at(refund.done_at)}


def refund_id(refund: Refund) -> str:
    return f"503{refund.number:025d}"


def transaction_id(refund: Refund) -> str:
    """WeChat Pay's own number of the payment."""
    return f"42{int.from_bytes(refund.payment_no.encode()) % 10**26:026d}"


def at(seconds: float) -> str:
    """Return a time since 1970 as WeChat Pay writes it: ``2026-11-22T21:30:00+08:00``."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(_CHINA).isoformat(timespec="seconds")


def _is_from_merchant(request: Request, body: bytes, keys: Keys) -> bool:
    """Tell whether our merchant signed this request within the last five minutes."""
    scheme, _, said = request.headers.get("Authorization", "").partition(" ")
    words = dict(re.findall(r'(\w+)="([^"]*)"', said))
    known = (ALGORITHM, MCHID, CERT_SERIAL_NO)
    if (scheme, words.get("mchid"), words.get("serial_no")) != known:
        return False
    timestamp, nonce = words.get("timestamp", ""), words.get("nonce_str", "")
    if not re.fullmatch("[0-9]{1,12}", timestamp) or not nonce:
        return False
    if abs(time.time() - int(timestamp)) > _FRESH_SECONDS:
        return False
    # As it came, not as it was decoded: that is what the merchant signed.
    path = request.scope["raw_path"].decode()
    if query := request.scope["query_string"].decode():
        path = f"{path}?{query}"
    text = f"{request.method}\n{path}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
    return keys.is_signed(text, words.get("signature", ""))


def _answer(keys: Keys, answer: Refund | Rejection | Trouble | None) -> Response:
    match answer:
        case Refund():
            return _signed(keys, 200, refund_json(answer))
        case None:
            return _signed(keys, 404, _error("RESOURCE_NOT_EXISTS", "there is no such refund"))
        case Trouble.ERROR:
            return _signed(
                keys,
                500,
                _error("SYSTEM_ERROR", "something broke; try again with the same parameters"),
            )
        case Trouble.CUT:
            return HangUp()
        case Trouble.NONSENSE:
            return Response("<html>OK</html>", media_type="text/html")
        case Rejection():
            status, code, message = _REJECTIONS[answer]
            return _signed(keys, status, _error(code, message))


def _signed(keys: Keys, status: int, content: dict[str, Any]) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(body, status_code=status, headers=platform_headers(keys, body))


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


_SIGN_ERROR = (401, _error("SIGN_ERROR", "the signature is wrong"))


def _said(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()
    )
