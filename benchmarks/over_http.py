"""Refunds offered over HTTP at a steady rate, with workers stopped and with workers running.

A process of its own sends each one when it is due, however long the ones before it take. The API is
served as ``saga up`` serves it, and times its answers inside. Then all are counted: none may be
lost.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx
import redis

from benchmarks.family import Family
from benchmarks.latency import RATE, percentile
from benchmarks.machine import Usage, Watch
from benchmarks.producer import AMOUNT, REASON
from benchmarks.servers import BenchmarkError, Servers, answers, free_port, until
from benchmarks.throughput import CONCURRENCY, LANES
from models import PaymentView
from saga.access import Role, keys

BUDGET_MS = 10
# As benchmarks.timed_api has them, which only the process that serves can import.
_BARE, _TIMES = "/benchmark/bare", "/benchmark/times"

_QUEUE = "saga.new"
_PERCENTILES = {"p50Ms": 0.50, "p99Ms": 0.99, "p999Ms": 0.999, "maxMs": 1.0}

Request = dict[str, Any]


def measure_http(servers: Servers, *, requests: int) -> dict[str, Any]:
    """What an answer takes inside the server and for who asked. Raises BenchmarkError."""
    calm = Front(servers, "http_stopped", with_workers=False)
    try:
        bare = calm.ask_nothing(requests)
        stopped = calm.refund(requests)
        stopped |= calm.found("RUNNING")
        calm.check_messages()
    finally:
        calm.stop()
    busy = Front(servers, "http_running", with_workers=True)
    try:
        running = busy.refund(requests)
        until(busy.at_rest, "all refunds are at rest", pause=0.5)
        running |= busy.found("COMPLETED")
        busy.check_books()
        running["secondsToRest"] = busy.seconds_to_rest()
    finally:
        busy.stop()
    for each in (stopped, running):
        each["toBare"] = {
            name: round(each["inside"][name] / bare["inside"][name], 2) for name in _PERCENTILES
        }
    return {
        "offeredPerSecond": RATE,
        "requests": requests,
        "budgetMs": BUDGET_MS,
        "bare": bare,
        "workersStopped": stopped,
        "workersRunning": running,
    }


class Front:
    """An API in front of a site of its own; ``with_workers``, what runs its sagas too."""

    def __init__(self, servers: Servers, name: str, *, with_workers: bool) -> None:
        self._servers = servers
        self._site = site = servers.site(name)
        self._payments: list[PaymentView] = []
        self._accepted: list[str] = []
        with site.database.begin() as connection:
            made = keys.create(connection, name="shop", role=Role.PRODUCER, by="benchmark")
        self._key = made.secret
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        api = servers.spawn(
            f"{name}-api",
            site.environment,
            *("-m", "uvicorn", "--factory", "benchmarks.timed_api:create"),
            *("--host=127.0.0.1", f"--port={self._port}", "--timeout-graceful-shutdown=5"),
        )
        self._families: dict[str, Family] = {"api": api}
        if with_workers:
            start = site.start_worker
            self._families |= {
                "worker": start("worker", app="app", queues=LANES, concurrency=CONCURRENCY),
                "recovery": start("recovery", app="app", queues="saga.recovery", concurrency=1),
                "beat": site.start_beat(),
            }
            site.await_worker("worker")
            site.await_worker("recovery")
        until(lambda: answers(f"{self._url}/readyz"), "the API is ready")

    def stop(self) -> None:
        for family in self._families.values():
            family.stop()

    def ask_nothing(self, count: int) -> dict[str, Any]:
        """What the answers of the bare route take."""
        return self._offer([_request(_BARE) for _ in range(count + _warm_up(count))], count)

    def refund(self, count: int) -> dict[str, Any]:
        """What the answers take when so many payments are refunded, each once."""
        self._payments = self._site.payments(count + _warm_up(count))
        return self._offer([_refund(payment) for payment in self._payments], count)

    def _offer(self, requests: Sequence[Request], count: int) -> dict[str, Any]:
        """Offer them, and measure the last ``count``.

        Raises BenchmarkError when one is answered with anything but 202.
        """
        self._send(requests[:-count])
        self._times()
        watch = Watch(self._servers.families | self._families)
        sent = self._send(requests[-count:])
        usage = watch.read()
        inside = self._times()
        if len(inside) != count:
            raise BenchmarkError(f"the server gave {len(inside)} answers to {count} requests")
        return _figures(inside, sent, usage)

    def _send(self, requests: Sequence[Request]) -> dict[str, Any]:
        what = {"port": self._port, "apiKey": self._key, "rate": RATE, "requests": requests}
        sent = self._site.run("benchmarks.offering", given=json.dumps(what))
        for status, body in sent["answers"]:
            if status != httpx.codes.ACCEPTED:
                raise BenchmarkError(f"a request was answered with {status}: {body}")
        told = (json.loads(body) for _, body in sent["answers"])
        self._accepted += [each["sagaId"] for each in told if each is not None]
        return sent

    def _times(self) -> list[float]:
        """Seconds of all answers since they were last asked for."""
        taken: list[float] = httpx.get(f"{self._url}{_TIMES}", trust_env=False).json()
        return taken

    def at_rest(self) -> bool:
        return not self._site.rows("SELECT 1 FROM saga_state WHERE holds_key LIMIT 1")

    def found(self, status: str) -> dict[str, int]:
        """How many refunds were accepted, those of the warm-up too, and how many are there.

        Raises BenchmarkError unless each has its saga, and that this status.
        """
        rows = self._site.rows("SELECT saga_id, status FROM saga_state")
        found = {str(saga_id) for saga_id, each in rows if each == status}
        accepted = set(self._accepted)
        if not (len(rows) == len(self._accepted) == len(accepted) and found == accepted):
            raise BenchmarkError(
                f"of {len(self._accepted)} refunds accepted, {len(found & accepted)} are {status}, "
                f"and there are {len(rows)} sagas"
            )
        return {"accepted": len(accepted), "found": len(found)}

    def check_messages(self) -> None:
        """Raises BenchmarkError unless each saga comes to have its message in the queue, one."""
        sagas = len(self._accepted)
        with redis.Redis.from_url(self._site.environment["CELERY_BROKER_URL"]) as client:
            # They are sent after the answers.
            until(lambda: client.llen(_QUEUE) >= sagas, "each saga has its message")
            waiting = client.llen(_QUEUE)
        if waiting != sagas:
            raise BenchmarkError(f"{waiting} messages wait for {sagas} sagas")

    def check_books(self) -> None:
        """Raises BenchmarkError unless each payment is refunded once, here and at the provider."""
        sql = "SELECT 1 FROM payments WHERE status <> 'refunded' OR refunded_minor <> amount_minor"
        wrong = len(self._site.rows(sql))
        url = f"{self._servers.sandbox_url}/control/books"
        books = httpx.get(url, trust_env=False, timeout=60).json()["refunds"]
        ours = {payment.payment_no for payment in self._payments}
        theirs = [
            (refund["paymentNo"], refund["amount"], refund["status"])
            for refund in books
            if refund["paymentNo"] in ours
        ]
        if wrong or sorted(theirs) != sorted((number, AMOUNT, "SUCCESS") for number in ours):
            raise BenchmarkError(
                f"of {len(ours)} payments, {wrong} are not refunded by our tables; the provider's "
                f"books have {len(theirs)} refunds of them"
            )

    def seconds_to_rest(self) -> float:
        """From the first start to the last completion, by the database's clock."""
        sql = "SELECT extract(epoch FROM max(completed_at) - min(started_at)) FROM saga_state"
        [[seconds]] = self._site.rows(sql)
        return round(float(seconds), 1)


