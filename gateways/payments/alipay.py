"""Alipay, through `python-alipay-sdk`.

https://opendocs.alipay.com/open/02e7go (refund), …/open/028sma (query), …/open/203/105286
(callback).
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl
from urllib.request import ProxyHandler, build_opener

from alipay import AliPay
from alipay.exceptions import AliPayException, AliPayValidationError
from alipay.utils import AliPayConfig

from gateways.account import is_loopback
from gateways.payments.accounts import AlipayAccount
from gateways.payments.codes import ALIPAY, ALIPAY_GATEWAY, Code, Meaning, error
from gateways.payments.gateway import (
    CallbackRejected,
    RefundAnswer,
    RefundNotice,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)
from gateways.payments.money import from_minor, to_minor

_CHINA = timezone(timedelta(hours=8))
_FRESH = timedelta(minutes=5)
_REASON_CHARACTERS = 256
_ANSWER_BYTES = 1024 * 1024
_CALLBACK_FIELDS = 200
_SUCCESS = "10000"


class AlipayGateway:
    """Refunds through Alipay for one application.

    `timeout` bounds each wait for the network, not the whole call. Safe to create before a fork and
    to share between threads: each call has a connection of its own.
    """

    def __init__(self, account: AlipayAccount, timeout: timedelta) -> None:
        self._account = account
        self._client = _Client(account, timeout)

    def refund(self, request: RefundRequest) -> RefundAnswer:
        if request.currency != "CNY":
            raise RefundRefused(
                "CURRENCY_NOT_SUPPORTED", f"Alipay refunds CNY, not {request.currency}"
            )
        order = {
            "out_trade_no": request.payment_no,
            # Without a number of its own, a second part of a payment is silently not refunded.
            "out_request_no": request.refund_no,
            "refund_amount": from_minor(request.amount_minor),
        }
        if request.reason:
            order["refund_reason"] = request.reason[:_REASON_CHARACTERS]
        answer, is_signed = self._client.ask("alipay.trade.refund", order)
        if is_signed and answer.get("code") == _SUCCESS:
            return self._accepted(request, answer)
        known = _known(answer, is_signed=is_signed)
        if known is None:
            raise _unexpected(answer)
        if known.meaning is Meaning.LOOK:
            found = self.find_refund(request.refund_no, payment_no=request.payment_no)
            if found is not None:
                return found.answering(request)
        raise error(str(answer.get("sub_code")), str(answer.get("sub_msg", "")), known)

    def find_refund(self, refund_no: str, *, payment_no: str) -> RefundAnswer | None:
        """As the interface says. None also where it failed: Alipay tells no difference."""
        answer, is_signed = self._client.ask(
            "alipay.trade.fastpay.refund.query",
            {"out_trade_no": payment_no, "out_request_no": refund_no},
        )
        if is_signed and answer.get("code") == _SUCCESS:
            return _found(answer, refund_no, payment_no)
        # A payment that is not there has no refunds.
        if is_signed and answer.get("sub_code") == "ACQ.TRADE_NOT_EXIST":
            return None
        raise _unexpected(answer)

    def verify_callback(
        self,
        headers: Mapping[str, str],  # noqa: ARG002 - all is in the body
        body: bytes,
        *,
        now: datetime,
    ) -> RefundNotice | None:
        said = _form(body)
        sign, sign_type = said.pop("sign", ""), said.pop("sign_type", "")
        if sign_type != "RSA2" or not sign:
            raise CallbackRejected("it is not signed by RSA2")
        try:
            is_genuine = self._client.verify(said, sign)
        except ValueError as odd:
            raise CallbackRejected("its signature cannot be read") from odd
        if not is_genuine:
            raise CallbackRejected("its signature is wrong")
        if said.get("app_id") != self._account.app_id:
            raise CallbackRejected("it is for another application")
        _expect_fresh(said.get("notify_time", ""), now)
        # Notices of payments come the same way; without a refund's number it is none of ours.
        if not said.get("out_biz_no") or not said.get("refund_fee"):
            return None
        try:
            amount_minor = to_minor(said["refund_fee"])
        except ValueError as odd:
            raise CallbackRejected(f"its refund_fee is no amount: {odd}") from odd
        if not said.get("notify_id") or not said.get("out_trade_no"):
            raise CallbackRejected("it has no notify_id or no out_trade_no")
        return RefundNotice(
            event_id=said["notify_id"],
            refund_no=said["out_biz_no"],
            payment_no=said["out_trade_no"],
            status=None,
            amount_minor=amount_minor,
        )

    def _accepted(self, request: RefundRequest, answer: dict[str, Any]) -> RefundAnswer:
        if answer.get("out_trade_no") != request.payment_no:
            # Never the answer itself, which names the payer: people and logs see this.
            raise UnexpectedAnswer(
                f"asked for {request.payment_no}, Alipay answered for {answer.get('out_trade_no')}"
            )
        match answer.get("fund_change"):
            case "Y":
                return _answer(request, RefundStatus.SUCCESS, answer)
            # This call moved no money: an earlier one did, or will. Only the query tells.
            case "N":
                found = self.find_refund(request.refund_no, payment_no=request.payment_no)
                if found is None:
                    return _answer(request, RefundStatus.PROCESSING, answer)
                return found.answering(request)
            case said:
                raise UnexpectedAnswer(f"Alipay does not say whether money moved, but {said!r}")


class _Client(AliPay):  # type: ignore[misc] # the library has no types
    """The library's client, and what it leaves out: the address, the proxy, China's time."""

    def __init__(self, account: AlipayAccount, timeout: timedelta) -> None:
        super().__init__(
            appid=account.app_id,
            app_private_key_string=account.private_key,
            alipay_public_key_string=account.public_key,
            sign_type="RSA2",
            config=AliPayConfig(timeout=timeout.total_seconds()),
        )
        # The library knows two addresses and offers no way to give another.
        self._gateway = account.url
        # What is on this machine is not behind the proxy that the environment names.
        self._opener = build_opener(*([ProxyHandler({})] if is_loopback(account.url) else []))

    def ask(self, method: str, content: dict[str, str]) -> tuple[dict[str, Any], bool]:
        """Return what Alipay answers, and whether it signed that. Raises UnexpectedAnswer.

        Errors of its gateway, such as of a wrong app_id, come unsigned.
        """
        # Alipay counts in China's time, the library in that of this machine.
        asked_at = datetime.now(_CHINA).strftime("%Y-%m-%d %H:%M:%S")
        url = f"{self._gateway}?" + self.sign_data(
            self.build_body(method, content, timestamp=asked_at)
        )
        name = method.replace(".", "_") + "_response"
        # Not by the library's own function: that leaves the connection open.
        try:
            with self._opener.open(url, timeout=self._config.timeout) as response:
                raw = response.read(_ANSWER_BYTES)
        except HTTPError as refused:
            with refused:
                raise UnexpectedAnswer(f"Alipay answered {refused.code}") from None
        text = raw.decode(errors="replace")
        try:
            answer, is_signed = self._verify_and_return_sync_response(text, name), True
        except AliPayValidationError:
            raise UnexpectedAnswer("Alipay's signature is wrong") from None
        except AliPayException:
            answer, is_signed = _unsigned(text, name), False
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as odd:
            raise UnexpectedAnswer(f"Alipay's answer of {len(raw)} bytes is not whole") from odd
        if not isinstance(answer, dict):
            raise UnexpectedAnswer(f"Alipay's answer of {len(raw)} bytes has no {name}")
        return answer, is_signed


def _unsigned(text: str, name: str) -> Any:
    answer = json.loads(text)
    return answer.get(name) or answer.get("error_response")


def _known(answer: Mapping[str, Any], *, is_signed: bool) -> Code | None:
    """What the tables say of an error. Unsigned, only the gateway's own word is believed."""
    sub_code = str(answer.get("sub_code"))
    return (ALIPAY.get(sub_code) if is_signed else None) or ALIPAY_GATEWAY.get(sub_code)


