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
    # Asking the database would be counted too.
    commits_after = _commits(world)

    assert _messages(world) - messages == MOST_MESSAGES * REFUNDS
    assert commits_after - commits <= MOST_COMMITS * REFUNDS + _UNCOUNTED
    assert world.statuses() == {"COMPLETED": REFUNDS + 2}


# The question of this test itself, its own count before, and the look at a new connection.
_UNCOUNTED = 3


def _stop_autovacuum(world: World) -> None:
    with world.database.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        alone.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
        alone.exec_driver_sql("SELECT pg_reload_conf()")


def _commits(world: World) -> int:
    """Commits of the database, as its statistics have them once its sessions are idle."""
    sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    world.database.dispose()
    # A session that falls idle within a second of its last report makes the next one after ten.
    time.sleep(11)
    return int(world.rows(sql)[0][0])


def _messages(world: World) -> int:
    stats = redis.Redis.from_url(world.redis.url).info("commandstats")
    return int(stats["cmdstat_lpush"]["calls"])
