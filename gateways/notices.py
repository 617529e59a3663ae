"""Telling another system what happened, as Standard Webhooks says: signed, and the same id always.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx
from standardwebhooks import Webhook

from gateways.account import Form, is_loopback

_URL, _SECRET = "APP_NOTIFY_URL", "APP_NOTIFY_SECRET"
_LEAST_BYTES = 24

# What says "not like this"; any other answer may be another one next time.
_REFUSALS = frozenset(range(400, 500)) - {408, 409, 425, 429}


class NoticeError(Exception):
    """The notice was not taken, as far as we know; it may be sent again under the same id."""


class NoticeRefused(NoticeError):
    """Whoever is told does not take this notice, and will not."""


@dataclass(frozen=True, kw_only=True)
class NoticeAccount:
    """Who is told, and the secret that is shared with them: base64, after ``whsec_`` or not."""

    url: str
    secret: str = field(repr=False)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Self | None:
        """Return the account, None if no variable of it is set. Raises AccountFaulty."""
        form = Form(given, (), [_SECRET], _URL)
        if form.is_blank:
            return None
        if _URL not in form.given:
            form.fault(_URL, "is not set", f"set it, or unset {_SECRET}")
        account = cls(url=form.url(_URL, "https://example.com/hooks"), secret=form.secret(_SECRET))
        if account.secret and not _is_long(account.secret):
            form.fault(
                _SECRET, f"is not base64 of {_LEAST_BYTES} bytes or more", "make a longer one"
            )
        form.end()
        return account


def _is_long(secret: str) -> bool:
    try:
        raw = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return len(raw) >= _LEAST_BYTES


class Notices:
    """Sends signed notices. Safe to share between threads and to create before a fork."""

    def __init__(self, account: NoticeAccount, *, timeout: timedelta) -> None:
        self._url = account.url
        self._signer = Webhook(account.secret)
        self._timeout = timeout.total_seconds()

    def send(self, notice_id: str, kind: str, data: Mapping[str, Any], *, now: datetime) -> None:
        """Tell ``kind`` with ``data``; done when it was taken. Raises NoticeError, NoticeRefused.

        Who is told drops a ``notice_id`` that it has had.
        """
        body = json.dumps(
            {"type": kind, "timestamp": now.astimezone(UTC).isoformat(), "data": dict(data)}
        )
        moment = now.astimezone(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": notice_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": self._signer.sign(notice_id, moment, body),
        }
        try:
            # What is on this machine is never asked through a proxy.
            with httpx.Client(
                timeout=self._timeout, trust_env=not is_loopback(self._url)
            ) as client:
                answer = client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NoticeError(f"nobody took the notice: {type(error).__name__}") from error
        if answer.status_code in _REFUSALS:
            raise NoticeRefused(f"the notice was refused with {answer.status_code}")
        if not answer.is_success:
            raise NoticeError(f"the notice was answered with {answer.status_code}")
