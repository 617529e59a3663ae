"""Telling another system what happened, as Standard Webhooks says: signed, and the same id always.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from standardwebhooks import Webhook

# What says "not like this"; any other answer may be another one next time.
_REFUSALS = frozenset(range(400, 500)) - {408, 409, 425, 429}


class NoticeError(Exception):
    """The notice was not taken, as far as we know; it may be sent again under the same id."""


class NoticeRefused(NoticeError):
    """Whoever is told does not take this notice, and will not."""


class Notices:
    """Sends signed notices to one address.

    ``secret`` is base64, with or without the prefix ``whsec_``; raises ValueError for one that is
    none. Safe to share between threads and to create before a fork.
    """

    def __init__(self, url: str, secret: str, *, timeout: timedelta) -> None:
        self._url = url
        self._signer = Webhook(secret)
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
            with httpx.Client(timeout=self._timeout, follow_redirects=False) as client:
                answer = client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise NoticeError(f"nobody took the notice: {type(error).__name__}") from error
        if answer.status_code in _REFUSALS:
            raise NoticeRefused(f"the notice was refused with {answer.status_code}")
        if not answer.is_success:
            raise NoticeError(f"the notice was answered with {answer.status_code}")
