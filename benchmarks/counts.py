"""What a refund costs in commits, messages and rows, counted by PostgreSQL and Redis themselves.

A flow's worker runs few refunds, and then many. PostgreSQL adds up what a connection did when it
ends, so before and after each run the worker's children are killed: others begin, with new
connections. The difference of the two runs is what refunds cost; what connections cost is in both.
Recovery and beat, which work by the clock and not by the refund, are not running.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

import psycopg2
import redis

from benchmarks.servers import Servers, Site, until
from benchmarks.throughput import Flow

_FEW = 3
_COMMANDS = ("lpush", "publish")


def count(flow: Flow, *, refunds: int) -> dict[str, float]:
    """Commits, messages, rows written and events published, per refund. Stops recovery."""
    flow.stop_recovery()
    with _no_autovacuum(flow.site.servers):
        few = _run(flow, _FEW)
        many = _run(flow, _FEW + refunds)
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


def _run(flow: Flow, refunds: int) -> Mapping[str, int]:
    site, worker = flow.site, flow.families["worker"]
    payments = site.payments(refunds)
    site.database.dispose()
    flow.thaw()
    worker.kill_children()
    _await_no_connection(site)
    before = _read(site)
    # Asking the database whether all is done would be counted too.
    log = site.servers.log(f"{site.name}-worker")
    ended = _ended(log.read_text()) + refunds
    flow.producer.ask(" ".join(each.id for each in payments))
    until(lambda: _ended(log.read_text()) >= ended, "all are refunded")
    worker.kill_children()
    _await_no_connection(site)
    after = _read(site)
    flow.freeze()
    return {name: after[name] - before[name] for name in before}


def _ended(log: str) -> int:
    """How many refunds the worker has ended, by its log."""
    return sum(
        "update_order_status[" in line and " succeeded in " in line for line in log.split("\n")
    )


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


def _await_no_connection(site: Site) -> None:
    url = site.servers.postgres.url_of("postgres")
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"

    def none_left() -> bool:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, (site.name,))
            return cursor.fetchone() == (0,)

    until(none_left, "all connections have ended")
