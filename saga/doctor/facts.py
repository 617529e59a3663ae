"""What a stack was seen to be: facts to judge, gathered by ``saga.doctor.gatherer``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """``clock_ahead`` is how far the database's clock is ahead of ours; negative: behind.

    ``schema`` is the version of the engine's tables, 0 for none. What is counted is None where
    there are no tables. ``last_scan`` is how long ago recovery ran; None: never. ``paused`` are the
    types and steps that are paused, each with who did it, when and why.
    """

    version: str
    version_number: int
    clock_ahead: timedelta
    schema: int
    pending_migrations: tuple[str, ...] = ()
    last_scan: timedelta | None = None
    failed: int = 0
    unknown: int = 0
    stuck: int = 0
    paused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """A worker that answered. ``pool`` is prefork, threads, solo, …; ``prefetch`` per process."""

    name: str
    pool: str
    queues: frozenset[str]
    prefetch: float


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """How Celery will run a step. ``hard_limit`` None: it may run for ever."""

    name: str
    acks_late: bool
    reject_on_worker_lost: bool
    hard_limit: timedelta | None


@dataclass(frozen=True, kw_only=True)
class CeleryFacts:
    """Celery's settings that the promise rests on. ``visibility_timeout`` None: there is none."""

    transport: str
    acks_late: bool
    reject_on_worker_lost: bool
    cancels_on_connection_loss: bool
    always_eager: bool
    ignores_results: bool
    result_backend: str | None
    prefetch_multiplier: int
    visibility_timeout: timedelta | None
    tasks: tuple[TaskFacts, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that was seen. ``database_error`` and ``broker_error`` say why one was not reached."""

    celery: CeleryFacts
    scan: timedelta
    database: DatabaseFacts | None = None
    database_error: str = ""
    broker_error: str = ""
    waiting: Mapping[str, int] = field(default_factory=dict)
    workers: tuple[WorkerFacts, ...] = ()
