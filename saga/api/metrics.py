"""``GET /metrics``: what Prometheus asks for. Open to everybody, as health is: it names no saga.

Times of requests are this process's own; what is told of sagas is asked of the servers when
somebody asks us, and is the same wherever it is asked.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga.api.caller import route_of
from saga.counts import count_open, since_oldest_due, since_pulse
from saga.engine import Engine
from saga.followup import BrokerAway, Lane
from saga.recovery import PULSE

log = structlog.get_logger("saga")

PATH = "/metrics"

# A database that is frozen says nothing on its connections.
PATIENCE_SECONDS = 3.0

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Requests:
    """Counts this process's requests, by route and not by path: paths have ids."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._count = Counter(
            "saga_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "saga_http_request_duration_seconds",
            "From a request's arrival to the last byte of its answer; streams are left out.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def answered(self, scope: Scope, status: int, seconds: float, *, is_stream: bool) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = route_of(scope) or "none"
        self._count.labels(method, route, str(status)).inc()
        if not is_stream:
            self._seconds.labels(method, route).observe(seconds)


class Measured:
    """Tells ``requests`` of each one that passes, those that are refused too."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        # Of a request that nobody answers, as its client has gone.
        status, is_stream, seconds = 499, False, 0.0

        async def told(message: Message) -> None:
            nonlocal status, is_stream, seconds
            if message["type"] == "http.response.start":
                status = message["status"]
                kinds = (value for name, value in message["headers"] if name == b"content-type")
                is_stream = any(kind.startswith(b"text/event-stream") for kind in kinds)
            await send(message)
            seconds = time.perf_counter() - began

        try:
            await self._app(scope, receive, told)
        finally:
            self._requests.answered(scope, status, seconds, is_stream=is_stream)


@dataclass(eq=False)
class _Standing:
    """What a look at the servers found; None is not known."""

    database_up: bool = False
    broker_up: bool = False
    open: dict[tuple[str, str], int] = field(default_factory=dict)
    oldest_due: float | None = None
    last_scan: float | None = None
    waiting: dict[str, int] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        up = "1 when it answers."
        yield GaugeMetricFamily("saga_database_up", f"The database: {up}", self.database_up)
        yield GaugeMetricFamily("saga_broker_up", f"The broker: {up}", self.broker_up)
        sagas = GaugeMetricFamily(
            "saga_open_sagas", "Sagas that are not at rest.", labels=("saga_type", "status")
        )
        for labels, count in self.open.items():
            sagas.add_metric(labels, count)
        queues = GaugeMetricFamily(
            "saga_queue_messages", "Messages that wait for a worker.", labels=("queue",)
        )
        for queue, count in self.waiting.items():
            queues.add_metric((queue,), count)
        yield from (sagas, queues)
        if self.oldest_due is not None:
            yield GaugeMetricFamily(
                "saga_oldest_due_seconds",
                "How long the saga whose time came first has waited for recovery; 0: none does.",
                self.oldest_due,
            )
        if self.last_scan is not None:
            yield GaugeMetricFamily(
                "saga_last_scan_seconds", "How long ago recovery ended a scan.", self.last_scan
            )


def router(engine: Engine, requests: Requests) -> APIRouter:
    """Metrics of this process, and of all sagas."""
    routes = APIRouter(tags=["health"])
    # One thread: looks that hang may not take the connections and threads that requests need.
    looking = ThreadPoolExecutor(1, "metrics")

    @routes.get(PATH, response_class=Response)
    async def metrics() -> Response:
        """All that Prometheus should know, in its text format; also while the database is away."""
        standing = _Standing()
        look = looking.submit(_look, standing, engine)
        try:
            await asyncio.wait_for(asyncio.wrap_future(look), PATIENCE_SECONDS)
        except TimeoutError:
            log.warning("servers not measured", why=f"no answer for {PATIENCE_SECONDS} s")
        servers = CollectorRegistry()
        servers.register(standing)
        body = generate_latest(servers) + generate_latest(requests.registry)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    return routes


def _look(standing: _Standing, engine: Engine) -> None:
    """Write down what is found, as it comes to light."""
    try:
        standing.waiting = {str(lane): engine.publisher.waiting(lane) for lane in Lane}
        standing.broker_up = True
    except BrokerAway:
        standing.waiting = {}
    try:
        with engine.database.connect() as connection:
            _ask(standing, connection)
    except SQLAlchemyError as error:
        log.warning("database not measured", why=type(error).__name__)


def _ask(standing: _Standing, connection: Connection) -> None:
    standing.open = count_open(connection)
    due = since_oldest_due(connection)
    standing.oldest_due = 0.0 if due is None else due.total_seconds()
    scan = since_pulse(connection, PULSE)
    standing.last_scan = None if scan is None else scan.total_seconds()
    standing.database_up = True
