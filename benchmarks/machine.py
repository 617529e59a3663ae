"""The machine, what it runs, and what others used of it while we measured."""

import os
import platform
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

from benchmarks.family import Family
from benchmarks.servers import Servers

_PACKAGES = ("celery", "kombu", "redis", "SQLAlchemy", "psycopg2-binary", "pydantic", "httpx")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU seconds by family, and the foreign load: the share of all cores that others used."""

    seconds: float
    cpu_seconds: Mapping[str, float]
    foreign_share: float
    load_average: float


class Watch:
    """Counts CPU seconds of families, and of everybody else, from now until ``read``."""

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._families = families
        self._began = time.monotonic()
        self._busy = _busy_seconds()
        self._ours = self._used()

    def read(self) -> Usage:
        seconds = time.monotonic() - self._began
        busy = _busy_seconds() - self._busy
        used = {name: seen - self._ours[name] for name, seen in self._used().items()}
        foreign = (busy - sum(used.values())) / (seconds * (psutil.cpu_count() or 1))
        used.pop(_SELF)
        return Usage(
            seconds=seconds,
            cpu_seconds=used,
            foreign_share=max(0.0, foreign),
            load_average=os.getloadavg()[0],
        )

    def _used(self) -> dict[str, float]:
        own = psutil.Process().cpu_times()
        used = {name: family.cpu_seconds() for name, family in self._families.items()}
        # Of its children only those that have ended: producers. The others are the families.
        ended = own.children_user + own.children_system
        return used | {_SELF: own.user + own.system + ended}


_SELF = "benchmark"


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    # Guests are counted in user time already.
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, name, 0.0) for name in names)


def machine() -> dict[str, Any]:
    return {
        "cores": psutil.cpu_count(),
        "memoryMb": psutil.virtual_memory().total // 2**20,
        "cpu": _cpu_model(),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(servers: Servers) -> dict[str, str]:
    with closing(psycopg2.connect(servers.postgres.url)) as connection:
        postgres = connection.get_parameter_status("server_version")
    with redis.Redis.from_url(servers.redis.url) as client:
        told = client.info("server")
    packages = {name: version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "PostgreSQL": str(postgres),
        "Redis": str(told["redis_version"]),
        "celery-sagas": version("celery-sagas"),
        **packages,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
