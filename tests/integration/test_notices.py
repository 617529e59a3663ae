"""Telling another system of a new version: signed, and under the same id each time."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateways.account import AccountFaulty
from gateways.notices import NoticeAccount, NoticeError, NoticeRefused, Notices

pytestmark = pytest.mark.integration

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Listener(HTTPServer):
    """Takes notices, answers with ``answers`` and keeps what came."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.heard: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks"


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heard.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Not in the tests' output."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield listener
    listener.shutdown()
    thread.join()
    listener.server_close()


def notices(url: str) -> Notices:
    return Notices(NoticeAccount(url=url, secret=SECRET), timeout=timedelta(seconds=2))


def send(url: str) -> None:
    notices(url).send("key-1", "app.available", {"id": "é"}, now=datetime.now(UTC))


def test_who_is_told_can_prove_that_the_notice_is_ours(listener: Listener) -> None:
    send(listener.url)

    [(headers, body)] = listener.heard
    told = Webhook(SECRET).verify(body, headers)
    assert told["type"] == "app.available"
    assert told["data"] == {"id": "é"}
    assert headers["webhook-id"] == "key-1"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"id", b"di"), headers)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_notice_that_is_not_wanted_is_refused(listener: Listener, status: int) -> None:
    listener.answers = [status]

    with pytest.raises(NoticeRefused):
        send(listener.url)


@pytest.mark.parametrize("status", [302, 408, 409, 429, 500, 503])
def test_a_notice_that_may_be_taken_another_time_is_not_refused(
    listener: Listener, status: int
) -> None:
    listener.answers = [status]

    with pytest.raises(NoticeError) as told:
        send(listener.url)
    assert not isinstance(told.value, NoticeRefused)


def test_where_nobody_listens_the_notice_may_be_taken_another_time() -> None:
    with pytest.raises(NoticeError) as told:
        send("http://127.0.0.1:1/hooks")
    assert SECRET not in str(told.value)


def test_nobody_is_told_where_nothing_is_set() -> None:
    assert NoticeAccount.read({}) is None


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"APP_NOTIFY_URL": "https://x.test/h"}, ["APP_NOTIFY_SECRET is not set"]),
        ({"APP_NOTIFY_SECRET": SECRET}, ["APP_NOTIFY_URL is not set"]),
        (
            {"APP_NOTIFY_URL": "x.test", "APP_NOTIFY_SECRET": "c2hvcnQ="},
            ["APP_NOTIFY_URL is not an http or https", "APP_NOTIFY_SECRET is not base64 of 24"],
        ),
        (
            {"APP_NOTIFY_URL": "https://x.test/h", "APP_NOTIFY_SECRET": "täglich" * 8},
            ["APP_NOTIFY_SECRET is not base64"],
        ),
    ],
)
def test_half_an_account_is_told_with_all_that_is_wrong_and_no_secret(
    given: dict[str, str], faults: list[str]
) -> None:
    with pytest.raises(AccountFaulty) as faulty:
        NoticeAccount.read(given)

    told = [str(fault) for fault in faulty.value.faults]
    assert len(told) == len(faults)
    assert all(fault in said for fault, said in zip(faults, told, strict=True))
    assert given.get("APP_NOTIFY_SECRET", "unset") not in " ".join(told)
