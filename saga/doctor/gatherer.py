"""Looks at a stack: the database, the broker, the workers, and Celery's settings."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery
from kombu.utils.url import maybe_sanitize_url
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from saga import counts, queries, schema
from saga.application import SagaApp
from saga.doctor.facts import CeleryFacts, DatabaseFacts, Facts, TaskFacts, WorkerFacts
from saga.engine import Engine
from saga.followup import BrokerAway, Lane
from saga.recovery import PULSE
from saga.views import iso

_ANSWER_WITHIN = timedelta(seconds=1)
_STUCK_AFTER = timedelta(minutes=1)
_MOST_COUNTED = 1_000
_SINCE_PAUSES = 2  # the version of the engine's tables that brought them
# Transports whose messages are given to another worker after a while; Celery's default for them.
_VISIBILITY = {"redis": timedelta(hours=1), "rediss": timedelta(hours=1), "sqs": timedelta(hours=1)}


def gather(app: SagaApp) -> Facts:
    """Look at everything once; what cannot be reached is told, not raised."""
    database, database_error = _database(app)
    waiting, broker_error = _waiting(app.engine)
    workers = () if broker_error else _workers(app.celery)
    return Facts(
        celery=_celery(app),
        scan=app.engine.timing.scan,
        database=database,
        database_error=database_error,
        broker_error=broker_error,
        waiting=waiting,
        workers=workers,
    )


def _database(app: SagaApp) -> tuple[DatabaseFacts | None, str]:
    try:
        with app.engine.database.connect() as connection:
            return _look(connection, app), ""
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip()
        return None, said.partition("\n")[0]


def _look(connection: Connection, app: SagaApp) -> DatabaseFacts:
    version, number, now = connection.exec_driver_sql(
        "SELECT current_setting('server_version'), "
        "current_setting('server_version_num')::int, clock_timestamp()"
    ).one()
    ours = datetime.now(UTC)
    standing = schema.version(connection)
    facts: dict[str, Any] = {}
    if standing:
        facts = {
            "last_scan": counts.since_pulse(connection, PULSE),
            "failed": counts.count_failed(connection),
            "unknown": counts.count_unknown(connection),
            "paused": _paused(connection) if standing >= _SINCE_PAUSES else (),
            "stuck": len(queries.due_since(connection, since=_STUCK_AFTER, most=_MOST_COUNTED)),
        }
    return DatabaseFacts(
        version=version,
        version_number=number,
        clock_ahead=now - ours,
        schema=standing,
        pending_migrations=tuple(app.pending_migrations(connection)),
        **facts,
    )


def _paused(connection: Connection) -> tuple[str, ...]:
    return tuple(
        f"{pause.step or pause.saga_type}, since {iso(pause.at)[:19]}Z by {pause.actor}: "
        f"{pause.reason}"
        for pause in queries.active_pauses(connection)
    )


def _waiting(engine: Engine) -> tuple[Mapping[str, int], str]:
    try:
        return {lane.value: engine.publisher.waiting(lane) for lane in Lane}, ""
    except BrokerAway as away:
        return {}, f"the broker does not answer: {away}"


def _workers(celery: Celery) -> tuple[WorkerFacts, ...]:
    """Ask all workers; a moment is enough for those that live."""
    stats, queues = _ask(celery, "stats"), _ask(celery, "active_queues")
    return tuple(
        WorkerFacts(
            name=name,
            pool=_pool(told),
            queues=frozenset(queue["name"] for queue in queues.get(name, ())),
            prefetch=told.get("prefetch_count", 0) / max(1, _processes(told)),
        )
        for name, told in sorted(stats.items())
    )


def _ask(celery: Celery, question: str) -> dict[str, Any]:
    with celery.connection_for_write() as connection:
        replies = celery.control.broadcast(
            question, reply=True, timeout=_ANSWER_WITHIN.total_seconds(), connection=connection
        )
    return {name: told for reply in replies or () for name, told in reply.items()}


def _pool(told: Mapping[str, Any]) -> str:
    """``celery.concurrency.prefork:TaskPool`` is the prefork pool."""
    implementation = str(told.get("pool", {}).get("implementation", "unknown"))
    return implementation.partition(":")[0].rpartition(".")[2]


def _processes(told: Mapping[str, Any]) -> int:
    return int(told.get("pool", {}).get("max-concurrency", 1))


def _celery(app: SagaApp) -> CeleryFacts:
    conf = app.celery.conf
    transport = str(conf.broker_url or "").partition(":")[0].partition("+")[0]
    return CeleryFacts(
        transport=transport,
        acks_late=bool(conf.task_acks_late),
        reject_on_worker_lost=bool(conf.task_reject_on_worker_lost),
        cancels_on_connection_loss=bool(conf.worker_cancel_long_running_tasks_on_connection_loss),
        always_eager=bool(conf.task_always_eager),
        ignores_results=bool(conf.task_ignore_result),
        result_backend=_backend(conf.result_backend),
        prefetch_multiplier=int(conf.worker_prefetch_multiplier),
        visibility_timeout=_visibility(transport, conf.broker_transport_options or {}),
        tasks=_tasks(app),
    )


def _backend(url: Any) -> str | None:
    if not url or str(url).startswith("disabled"):
        return None
    return str(maybe_sanitize_url(str(url)))


def _visibility(transport: str, options: Mapping[str, Any]) -> timedelta | None:
    if transport not in _VISIBILITY:
        return None
    given = options.get("visibility_timeout")
    return _VISIBILITY[transport] if given is None else timedelta(seconds=float(given))


def _tasks(app: SagaApp) -> tuple[TaskFacts, ...]:
    app.celery.finalize()
    known = app.celery.tasks
    steps = [known[name] for name in app.engine.registry.places if name in known]
    return tuple(
        TaskFacts(
            name=task.name,
            acks_late=bool(task.acks_late),
            reject_on_worker_lost=bool(task.reject_on_worker_lost),
            hard_limit=_limit(task.time_limit or app.celery.conf.task_time_limit),
        )
        for task in steps
    )


def _limit(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