def _warm_up(count: int) -> int:
    """How many more come first, which open connections and fill caches."""
    return min(100, count)


def _refund(payment: PaymentView) -> Request:
    body = {"amount": AMOUNT, "reason": REASON}
    return _request(f"/api/billing/payments/{payment.id}/refund", body)


def _request(path: str, body: Any = None) -> Request:
    return {"path": path, "idempotencyKey": str(uuid4()), "body": body}


def _figures(inside: Sequence[float], sent: dict[str, Any], usage: Usage) -> dict[str, Any]:
    count = len(inside)
    ms = sorted(each * 1000 for each in inside)
    return {
        "answers": count,
        "inside": _percentiles(inside),
        "outside": _percentiles(sent["latencies"]),
        "lateness": _percentiles(sent["lateness"]),
        "answeredPerSecond": round(count / sent["seconds"], 2),
        "cpuMsPerAnswer": round(usage.cpu_seconds["api"] / count * 1000, 2),
        "coreShare": round(usage.cpu_seconds["api"] / sent["seconds"], 3),
        "senderCpuMs": round(sent["cpuSeconds"] / count * 1000, 2),
        "foreignShare": round(usage.foreign_share, 3),
        "quantilesMs": [round(percentile(ms, n / 100), 2) for n in range(101)],
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    ms = sorted(each * 1000 for each in seconds)
    return {name: round(percentile(ms, share), 2) for name, share in _PERCENTILES.items()}