def _found(answer: dict[str, Any], refund_no: str, payment_no: str) -> RefundAnswer | None:
    """Read what a query knows. 10000 alone says only that the question was understood."""
    match answer.get("refund_status"):
        case "REFUND_SUCCESS":
            status = RefundStatus.SUCCESS
        case None | "" if not answer.get("refund_amount"):
            return None
        case None | "" | "REFUND_PROCESSING":
            status = RefundStatus.PROCESSING
        case _:
            raise _unexpected(answer)
    named = (answer.get("out_request_no"), answer.get("out_trade_no"))
    if named != (refund_no, payment_no):
        raise UnexpectedAnswer(f"asked for refund {refund_no}, Alipay answered for {named}")
    try:
        amount_minor = to_minor(str(answer["refund_amount"]))
    except (KeyError, ValueError) as odd:
        raise UnexpectedAnswer(f"Alipay's answer has no amount: {odd}") from odd
    return RefundAnswer(refund_no=refund_no, status=status, amount_minor=amount_minor, raw=answer)


def _answer(request: RefundRequest, status: RefundStatus, raw: dict[str, Any]) -> RefundAnswer:
    return RefundAnswer(
        refund_no=request.refund_no, status=status, amount_minor=request.amount_minor, raw=raw
    )


def _form(body: bytes) -> dict[str, str]:
    """Read a form, each name once. Raises CallbackRejected."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_CALLBACK_FIELDS,
        )
    except ValueError as odd:
        raise CallbackRejected("it is not a form") from odd
    said = dict(pairs)
    if len(said) != len(pairs):
        raise CallbackRejected("it says something twice")
    return said


def _expect_fresh(notify_time: str, now: datetime) -> None:
    try:
        sent_at = datetime.strptime(notify_time, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_CHINA)
    except ValueError as odd:
        raise CallbackRejected("its notify_time is no time") from odd
    if abs(now - sent_at) > _FRESH:
        raise CallbackRejected("it is older than five minutes, or of the future")


def _unexpected(answer: Mapping[str, Any]) -> UnexpectedAnswer:
    said = [str(answer[name]) for name in ("code", "sub_code", "sub_msg") if answer.get(name)]
    return UnexpectedAnswer(f"Alipay answered {' '.join(said)[:200] or 'nothing known'}")
