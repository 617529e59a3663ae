"""The client of the sandbox provider (`gateways.payments.sandbox`)."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from gateways.payments.gateway import (
    CallbackRejected,
    ProviderBusy,
    RefundAnswer,
    RefundNotice,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)
from gateways.payments.money import from_minor, to_minor

_CONNECT_WITHIN = timedelta(seconds=5)
_BUSY_FOR = timedelta(seconds=5)
_BUSY_AT_MOST = timedelta(hours=1)


class SandboxGateway:
    """Refunds through the sandbox at `base_url`.

    `timeout` bounds each wait for the network (connecting takes at most 5 s of it), not the
    whole call. Safe to create before a fork and to share between threads.
    """

    def __init__(self, base_url: str, timeout: timedelta) -> None:
        self._base_url = base_url
        self._timeout = timeout
        # One client for each process: a forked child inherits its parent's and must neither
        # use nor close it, or two processes would read from one connection.
        self._clients: dict[int, httpx.Client] = {}

    def refund(self, request: RefundRequest) -> RefundAnswer:
        if request.currency != "CNY":
            raise RefundRefused(
                "CURRENCY_NOT_SUPPORTED", f"the sandbox refunds CNY, not {request.currency}"
            )
        order = {
            "refundNo": request.refund_no,
            "paymentNo": request.payment_no,
            "amount": from_minor(request.amount_minor),
            "reason": request.reason,
        }
        if request.notify_url is not None:
            order["notifyUrl"] = request.notify_url
        response = self._client().post("/refunds", json=order)
        answer = _body(response)
        match response.status_code:
            case 200:
                found = _refund(answer, refund_no=request.refund_no)
                if found.amount_minor != request.amount_minor:
                    raise UnexpectedAnswer(f"the provider answered another amount: {answer}")
                return found
            # Without the provider's code it is a proxy or a wrong address that speaks.
            case 400 | 404 if isinstance(code := answer.get("code"), str):
                raise RefundRefused(code, str(answer.get("message", "")))
            case _:
                raise _no_answer(response)

    def find_refund(self, refund_no: str, *, payment_no: str) -> RefundAnswer | None:  # noqa: ARG002 - its numbers are enough
        response = self._client().get(f"/refunds/{quote(refund_no, safe='')}")
        answer = _body(response)
        match response.status_code:
            case 200:
                return _refund(answer, refund_no=refund_no)
            case 404 if answer.get("code") == "REFUND_NOT_FOUND":
                return None
            case _:
                # A refused question says nothing of the refund: never RefundRefused here.
                raise _no_answer(response)

    def verify_callback(
        self,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        *,
        now: datetime,  # noqa: ARG002
    ) -> RefundNotice | None:
        raise CallbackRejected("the sandbox signs nothing")

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _client(self) -> httpx.Client:
        pid = os.getpid()
        if pid not in self._clients:
            wait_seconds = self._timeout.total_seconds()
            connect_seconds = min(wait_seconds, _CONNECT_WITHIN.total_seconds())
            client = httpx.Client(
                base_url=self._base_url,
                timeout=httpx.Timeout(wait_seconds, connect=connect_seconds),
                trust_env=False,
            )
            # Of two threads that come at once, one's client is kept and used by both.
            return self._clients.setdefault(pid, client)
        return self._clients[pid]


def _body(response: httpx.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refund(answer: Mapping[str, Any], *, refund_no: str) -> RefundAnswer:
    try:
        found = RefundAnswer(
            refund_no=str(answer["refundNo"]),
            status=RefundStatus(answer["status"]),
            amount_minor=to_minor(str(answer["amount"])),
            raw=dict(answer),
        )
    except (KeyError, ValueError) as error:
        raise UnexpectedAnswer(f"the provider's answer is not a refund: {answer}") from error
    if found.refund_no != refund_no:
        raise UnexpectedAnswer(f"asked for refund {refund_no}, the provider answered {answer}")
    return found


def _no_answer(response: httpx.Response) -> ProviderBusy | UnexpectedAnswer:
    retry_after = response.headers.get("Retry-After")
    match response.status_code:
        case 429:
            return ProviderBusy(_after(retry_after))
        # A bare 503 may be a proxy's, sent when the provider did not answer in time.
        case 503 if retry_after is not None:
            return ProviderBusy(_after(retry_after))
        case status:
            return UnexpectedAnswer(f"the provider answered {status}{_said(response)}")


def _said(response: httpx.Response) -> str:
    """What an answer that is no refund says, for people: its code and message, if it has them."""
    body = _body(response)
    said = [str(body[name]) for name in ("code", "message") if body.get(name)]
    text = " ".join(said) or response.text
    return f": {text[:200]}" if text else ""


def _after(retry_after: str | None) -> timedelta:
    """Return how long to wait by RFC 9110's Retry-After, between zero and an hour."""
    if retry_after is None:
        return _BUSY_FOR
    try:
        if retry_after.isascii() and retry_after.isdigit():
            after = timedelta(seconds=int(retry_after))
        else:
            at = parsedate_to_datetime(retry_after)
            after = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return _BUSY_FOR
    return min(max(after, timedelta()), _BUSY_AT_MOST)
