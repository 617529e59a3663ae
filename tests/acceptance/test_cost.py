"""What a refund costs, counted by PostgreSQL and by Redis themselves."""

import time
from collections.abc import Callable

import redis

from tests.acceptance.world import World

REFUNDS = 20
MOST_COMMITS = 6
MOST_MESSAGES = 4


def test_a_refund_takes_at_most_6_commits_and_4_messages(make_world: Callable[..., World]) -> None:
    # On a slow machine a heartbeat would commit while a call runs, and autovacuum when it likes.
    world = make_world(own_postgres=True, settings={"SAGA_LEASE_SECONDS": "60"})
    _stop_autovacuum(world)
    world.refund(*world.payments(2))
    world.until_all_rest()
    # Whatever else commits or publishes must be silent while we count.
    world.stop("beat")
    world.stop("recovery")
    payments = world.payments(REFUNDS)
    commits, messages = _commits(world), _messages(world)

    world.refund(*payments)
    time.sleep(5)  # asking the database would be counted too

    assert _messages(world) - messages == MOST_MESSAGES * REFUNDS
    assert _commits(world) - commits <= MOST_COMMITS * REFUNDS + _UNCOUNTED
    assert world.statuses() == {"COMPLETED": REFUNDS + 2}


# Two questions of this test's own, and the producer's look at each new connection.
_UNCOUNTED = 3


def _stop_autovacuum(world: World) -> None:
    with world.database.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        alone.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
        alone.exec_driver_sql("SELECT pg_reload_conf()")


def _commits(world: World) -> int:
    """Commits of the database, as its statistics have them once its sessions are idle."""
    before = -1
    sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    world.database.dispose()
    time.sleep(1.5)
    while (now := int(world.rows(sql)[0][0])) > before + 1:
        before = now
        time.sleep(1.5)
    return now


def _messages(world: World) -> int:
    stats = redis.Redis.from_url(world.redis.url).info("commandstats")
    return int(stats["cmdstat_lpush"]["calls"])
