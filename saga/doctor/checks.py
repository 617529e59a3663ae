"""What is well and what is not in a stack: pure judgements over facts, each with what to do."""

from collections.abc import Iterator
from datetime import timedelta

from saga import schema
from saga.doctor.facts import DatabaseFacts, Facts, WorkerFacts
from saga.doctor.finding import Finding
from saga.followup import Lane
from saga.worker import RECOVERY_QUEUE

OLDEST_POSTGRESQL = 140_000
_CLOCKS_DIFFER = timedelta(seconds=5)
_STALE_SCANS = 5
_POOLS_WITHOUT_LIMITS = frozenset({"solo", "threads", "thread", "eventlet", "gevent"})


def examine(facts: Facts) -> Iterator[Finding]:
    """Judge everything that was seen, the foundations first."""
    if facts.database is None:
        yield Finding.bad(
            "database",
            facts.database_error,
            "start PostgreSQL, or correct DATABASE_URL; for a bundled one: saga up",
        )
    else:
        yield from _database(facts.database)
        yield from _recovery(facts.database, facts.scan)
        yield from _sagas(facts.database)
    yield from _broker(facts)
    if not facts.broker_error:
        yield from _workers(facts)


def _database(seen: DatabaseFacts) -> Iterator[Finding]:
    if seen.version_number < OLDEST_POSTGRESQL:
        yield Finding.bad(
            "database", f"PostgreSQL {seen.version} is too old", "use PostgreSQL 14 or newer"
        )
    else:
        yield Finding.ok("database", f"PostgreSQL {seen.version} answers")
    apart = abs(seen.clock_ahead)
    detail = f"the database's clock and ours differ by {apart.total_seconds():.1f} s"
    if apart > _CLOCKS_DIFFER:
        yield Finding.warn("clock", detail, "synchronise the clocks of all hosts (NTP)")
    else:
        yield Finding.ok("clock", detail)
    yield _migrations(seen)


def _migrations(seen: DatabaseFacts) -> Finding:
    tables = f"the engine's tables are version {seen.schema}"
    if seen.schema < schema.LATEST:
        return Finding.bad(
            "migrations", f"{tables}, this release needs {schema.LATEST}", "run: saga migrate"
        )
    if seen.pending_migrations:
        named = ", ".join(seen.pending_migrations)
        return Finding.bad("migrations", f"not applied yet: {named}", "run: saga migrate")
    if seen.schema > schema.LATEST:
        return Finding.warn(
            "migrations",
            f"{tables}, newer than this release's {schema.LATEST}",
            "finish the upgrade: this process is of an older release",
        )
    return Finding.ok("migrations", f"{tables}, nothing is left to apply")


def _recovery(seen: DatabaseFacts, scan: timedelta) -> Iterator[Finding]:
    if seen.schema == 0:
        return
    advice = "start beat, and a worker that consumes saga.recovery: sagas cut off wait for them"
    if seen.last_scan is None:
        yield Finding.bad("recovery", "recovery has never run", advice)
        return
    detail = f"recovery ran {seen.last_scan.total_seconds():.1f} s ago"
    if seen.last_scan > scan * _STALE_SCANS:
        every = f"it should run every {scan.total_seconds():g} s"
        yield Finding.bad("recovery", f"{detail}; {every}", advice)
    else:
        yield Finding.ok("recovery", detail)


def _sagas(seen: DatabaseFacts) -> Iterator[Finding]:
    if seen.schema == 0:
        return
    if seen.stuck:
        yield Finding.bad(
            "stuck sagas",
            f"{seen.stuck} sagas have been due for more than a minute",
            "is recovery running? does a transaction keep their rows locked? see pg_stat_activity",
        )
    if seen.unknown:
        yield Finding.warn(
            "unknown sagas",
            f"{seen.unknown} sagas are of a type, version or step that no worker knows",
            "deploy their definitions within the hour; then they become FAILED",
        )
    if seen.failed:
        yield Finding.warn(
            "failed sagas",
            f"{seen.failed} sagas wait for a person",
            "see them: saga list --status FAILED, and saga why ID for each",
        )
    for pause in seen.paused:
        yield Finding.warn(
            "paused",
            pause,
            "nothing is begun there: end it by saga resume --type, with --step where it is one",
        )
    if not (seen.stuck or seen.unknown or seen.failed):
        yield Finding.ok("sagas", "none is stuck, unknown or FAILED")


def _broker(facts: Facts) -> Iterator[Finding]:
    if facts.broker_error:
        yield Finding.bad(
            "broker",
            facts.broker_error,
            "start the broker, or correct CELERY_BROKER_URL; sagas that are started meanwhile wait",
        )
        return
    waiting = ", ".join(f"{count} in {queue}" for queue, count in facts.waiting.items() if count)
    transport = facts.celery.transport
    yield Finding.ok("broker", f"{transport} answers; messages waiting: {waiting or 'none'}")


def _workers(facts: Facts) -> Iterator[Finding]:
    if not facts.workers:
        yield Finding.bad(
            "workers", "no worker answers", "start workers: celery -A … worker, or saga up"
        )
        return
    names = ", ".join(sorted(worker.name for worker in facts.workers))
    yield Finding.ok("workers", f"{len(facts.workers)} answer: {names}")
    consumed = {queue for worker in facts.workers for queue in worker.queues}
    missing = [queue for queue in (*Lane, RECOVERY_QUEUE) if queue not in consumed]
    if missing:
        queues = ", ".join(missing)
        yield Finding.bad(
            "lanes",
            f"nobody consumes {queues}",
            f"start a worker with --queues={','.join(missing)}",
        )
    else:
        yield Finding.ok("lanes", "every lane and saga.recovery is consumed")
        yield from _recovery_worker(facts)
    for worker in facts.workers:
        yield from _worker(worker)


def _recovery_worker(facts: Facts) -> Iterator[Finding]:
    alone = any(worker.queues == {RECOVERY_QUEUE} for worker in facts.workers)
    if not alone:
        yield Finding.warn(
            "recovery worker",
            "no worker serves saga.recovery alone: recovery waits while all others are busy",
            f"start a small one: --queues={RECOVERY_QUEUE} --concurrency=1",
        )


def _worker(worker: WorkerFacts) -> Iterator[Finding]:
    if worker.pool in _POOLS_WITHOUT_LIMITS:
        yield Finding.bad(
            f"pool of {worker.name}",
            f"the {worker.pool} pool ignores time limits: a call that hangs is never cut off",
            "start it with --pool=prefork",
        )
    if worker.prefetch > 1 and worker.queues != {RECOVERY_QUEUE}:
        yield Finding.warn(
            f"prefetch of {worker.name}",
            f"it takes {worker.prefetch:g} messages for each process: they wait behind slow steps",
            "set worker_prefetch_multiplier = 1, unless all steps are short",
        )
