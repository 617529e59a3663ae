"""Refunds per second and CPU seconds per 1,000, of sagas and of plain chains, taking turns.

Refunds are started while the workers are frozen. Time runs from the moment these are let go to the
commit of the last refund's last step, by the database's clock: what is measured is what workers
can do, at the same backlog. Whose turn it is not is frozen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import redis

from benchmarks.family import Family
from benchmarks.machine import Usage, Watch
from benchmarks.servers import BenchmarkError, Servers, Site, until

LANES = "saga.compensation,saga.continuing,saga.new"
CONCURRENCY = 2

PLAIN, CHAINED = "plain", "chained"


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One backlog of refunds, worked off."""

    refunds: int
    seconds: float
    usage: Usage
    producer: Mapping[str, float]
    messages: int

    @property
    def per_second(self) -> float:
        return self.refunds / self.seconds

    def cpu_per_1000(self, family: str) -> float:
        return self.usage.cpu_seconds[family] / self.refunds * 1000

    def as_json(self) -> dict[str, Any]:
        per_1000 = {name: round(self.cpu_per_1000(name), 3) for name in self.usage.cpu_seconds}
        producer = self.producer["cpuSeconds"] / self.refunds * 1000
        return {
            "refunds": self.refunds,
            "seconds": round(self.seconds, 3),
            "perSecond": round(self.per_second, 2),
            "cpuSecondsPer1000": per_1000 | {"producer": round(producer, 3)},
            "messagesPerRefund": round(self.messages / self.refunds, 2),
            "foreignShare": round(self.usage.foreign_share, 3),
            "loadAverage": round(self.usage.load_average, 2),
        }


class Flow:
    """One way to run refunds, with processes of its own that are frozen between its turns."""

    def __init__(self, servers: Servers, name: str) -> None:
        self.name = name
        self.site: Site = servers.site(name)
        app, queues = ("benchmarks.plain", "plain") if name == PLAIN else ("app", LANES)
        start = self.site.start_worker
        self.families: dict[str, Family] = {
            "worker": start("worker", app=app, queues=queues, concurrency=CONCURRENCY)
        }
        self.producer = self.site.producer(name)
        if name == CHAINED:
            self.families |= {
                "recovery": start("recovery", app=app, queues="saga.recovery", concurrency=1),
                "beat": self.site.start_beat(),
            }

    def await_ready(self) -> None:
        for name in self.families.keys() - {"beat"}:
            self.site.await_worker(name)
        self.freeze()

    def run(self, refunds: int) -> Repetition:
        """Work a backlog off. Raises BenchmarkError when a refund does not come out right."""
        payments = self.site.payments(refunds)
        ids = [payment.id for payment in payments]
        orders = [payment.order_id for payment in payments]
        messages = self._messages()
        producer = self.producer.ask(" ".join(ids))
        watch = Watch(self.site.servers.families | self.families)
        [[began]] = self.site.rows("SELECT clock_timestamp()")
        self.thaw()
        until(lambda: self._refunded(orders) == refunds, f"{self.name} refunds all", pause=0.1)
        usage = watch.read()
        self.freeze()
        sql = "SELECT max(refunded_at) FROM orders WHERE id = ANY(:orders)"
        [[ended]] = self.site.rows(sql, orders=orders)
        self._audit(ids)
        return Repetition(
            refunds=refunds,
            seconds=(ended - began).total_seconds(),
            usage=usage,
            producer=producer,
            messages=self._messages() - messages,
        )

    def _messages(self) -> int:
        with redis.Redis.from_url(self.site.servers.redis.url) as client:
            return int(client.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))

    def _refunded(self, orders: Sequence[str]) -> int:
        sql = "SELECT count(*) FROM orders WHERE id = ANY(:orders) AND status = 'refunded'"
        return int(self.site.rows(sql, orders=orders)[0][0])

    def _audit(self, payments: Sequence[str]) -> None:
        sql = (
            "SELECT count(*) FROM payments p WHERE id = ANY(:payments) AND status = 'refunded' "
            "AND 1 = (SELECT count(*) FROM refunds r WHERE r.payment_id = p.id "
            "AND r.amount_minor = p.amount_minor)"
        )
        booked = int(self.site.rows(sql, payments=payments)[0][0])
        if booked != len(payments):
            raise BenchmarkError(f"{self.name}: {booked} of {len(payments)} refunds are booked")
        open_sagas = self.site.rows("SELECT 1 FROM saga_state WHERE status <> 'COMPLETED'")
        if open_sagas:
            raise BenchmarkError(f"{self.name}: {len(open_sagas)} sagas are not COMPLETED")

    def freeze(self) -> None:
        for family in self.families.values():
            family.freeze()

    def thaw(self) -> None:
        for family in self.families.values():
            family.thaw()

    def stop_recovery(self) -> None:
        """Leave the worker alone, which does nothing by the clock."""
        for name in self.families.keys() & {"recovery", "beat"}:
            self.families.pop(name).stop()

    def stop(self) -> None:
        self.producer.stop()
        for family in self.families.values():
            family.stop()


def take_turns(
    flows: Sequence[Flow], *, refunds: int, repetitions: int, say: Callable[[str], None]
) -> dict[str, list[Repetition]]:
    """Run the flows in turns, after a warm-up; which one begins alternates against drift."""
    for flow in flows:
        flow.run(max(10, refunds // 4))
    done: dict[str, list[Repetition]] = {flow.name: [] for flow in flows}
    for number in range(repetitions):
        for flow in flows if number % 2 == 0 else reversed(flows):
            found = flow.run(refunds)
            done[flow.name].append(found)
            cpu = found.cpu_per_1000("worker")
            say(
                f"{flow.name} {number + 1}/{repetitions}: {found.per_second:.1f} refunds/s, "
                f"{cpu:.1f} CPU s per 1,000, foreign load {found.usage.foreign_share:.0%}"
            )
    return done


def middle(repetitions: Sequence[Repetition]) -> dict[str, float]:
    """The two figures of a flow: medians over its repetitions."""
    return {
        "perSecond": round(median(each.per_second for each in repetitions), 2),
        "cpuSecondsPer1000": round(median(each.cpu_per_1000("worker") for each in repetitions), 2),
    }
