"""How long a refund stands still whose worker is killed in the middle of the provider's call."""

import time
from statistics import median
from typing import Any

import httpx

from benchmarks.servers import Servers, Site, Speaker, until
from benchmarks.throughput import CHAINED, LANES

_STEP = "payment_refund.call_provider_refund"
_HANG_SECONDS = 60
# Heartbeats come every third of the lease, so kills must fall into every part of that.
_LATER_SECONDS = 1.1


def take_over(servers: Servers, *, trials: int) -> dict[str, Any]:
    """Kill -9 a worker with its children and wait for the step's next claim, ``trials`` times.

    All settings are the defaults; another worker, recovery and beat are running.
    """
    site = servers.site("takeover")
    site.start_worker("recovery", app="app", queues="saga.recovery", concurrency=1)
    site.start_beat()
    site.await_worker("recovery")
    producer = site.producer(CHAINED)
    seconds = [_trial(site, producer, number) for number in range(trials)]
    return {"takeOverSeconds": round(median(seconds), 2), "trials": [round(s, 2) for s in seconds]}


def _trial(site: Site, producer: Speaker, number: int) -> float:
    name = f"victim{number}"
    victim = site.start_worker(name, app="app", queues=LANES, concurrency=1)
    site.await_worker(name)
    [payment] = site.payments(1)
    fault = {
        "operation": "refund",
        "kind": "hang",
        "seconds": _HANG_SECONDS,
        "paymentNo": payment.payment_no,
    }
    control = f"{site.servers.sandbox_url}/control/faults"
    httpx.post(control, json=fault, trust_env=False).raise_for_status()
    producer.ask(payment.id)
    until(lambda: len(_claims(site, number)) == 1, "the step is claimed")
    # Only now, so that the first claim is the victim's.
    other = f"heir{number}"
    heir = site.start_worker(other, app="app", queues=LANES, concurrency=1)
    site.await_worker(other)
    time.sleep(number * _LATER_SECONDS)
    [[killed]] = site.rows("SELECT clock_timestamp()")
    victim.kill()
    claims = until(lambda: _two(site, number), "the step is claimed again")
    until(lambda: _is_completed(site, number), "the refund is completed")
    heir.stop()
    return float((claims[1] - killed).total_seconds())


def _claims(site: Site, number: int) -> list[Any]:
    """When the step of the saga that began as the ``number``-th was claimed."""
    sql = (
        "SELECT e.at FROM saga_event e WHERE e.kind = 'attempt_started' AND e.step = :step "
        "AND e.saga_id = (SELECT saga_id FROM saga_state ORDER BY id OFFSET :number LIMIT 1) "
        "ORDER BY e.seq"
    )
    return [found.at for found in site.rows(sql, step=_STEP, number=number)]


def _two(site: Site, number: int) -> list[Any]:
    claims = _claims(site, number)
    return claims if len(claims) > 1 else []


def _is_completed(site: Site, number: int) -> bool:
    sql = "SELECT status FROM saga_state ORDER BY id OFFSET :number LIMIT 1"
    return bool(site.rows(sql, number=number)[0][0] == "COMPLETED")
