"""A small Stripe that keeps the rules which the page about adding a provider tells."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SECRET_KEY = "sk_test_of_the_page"
WEBHOOK_SECRET = "whsec_of_the_page"

REASONS = {"duplicate", "fraudulent", "requested_by_customer"}
KEPT_FOR = timedelta(hours=24)

Answer = tuple[int, dict[str, Any]]


class Cut(Exception):
    """The connection ends here, without an answer."""


@dataclass
class Kept:
    """The first answer under an idempotency key."""

    form: dict[str, str]
    answer: Answer
    at: float


@dataclass
class Stripe:
    """Its books, and what a test steers. ``faults`` are used first in, first out, one a request.

    error_before (500, not done), error_after (done, then 500), cut_after (done, no answer), busy
    (429), in_use (409), pending (done, not final), failed (not done, and final).
    """

    url: str = ""
    intents: dict[str, int] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    balance: int = 1_000_000
    faults: list[str] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)
    ahead: timedelta = timedelta()
    asked: int = 0

    def know(self, payment_intent: str, amount: int) -> None:
        self.intents[payment_intent] = amount

    def refund(self, key: str | None, form: dict[str, str]) -> tuple[Answer, bool]:
        """Its answer, and whether it is an old one told again."""
        self.asked += 1
        fault = self.faults.pop(0) if self.faults else ""
        # Neither of these comes as far as the idempotency keys.
        if fault == "busy":
            return _error(429, "rate_limit"), False
        if fault == "in_use":
            return _error(409, "idempotency_key_in_use", kind="idempotency_error"), False
        now = time.time() + self.ahead.total_seconds()
        kept = self.kept.get(key or "")
        if kept is not None and now - kept.at < KEPT_FOR.total_seconds():
            if kept.form != form:
                return _error(400, None, kind="idempotency_error"), False
            return kept.answer, True
        answer = self._refund(form, fault)
        if key:
            self.kept[key] = Kept(form, answer, now)
        if fault == "cut_after":
            raise Cut
        return answer, False

    def _refund(self, form: dict[str, str], fault: str) -> Answer:
        if fault == "error_before":
            return _error(500, None, kind="api_error")
        known = {"payment_intent", "amount", "reason"}
        for name in form.keys() - known:
            if not name.startswith("metadata["):
                return _error(400, "parameter_unknown")
        if form.get("reason", "duplicate") not in REASONS:
            return _error(400, None)
        intent, amount = form["payment_intent"], int(form["amount"])
        if intent not in self.intents:
            return _error(404, "resource_missing")
        gone = [r["amount"] for r in self._of(intent) if r["status"] not in {"failed", "canceled"}]
        left = self.intents[intent] - sum(gone)
        if left == 0:
            return _error(400, "charge_already_refunded")
        if amount > left:
            return _error(400, None)
        if amount > self.balance:
            return _error(400, "balance_insufficient")
        status = fault if fault in {"pending", "failed"} else "succeeded"
        made = self.make(intent, amount, status, _metadata(form))
        return _error(500, None, kind="api_error") if fault == "error_after" else (200, made)

    def make(
        self, payment_intent: str, amount: int, status: str, metadata: dict[str, str]
    ) -> dict[str, Any]:
        """A refund in the books, as if Stripe's own people had made it."""
        made = {
            "id": f"re_{len(self.refunds)}",
            "object": "refund",
            "amount": amount,
            "currency": "cny",
            "metadata": metadata,
            "payment_intent": payment_intent,
            "reason": "requested_by_customer",
            "status": status,
        }
        self.refunds.append(made)
        return dict(made)

    def listed(self, query: dict[str, str]) -> Answer:
        """Newest first, a page at a time."""
        if query["payment_intent"] not in self.intents:
            return _error(404, "resource_missing")
        found = list(reversed(self._of(query["payment_intent"])))
        if "starting_after" in query:
            ids = [refund["id"] for refund in found]
            found = found[ids.index(query["starting_after"]) + 1 :]
        limit = int(query.get("limit", "10"))
        page = {"object": "list", "data": found[:limit], "has_more": len(found) > limit}
        return (200, page) if 1 <= limit <= 100 else _error(400, "parameter_invalid_integer")

    def decide(self, status: str) -> dict[str, Any]:
        """The bank has decided on the newest refund."""
        self.refunds[-1]["status"] = status
        return dict(self.refunds[-1])

    def _of(self, intent: str) -> list[dict[str, Any]]:
        return [refund for refund in self.refunds if refund["payment_intent"] == intent]


def callback(
    kind: str, told: dict[str, Any], *, at: datetime, secret: str = WEBHOOK_SECRET
) -> tuple[dict[str, str], bytes]:
    """An event as Stripe sends it: header and body."""
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": told}}
    body = json.dumps(event).encode()
    return {"stripe-signature": signed(body, at=at, secret=secret)}, body


def signed(body: bytes, *, at: datetime, secret: str = WEBHOOK_SECRET) -> str:
    stamp = str(int(at.timestamp()))
    v1 = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={v1},v0={'0' * 64}"


@contextmanager
def open_stripe() -> Iterator[Stripe]:
    stripe = Stripe()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            form = dict(parse_qsl(self.rfile.read(length).decode(), strict_parsing=True))
            if not self._is_let_in():
                return
            try:
                answer, is_old = stripe.refund(self.headers["Idempotency-Key"], form)
            except Cut:
                self.close_connection = True
                return
            self._answer(answer, is_old=is_old)

        def do_GET(self) -> None:
            if self._is_let_in():
                self._answer(stripe.listed(dict(parse_qsl(urlsplit(self.path).query))))

        def _is_let_in(self) -> bool:
            if self.headers["Authorization"] == f"Bearer {SECRET_KEY}":
                return True
            self._answer(_error(401, None))
            return False

        def _answer(self, answer: Answer, *, is_old: bool = False) -> None:
            status, body = answer
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            if is_old:
                self.send_header("Idempotent-Replayed", "true")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    stripe.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield stripe
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _metadata(form: dict[str, str]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}


def _error(status: int, code: str | None, *, kind: str = "invalid_request_error") -> Answer:
    error = {"type": kind, "message": f"No, because of {code or kind}."}
    return status, {"error": error if code is None else {**error, "code": code}}
