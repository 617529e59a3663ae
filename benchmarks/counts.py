"""What a refund costs in commits, messages and rows, counted by PostgreSQL and Redis themselves.

Two runs in a database of their own, one with few refunds and one with many, each by a worker that
is started and stopped: PostgreSQL adds up what a connection did when it ends at the latest. The
difference is what refunds cost; what a worker costs that starts and stops is in both. Recovery and
beat, which work by the clock and not by the refund, are not running.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

import psycopg2
import redis

from benchmarks.servers import Servers, Site, until
from benchmarks.throughput import LANES, PLAIN

_FEW = 3


def count(servers: Servers, flow: str, *, refunds: int) -> dict[str, float]:
    """Commits, messages, rows written and events published, per refund."""
    site = servers.site(f"counts_{flow}")
    with _no_autovacuum(servers):
        few = _run(site, flow, _FEW)
        many = _run(site, flow, _FEW + refunds)
    return {name: round((many[name] - few[name]) / refunds, 3) for name in few}


@contextmanager
def _no_autovacuum(servers: Servers) -> Iterator[None]:
    """Keep PostgreSQL from work of its own, which it counts with the rest."""
    with closing(psycopg2.connect(servers.postgres.url_of("postgres"))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("ALTER SYSTEM SET autovacuum = off")
        cursor.execute("SELECT pg_reload_conf()")
        yield
        cursor.execute("ALTER SYSTEM RESET autovacuum")
        cursor.execute("SELECT pg_reload_conf()")


def _run(site: Site, flow: str, refunds: int) -> Mapping[str, int]:
    payments = site.payments(refunds)
    site.database.dispose()
    before = _read(site)
    app, queues = ("benchmarks.plain", "plain") if flow == PLAIN else ("app", LANES)
    name = f"worker{refunds}"
    worker = site.start_worker(name, app=app, queues=queues, concurrency=1)
    producer = site.producer(flow)
    site.await_worker(name)
    producer.ask(" ".join(each.id for each in payments))
    # Asking the database whether all is done would be counted too.
    log = site.servers.log(f"{site.name}-{name}")
    until(lambda: log.read_text().count("update_order_status[") >= refunds * 2, "all are refunded")
    producer.stop()
    worker.stop()
    _await_no_connection(site)
    after = _read(site)
    return {name: after[name] - before[name] for name in before}


def _read(site: Site) -> dict[str, int]:
    """The servers' counters, asked from another database so as not to be counted."""
    url = site.servers.postgres.url_of("postgres")
    sql = (
        "SELECT xact_commit, tup_inserted + tup_updated + tup_deleted "
        "FROM pg_stat_database WHERE datname = %s"
    )
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, (site.name,))
        found = cursor.fetchone()
    assert found is not None, "the site's database is there"
    with redis.Redis.from_url(site.servers.redis.url) as client:
        commands = client.info("commandstats")
    calls = {name: commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in _COMMANDS}
    return {
        "commits": int(found[0]),
        "rowsWritten": int(found[1]),
        "messages": int(calls["lpush"]),
        "eventsPublished": int(calls["publish"]),
    }


_COMMANDS = ("lpush", "publish")


def _await_no_connection(site: Site) -> None:
    url = site.servers.postgres.url_of("postgres")
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"

    def none_left() -> bool:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, (site.name,))
            return cursor.fetchone() == (0,)

    until(none_left, "the worker's connections have ended")
