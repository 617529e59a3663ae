"""How long a producer waits for a start, at a steady rate of starts and with no worker running."""

import math
from typing import Any

from benchmarks.machine import Watch
from benchmarks.servers import AMOUNT_MINOR, Servers
from models import PaymentView, RefundState

RATE = 100
_WARM_UP = 20


def start_latency(servers: Servers, *, seconds: int) -> dict[str, Any]:
    """Percentiles of ``Engine.start`` with its commit and the publishing, in milliseconds."""
    site = servers.site("starts")
    payments = site.payments(RATE * seconds + _WARM_UP)
    watch = Watch(servers.families)
    states = "\n".join(_state(each) for each in payments)
    took = site.run("benchmarks.starts", str(RATE), str(_WARM_UP), given=states)
    usage = watch.read()
    latencies = sorted(latency * 1000 for latency in took["latencies"])
    return {
        "p50Ms": round(percentile(latencies, 0.50), 2),
        "p99Ms": round(percentile(latencies, 0.99), 2),
        "p999Ms": round(percentile(latencies, 0.999), 2),
        "maxMs": round(latencies[-1], 2),
        "offeredPerSecond": RATE,
        "startedPerSecond": round(len(latencies) / took["seconds"], 2),
        "cpuMsPerStart": round(took["cpuSeconds"] / len(latencies) * 1000, 2),
        "foreignShare": round(usage.foreign_share, 3),
        "quantilesMs": [round(percentile(latencies, n / 100), 2) for n in range(101)],
    }


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of all are not above."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def _state(payment: PaymentView) -> str:
    return RefundState(
        payment_id=payment.id,
        payment_no=payment.payment_no,
        order_id=payment.order_id,
        user_id=payment.user_id,
        method=payment.method,
        currency=payment.currency,
        payment_minor=AMOUNT_MINOR,
        amount_minor=AMOUNT_MINOR,
        reason="a benchmark",
    ).model_dump_json()
