"""Alipay's wire: its gateway, for alipay.trade.refund and alipay.trade.fastpay.refund.query.

As its documents say: https://opendocs.alipay.com/open/02e7go (refund), …/open/028sma (query),
…/common/02mse3 (signatures), …/common/02km9f (codes that all methods share).
"""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateways.connection import HangUp
from gateways.payments.gateway import RefundStatus
from gateways.payments.money import from_minor, to_minor
from gateways.payments.sandbox.books import Books
from gateways.payments.sandbox.counter import Counter
from gateways.payments.sandbox.entries import (
    ALIPAY,
    TOLD,
    Refund,
    RefundOrder,
    Rejection,
    Trouble,
)
from gateways.payments.sandbox.keys import Keys
from gateways.payments.sandbox.merchant import APP_ID

_REFUND = "alipay.trade.refund"
_QUERY = "alipay.trade.fastpay.refund.query"
_CHINA = timezone(timedelta(hours=8))

_FAILED = ("40004", "Business Failed")
_REJECTIONS = {
    Rejection.UNKNOWN_PAYMENT: (*_FAILED, "ACQ.TRADE_NOT_EXIST", "there is no such trade"),
    Rejection.ANOTHER_REFUND: (
        *(*_FAILED, "ACQ.DISCORDANT_REPEAT_REQUEST"),
        "the amount is not that of the earlier request",
    ),
    Rejection.OTHER_TOTAL: (*_FAILED, "ACQ.INVALID_PARAMETER", "invalid parameter"),
    Rejection.TOO_MUCH: (
        *_FAILED,
        "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
        "more than what is left of the trade",
    ),
    Rejection.REFUSED: (
        *_FAILED,
        "ACQ.TRADE_NOT_ALLOW_REFUND",
        f"the trade cannot be refunded: {TOLD}",
    ),
    Rejection.NOT_ENOUGH: (
        *_FAILED,
        "ACQ.SELLER_BALANCE_NOT_ENOUGH",
        "the merchant's balance is too low",
    ),
    Rejection.BUSY: ("40005", "Call Limited", "isv.app-call-limited", "too many calls"),
}


def _amount(value: Any) -> int:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("an amount is a string such as 100.00")  # noqa: TRY004 - pydantic's
    if (amount_minor := to_minor(str(value))) == 0:
        raise ValueError("the amount is zero")
    return amount_minor


class _Order(BaseModel):
    """A refund as Alipay is asked for it; what it knows more of is not looked at."""

    model_config = ConfigDict(frozen=True)

    out_trade_no: Annotated[str, Field(min_length=1, max_length=64)]
    refund_amount: Annotated[int, BeforeValidator(_amount)]
    refund_reason: Annotated[str, Field(max_length=256)] = ""
    out_request_no: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    def order(self) -> RefundOrder:
        return RefundOrder(
            method=ALIPAY,
            # Without a number of its own a refund has the payment's: there can be one such.
            refund_no=self.out_request_no or self.out_trade_no,
            payment_no=self.out_trade_no,
            amount_minor=self.refund_amount,
            reason=self.refund_reason,
        )


class _Question(BaseModel):
    model_config = ConfigDict(frozen=True)

    out_trade_no: Annotated[str, Field(min_length=1, max_length=64)]
    out_request_no: Annotated[str, Field(min_length=1, max_length=64)]


def alipay_routes(counter: Counter, books: Books, keys: Keys) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/gateway.do", methods=["GET", "POST"])
    async def gateway(request: Request) -> Response:
        said = dict(parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True))
        said |= dict(
            parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True)
        )
        method = said.get("method", "")
        if (wrong := _wrong(said, keys)) is not None:
            return _signed(keys, method, wrong)
        try:
            if method == _REFUND:
                order = _Order.model_validate_json(said["biz_content"]).order()
                done = await counter.refund(order)
                content = _refunded(done, books) if isinstance(done, Refund) else None
                return _answer(keys, method, done, content)
            asked = _Question.model_validate_json(said["biz_content"])
            found = await counter.find(ALIPAY, asked.out_request_no)
            return _answer(keys, method, found, _found(found, asked, books))
        except ValidationError as error:
            return _signed(
                keys,
                method,
                _error(*_FAILED, "ACQ.INVALID_PARAMETER", f"invalid parameter: {_said(error)}"),
            )

    return routes


