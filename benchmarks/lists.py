"""What lists, counts and one saga cost where a million sagas are at rest and ten thousand open.

The sagas are a skewed mix: some types, statuses, steps and errors are nearly all of them, others a
handful. Each list is asked for its first page and, where more follow, for one deep in the past.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import Connection

from benchmarks.latency import percentile
from benchmarks.servers import Servers
from saga.counts import count_sagas
from saga.filter import Filter, cursor_after
from saga.lists import list_sagas
from saga.registry import Registry
from saga.views import show
from workflows import refund

BUDGET_MS = 10.0
EVENTS = 5_000
_WARM_UP = 5

_AT_REST = """
INSERT INTO saga_state (
    saga_id, saga_type, definition_version, current_step, step_index, state, status, error_message,
    stop_reason, max_retries, version, dispatches, business_key, holds_key, timeout_at, started_at,
    completed_at, created_at, updated_at)
SELECT gen_random_uuid(), type, 1, type || '.' || step, 3,
       jsonb_build_object('payment_id', n, 'amount_minor', 10000, 'reason', 'a benchmark'),
       status, error,
       CASE status WHEN 'COMPENSATED' THEN 'refused' WHEN 'TIMEOUT' THEN 'timeout' END,
       3, 6, 1, 'payment:' || n, false, t, t, t, t, t
FROM generate_series(1, %(rows)s) AS n,
     LATERAL (SELECT
         now() - make_interval(secs => n / 10.0) AS t,
         CASE WHEN n %% 1000 = 3 THEN 'device_creation' WHEN n %% 10 = 1 THEN 'app_upload'
              ELSE 'payment_refund' END AS type,
         CASE WHEN n %% 20 = 0 THEN 'COMPENSATED' WHEN n %% 100 = 7 THEN 'TIMEOUT'
              ELSE 'COMPLETED' END AS status,
         CASE WHEN n %% 20 = 0 THEN 'set_refunding_status' WHEN n = 3333 THEN 'old_step'
              ELSE 'update_order_status' END AS step,
         CASE WHEN n %% 5000 = 0 THEN 'QuotaExceeded: no more'
              WHEN n %% 20 = 0 THEN 'Refused: the payment is not there'
              WHEN n %% 100 = 7 THEN 'TimeoutError: read timed out' END AS error) AS mixed"""

_OPEN = """
INSERT INTO saga_state (
    saga_id, saga_type, definition_version, current_step, step_index, state, status, error_message,
    retry_count, stop_reason, failed_from, paused, paused_at, max_retries, dispatches, wake_at,
    business_key, timeout_at, started_at, created_at, updated_at)
SELECT gen_random_uuid(), 'payment_refund', 1, 'payment_refund.' || (ARRAY[
           'set_refunding_status', 'call_provider_refund', 'update_payment_status',
           'update_order_status'])[1 + n %% 4],
       n %% 4, jsonb_build_object('payment_id', n), status,
       CASE status WHEN 'FAILED' THEN 'find out what happened (last error: Refused: not today)'
                   WHEN 'COMPENSATING' THEN 'Refused: the payment is not there'
                   ELSE CASE WHEN n %% 4 = 1 THEN 'HTTPStatusError: 503 try later' END END,
       CASE WHEN n %% 400 = 1 THEN 3 WHEN n %% 4 = 1 THEN 1 ELSE 0 END,
       CASE status WHEN 'COMPENSATING' THEN 'refused' END,
       CASE status WHEN 'FAILED' THEN 'RUNNING' END,
       CASE WHEN status = 'RUNNING' AND n %% 50 = 2 THEN 'type' END,
       CASE WHEN status = 'RUNNING' AND n %% 50 = 2 THEN now() END,
       3, 1, CASE WHEN status <> 'FAILED' THEN now() + interval '1 day' END,
       'open:' || n, now() + interval '5 minutes', t, t, t
FROM generate_series(1, %(rows)s) AS n,
     LATERAL (SELECT CASE WHEN n %% 300 = 0 THEN 'FAILED' WHEN n %% 100 = 5 THEN 'COMPENSATING'
                          ELSE 'RUNNING' END AS status) AS mixed,
     LATERAL (SELECT now() - make_interval(
         secs => CASE status WHEN 'FAILED' THEN n * 10.0 ELSE n / 100.0 END) AS t) AS times"""

_EVENTS = """
INSERT INTO saga_event (saga_id, seq, at, kind, step, attempt, epoch, task_id, worker, detail)
SELECT saga_id, n, now(), CASE WHEN n %% 2 = 0 THEN 'attempt_started' ELSE 'accepted' END,
       'payment_refund.call_provider_refund', 1, 1, gen_random_uuid()::text, 'worker@here',
       '{"task": "payment_refund.call_provider_refund"}'
