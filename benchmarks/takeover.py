"""How long a refund stands still whose worker is killed in the middle of the provider's call."""

import time
from statistics import median
from typing import Any

import httpx

from benchmarks.servers import until
from benchmarks.throughput import LANES, Flow

_STEP = "payment_refund.call_provider_refund"
_HANG_SECONDS = 60
# Heartbeats come every third of the lease, so kills must fall into every part of that.
_LATER_SECONDS = 1.1


def take_over(flow: Flow, *, trials: int) -> dict[str, Any]:
    """Kill -9 a worker with its children and wait for the step's next claim, ``trials`` times.

    All settings are the defaults; the flow's own worker, recovery and beat are running.
    """
    seconds = [_trial(flow, number) for number in range(trials)]
    return {"takeOverSeconds": round(median(seconds), 2), "trials": [round(s, 2) for s in seconds]}


def _trial(flow: Flow, number: int) -> float:
    site = flow.site
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
    # The flow's worker is frozen still, so that the first claim is the victim's.
    flow.producer.ask(payment.id)
    until(lambda: _claims(flow, payment.id, 1), "the step is claimed")
    flow.thaw()
    time.sleep(number * _LATER_SECONDS)
    [[killed]] = site.rows("SELECT clock_timestamp()")
    victim.kill()
    claims = until(lambda: _claims(flow, payment.id, 2), "the step is claimed again")
    until(lambda: _is_completed(flow, payment.id), "the refund is completed")
    flow.freeze()
    return float((claims[1] - killed).total_seconds())


def _claims(flow: Flow, payment: str, count: int) -> list[Any]:
    """When the payment's step was claimed; nothing until it was claimed so many times."""
    sql = (
        "SELECT e.at FROM saga_event e JOIN saga_state s USING (saga_id) "
        "WHERE s.business_key = :key AND e.kind = 'attempt_started' AND e.step = :step "
        "ORDER BY e.seq"
    )
    claims = [found.at for found in flow.site.rows(sql, key=f"payment:{payment}", step=_STEP)]
    return claims if len(claims) >= count else []


def _is_completed(flow: Flow, payment: str) -> bool:
    sql = "SELECT status FROM saga_state WHERE business_key = :key"
    return bool(flow.site.rows(sql, key=f"payment:{payment}")[0][0] == "COMPLETED")
