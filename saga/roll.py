"""Which workers answer now, asked through Celery without letting a page wait for it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

log = structlog.get_logger("saga")

# Nobody knows how many will answer, so that all of this time is waited. Who answered before and
# does not now, on a busy machine perhaps, is asked once more.
_ANSWERS_WITHIN = (timedelta(seconds=0.7), timedelta(seconds=2))
_PATIENCE = timedelta(seconds=1.2)
_KEEPS = timedelta(seconds=5)
# Until then an answer is told while a newer one is on its way.
_TELLS_FOR = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker that answers: its name, the queues it takes from, and what it has in hand."""

    name: str
    queues: tuple[str, ...]
    active: int


class Roll:
    """Calls the roll of the workers, one call at a time, in a thread of its own.

    ``clock`` gives seconds, of which only differences matter.
    """

    def __init__(self, celery: Celery, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._celery = celery
        self._clock = clock
        self._lock = threading.Lock()
        self._called: threading.Event | None = None
        self._answer: Sequence[Worker] | None = None
        self._answered_at: float | None = None
        self._known: frozenset[str] = frozenset()

    def workers(self) -> Sequence[Worker] | None:
        """The workers that answer, by name; None where nobody can say, for the broker is away.

        An answer is kept for some seconds. Waits 1.2 s at most: None, too, while none is there yet.
        """
        with self._lock:
            age = self._age()
            if age is None or age >= _KEEPS:
                called = self._called or self._call()
            if age is not None and age < _TELLS_FOR:
                return self._answer
        called.wait(_PATIENCE.total_seconds())
        with self._lock:
            age = self._age()
            return self._answer if age is not None and age < _TELLS_FOR else None

    def _age(self) -> timedelta | None:
        if self._answered_at is None:
            return None
        return timedelta(seconds=self._clock() - self._answered_at)

    def _call(self) -> threading.Event:
        self._called = called = threading.Event()
        _begin(lambda: self._run(called))
        return called

    def _run(self, called: threading.Event) -> None:
        answer: Sequence[Worker] | None = None
        try:
            answer = self._ask_all()
        finally:
            with self._lock:
                self._answer, self._answered_at = answer, self._clock()
                self._called = None
            called.set()

    def _ask_all(self) -> Sequence[Worker] | None:
        for wait in _ANSWERS_WITHIN:
            answer = self._ask_within(wait)
            if answer is None:
                return None
            names = frozenset(worker.name for worker in answer)
            if names and names >= self._known:
                break
        self._known = names
        return answer

    def _ask_within(self, wait: timedelta) -> Sequence[Worker] | None:
        asked = [self._ask(question, wait) for question in ("active_queues", "active")]
        queues, active = (answer.result() for answer in asked)
        if queues is None:
            return None
        return [
            Worker(
                name=name,
                queues=tuple(sorted(queue["name"] for queue in its or ())),
                active=len((active or {}).get(name) or ()),
            )
            for name, its in sorted(queues.items())
        ]

    def _ask(self, question: str, wait: timedelta) -> "Future[Mapping[str, Any] | None]":
        """What each worker answers; None where the broker is away."""
        answer: Future[Mapping[str, Any] | None] = Future()

        def ask() -> None:
            # It is there before the connection is closed: with Redis, that takes another second.
            try:
                with self._celery.connection_for_write() as connection:
                    answer.set_result(self._replies(connection, question, wait))
            except Exception as error:
                if answer.done():
                    raise
                answer.set_exception(error)

        _begin(ask)
        return answer

    def _replies(self, connection: Any, question: str, wait: timedelta) -> Mapping[str, Any] | None:
        seconds = wait.total_seconds()
        try:
            # Without it Celery would try for minutes.
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=seconds)
            replies = self._celery.control.broadcast(
                question, reply=True, timeout=seconds, connection=connection
            )
        except (OperationalError, *connection.recoverable_connection_errors) as error:
            log.info("nobody can say which workers answer", why=str(error))
            return None
        return {name: told for reply in replies or () for name, told in reply.items()}


def _begin(work: Callable[[], None]) -> None:
    """Do it beside: a process that ends does not wait for a broker that says nothing."""
    threading.Thread(target=work, name="saga-roll", daemon=True).start()