FROM saga_state, generate_series(1, %(events)s) AS n WHERE business_key = 'open:1'"""

_LONG = "UPDATE saga_state SET version = %(events)s WHERE business_key = 'open:1'"

_REFUND, _STEP = "payment_refund", "payment_refund.update_order_status"
_RETRIES = {"retries": 1}

_LISTS: dict[str, dict[str, Any]] = {
    "all": {},
    "type, nearly all": {"type": _REFUND},
    "type, few": {"type": "device_creation"},
    "type, none": {"type": "nothing"},
    "status COMPLETED": {"status": "COMPLETED"},
    "status TIMEOUT": {"status": "TIMEOUT"},
    "status FAILED": {"status": "FAILED"},
    "open": {"status": "RUNNING,COMPENSATING,FAILED"},
    "step, nearly all": {"step": _STEP},
    "step, one": {"step": "app_upload.old_step"},
    "step, none": {"step": "nothing"},
    "type and status, nearly all": {"type": _REFUND, "status": "COMPLETED"},
    "type and status, few": {"type": _REFUND, "status": "FAILED"},
    "type and status, none": {"type": "device_creation", "status": "FAILED"},
    "type, status and step, nearly all": {"type": _REFUND, "status": "COMPLETED", "step": _STEP},
    "type, status and step, few": {"type": _REFUND, "status": "RUNNING", "step": _STEP},
    "type, status and step, none": {"type": _REFUND, "status": "TIMEOUT", "step": "nothing"},
    "key, at rest": {"key": "payment:777"},
    "key, open": {"key": "open:7"},
    "key, none": {"key": "nothing"},
    "error, many": {"error": "Refused"},
    "error, few": {"error": "QuotaExceeded"},
    "error, none": {"error": "Nothing"},
    "error and status, many": {"error": "Refused", "status": "COMPENSATED"},
    "error and status, few": {"error": "Refused", "status": "FAILED"},
    "retrying once": _RETRIES,
    "retrying 3 times": {"retries": 3},
    "retrying 9 times, none": {"retries": 9},
    "retrying, type and status": {**_RETRIES, "type": _REFUND, "status": "COMPENSATING"},
    "retrying and error": {**_RETRIES, "error": "HTTPStatusError"},
    "paused": {"paused": True},
    "older than an hour": {"older_than": timedelta(hours=1)},
    "older than a minute, RUNNING": {"older_than": timedelta(minutes=1), "status": "RUNNING"},
    "text, many": {"q": "try later"},
    "text, few": {"q": "not today"},
    "text, none": {"q": "nothing like it"},
    "text, a key at rest": {"q": "payment:777"},
}


def measure_lists(servers: Servers, *, at_rest: int, opened: int, times: int) -> dict[str, Any]:
    """Milliseconds that each question takes its caller: the median and 99 % of ``times``."""
    site = servers.site("lists")
    with site.database.begin() as connection:
        connection.exec_driver_sql(_AT_REST, {"rows": at_rest})
        connection.exec_driver_sql(_OPEN, {"rows": opened})
        connection.exec_driver_sql(_EVENTS, {"events": EVENTS})
        connection.exec_driver_sql(_LONG, {"events": EVENTS})
    with site.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE saga_state, saga_event")
    with site.database.connect() as connection:
        asked = _questions(connection, at_rest=at_rest)
        took = {name: _time(connection, ask, times) for name, ask in asked.items()}
    return {
        "restingRows": at_rest,
        "openRows": opened,
        "times": times,
        "budgetMs": BUDGET_MS,
        "worstP99Ms": max(each["p99Ms"] for each in took.values()),
        "questions": [{"question": name, **each} for name, each in took.items()],
    }


def _questions(connection: Connection, *, at_rest: int) -> dict[str, Callable[[], object]]:
    now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    middle = cursor_after(now - timedelta(seconds=at_rest / 20), 0)
    questions: dict[str, Callable[[], object]] = {}
    for name, given in _LISTS.items():
        first, deep = Filter(**given), Filter(**given, cursor=middle)
        questions[name] = partial(list_sagas, connection, first)
        if list_sagas(connection, first)["nextCursor"] is not None:
            questions[f"{name}; deep"] = partial(list_sagas, connection, deep)
    registry = Registry([refund])
    for name, key in (("one saga", "open:2"), (f"one saga of {EVENTS:,} events", "open:1")):
        [item] = list_sagas(connection, Filter(key=key))["items"]
        questions[name] = partial(show, connection, registry, item["sagaId"])
    questions["counts"] = partial(count_sagas, connection)
    return questions


def _time(connection: Connection, ask: Callable[[], object], times: int) -> dict[str, float]:
    took = []
    for _ in range(_WARM_UP + times):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
        connection.rollback()
    took = sorted(took[_WARM_UP:])
    return {
        "medianMs": round(median(took), 2),
        "p99Ms": round(percentile(took, 0.99), 2),
        "maxMs": round(took[-1], 2),
    }
