"""What recovery's question costs where a million sagas are finished and a thousand are due."""

import time
from statistics import median
from typing import Any

from benchmarks.servers import Servers, Site
from saga import queries
from saga.timing import Timing

DUE = 1_000
_TIMES = 200
_WARM_UP = 10

_FINISHED = """
INSERT INTO saga_state (
    saga_id, saga_type, definition_version, current_step, step_index, state, effects, status,
    max_retries, version, dispatches, business_key, holds_key, timeout_at, started_at,
    completed_at, created_at, updated_at)
SELECT gen_random_uuid(), 'payment_refund', 1, 'payment_refund.update_order_status', 3,
       jsonb_build_object('payment_id', n, 'amount_minor', 10000, 'reason', 'a benchmark'),
       '{"payment_refund.update_order_status": "done"}', 'COMPLETED', 3, 6, 1, 'payment:' || n,
       false, t, t, t, t, t
FROM generate_series(1, %(rows)s) AS n,
     LATERAL (SELECT now() - make_interval(secs => n / 10.0) AS t) AS times"""

_DUE = """
INSERT INTO saga_state (
    saga_id, saga_type, definition_version, current_step, step_index, state, status,
    max_retries, dispatches, wake_at, business_key, timeout_at, started_at, created_at, updated_at)
SELECT gen_random_uuid(), 'payment_refund', 1, 'payment_refund.set_refunding_status', 0,
       jsonb_build_object('payment_id', n), 'RUNNING', 3, 1,
       now() - make_interval(secs => n), 'open:' || n, now() + interval '5 minutes',
       now(), now(), now()
FROM generate_series(1, %(rows)s) AS n"""


def scan(servers: Servers, *, finished: int) -> dict[str, Any]:
    """Milliseconds that one scan takes its caller: the median of many, and the extremes."""
    site = servers.site("scan")
    _fill(site, finished)
    timing = Timing()
    took = []
    with site.database.connect() as connection:
        for _ in range(_WARM_UP + _TIMES):
            began = time.perf_counter()
            found = queries.due(connection, lease=timing.lease, most=timing.batch)
            took.append((time.perf_counter() - began) * 1000)
            connection.rollback()
            assert len(found) == timing.batch, "as many are due as a pass takes"
    took = took[_WARM_UP:]
    return {
        "scanMs": round(median(took), 3),
        "minMs": round(min(took), 3),
        "maxMs": round(max(took), 3),
        "finishedRows": finished,
        "dueRows": DUE,
        "taken": timing.batch,
    }


def _fill(site: Site, finished: int) -> None:
    with site.database.begin() as connection:
        connection.exec_driver_sql(_FINISHED, {"rows": finished})
        connection.exec_driver_sql(_DUE, {"rows": DUE})
    with site.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE saga_state")