def at(seconds: float, *, timespec: str = "seconds") -> str:
    """Return a time since 1970 as Alipay writes it, in China's time: ``2026-11-22 21:30:00``."""
    then = datetime.fromtimestamp(seconds, UTC).astimezone(_CHINA)
    return then.replace(tzinfo=None).isoformat(sep=" ", timespec=timespec)


def trade_no(payment_no: str) -> str:
    """Alipay's own number of the payment."""
    return f"2026{int.from_bytes(payment_no.encode()) % 10**24:024d}"


def _wrong(said: dict[str, str], keys: Keys) -> dict[str, Any] | None:
    """Say what is wrong with a request before its method is looked at; None: nothing is."""
    if said.get("app_id") != APP_ID:
        return _error("40002", "Invalid Arguments", "isv.invalid-app-id", "invalid app_id")
    # Sorted, without the signature itself and without what is empty.
    text = "&".join(
        f"{name}={word}" for name, word in sorted(said.items()) if name != "sign" and word
    )
    if said.get("sign_type") != "RSA2" or not keys.is_signed(text.encode(), said.get("sign", "")):
        return _error(
            "40002", "Invalid Arguments", "isv.invalid-signature", "the signature is wrong"
        )
    if said.get("method") not in (_REFUND, _QUERY):
        return _error("40002", "Invalid Arguments", "isv.invalid-method", "there is no such method")
    if "biz_content" not in said:
        return _error(
            "40001",
            "Missing Required Arguments",
            "isv.missing-biz-content",
            "an argument is missing",
        )
    return None


def _refunded(refund: Refund, books: Books) -> dict[str, Any]:
    moved = refund.new and refund.status is RefundStatus.SUCCESS
    return _success(refund.payment_no) | {
        "buyer_logon_id": "san***@example.com",
        "fund_change": "Y" if moved else "N",
        "refund_fee": from_minor(books.refunded(refund.payment_no)),
    }


def _found(
    answer: Refund | Rejection | Trouble | None, asked: _Question, books: Books
) -> dict[str, Any] | None:
    """Say what is known of a refund: its status only once it is done, nothing of a failed one."""
    payment = books.payment(asked.out_trade_no)
    if payment is None or payment.method != ALIPAY:
        return _error(*_REJECTIONS[Rejection.UNKNOWN_PAYMENT])
    known = _success(asked.out_trade_no)
    match answer:
        case Refund(status=RefundStatus.CLOSED) | None:
            return known
        case Refund() if answer.payment_no != asked.out_trade_no:
            return known
        case Refund():
            known |= {
                "out_request_no": answer.refund_no,
                "total_amount": from_minor(answer.payment_minor),
                "refund_amount": from_minor(answer.amount_minor),
            }
            if answer.status is not RefundStatus.SUCCESS:
                return known
            done_at = answer.done_at or answer.created_at
            return known | {"refund_status": "REFUND_SUCCESS", "gmt_refund_pay": at(done_at)}
        case _:
            return None


def _answer(
    keys: Keys,
    method: str,
    answer: Refund | Rejection | Trouble | None,
    content: dict[str, Any] | None,
) -> Response:
    match answer:
        case Trouble.ERROR:
            return Response("<html>500</html>", status_code=500, media_type="text/html")
        case Trouble.CUT:
            return HangUp()
        case Trouble.NONSENSE:
            return Response("<html>OK</html>", media_type="text/html")
        case Rejection():
            return _signed(keys, method, _error(*_REJECTIONS[answer]))
        case _:
            assert content is not None
            return _signed(keys, method, content)


def _success(payment_no: str) -> dict[str, Any]:
    return {
        "code": "10000",
        "msg": "Success",
        "out_trade_no": payment_no,
        "trade_no": trade_no(payment_no),
    }


def _error(code: str, message: str, sub_code: str, sub_message: str) -> dict[str, Any]:
    return {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": sub_message}


def _signed(keys: Keys, method: str, content: dict[str, Any]) -> Response:
    # The signature is over these very characters; the client cuts them out of the answer.
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    name = json.dumps(method.replace(".", "_") + "_response")
    return Response(
        f'{{{name}:{text},"sign":"{keys.sign(text)}"}}', media_type="text/html; charset=utf-8"
    )


def _said(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()
    )
