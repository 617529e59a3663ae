"""The refund by pytest-celery: its Redis, its worker container and its setup, with our image.

Not found by pytest alone: test_pytest_celery.py runs it with pytest-celery's plugins switched on.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_celery import (
    CeleryBrokerCluster,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerContainer,
    RedisContainer,
    RedisTestBroker,
)
from pytest_docker_tools import container, fxtr, volume
from pytest_docker_tools.wrappers import Container

from gateways.payments.sandbox.merchant import environment

APPLICATION = os.environ["SAGA_IMAGE"]
PASSWORD = "of this test alone"
LOOPBACK = ("127.0.0.1", None)
NETWORK = "{default_pytest_celery_network.name}"


class Redis(RedisContainer):
    """pytest-celery's Redis, found from wherever the test runs.

    pytest-celery says localhost, also where pytest-docker-tools sees that the test is itself in a
    container and gives the port on the network's address.
    """

    @property
    def host_url(self) -> str:
        host, port = self.get_addr("6379/tcp")
        return f"{self.prefix()}{host}:{port}/{self.vhost}"


class Worker(CeleryWorkerContainer):
    @classmethod
    def worker_queue(cls) -> str:
        return "saga.compensation,saga.continuing,saga.new"


# In memory, where the images have volumes: those would be left behind.
default_redis_broker = container(
    image=os.environ.get("REDIS_IMAGE", "redis:7"),
    command=fxtr("default_redis_broker_command"),
    ports={"6379/tcp": LOOPBACK},
    network=NETWORK,
    tmpfs={"/data": "mode=1777"},
    wrapper_class=Redis,
    timeout=600,
)

postgres = container(
    image=os.environ.get("POSTGRES_IMAGE", "postgres:17"),
    environment={
        "POSTGRES_USER": "saga",
        "POSTGRES_DB": "saga",
        "POSTGRES_PASSWORD": PASSWORD,
    },
    # Published, it counts as ready once it listens.
    ports={"5432/tcp": LOOPBACK},
    network=NETWORK,
    tmpfs={"/var/lib/postgresql/data": ""},
    timeout=600,
)

keys = volume()

sandbox = container(
    image=APPLICATION,
    command=(
        "python -m gateways.payments.sandbox --host 0.0.0.0 --port 8090 --books /data/books"
        " --keys /keys"
    ),
    volumes={"{keys.name}": {"bind": "/keys", "mode": "rw"}},
    ports={"8090/tcp": LOOPBACK},
    network=NETWORK,
    init=True,
    timeout=600,
)

default_worker_container = container(
    image=APPLICATION,
    environment=fxtr("default_worker_env"),
    volumes={"{keys.name}": {"bind": "/keys", "mode": "ro"}},
    network=NETWORK,
    wrapper_class=Worker,
    command=fxtr("default_worker_command"),
    init=True,
    timeout=600,
)


@pytest.fixture
def default_worker_container_cls() -> type[CeleryWorkerContainer]:
    return Worker


@pytest.fixture
def default_worker_env(
    default_worker_container_cls: type[CeleryWorkerContainer],
    celery_worker_cluster_config: dict[str, Any],
    postgres: Container,
    sandbox: Container,
) -> dict[str, str]:
    url = f"http://{_host(sandbox)}:8090"
    own = {
        "DATABASE_URL": f"postgresql://saga:{PASSWORD.replace(' ', '%20')}@{_host(postgres)}/saga",
        "SANDBOX_URL": url,
        **environment(url, Path("/keys")),
    }
    return default_worker_container_cls.initial_env(celery_worker_cluster_config, own)


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: RedisTestBroker) -> Iterator[CeleryBrokerCluster]:
    """Redis alone, not once for each broker that pytest-celery knows."""
    cluster = CeleryBrokerCluster(celery_redis_broker)
    yield cluster
    cluster.teardown()


@pytest.fixture
def celery_backend_cluster() -> None:
    """Nobody needs results: the truth is saga_state."""


def test_a_refund_runs_in_a_worker_of_pytest_celery(
    celery_setup: CeleryTestSetup, sandbox: Container
) -> None:
    worker = celery_setup.worker
    assert worker is not None
    assert celery_setup.ready(control=True)
    _run(worker, "migrate")
    [payment] = _run(worker, "seed")["payments"]
    asked = {"paymentId": payment["id"], "amount": payment["amount"], "reason": "broken"}

    saga_id = _run(worker, "start", "payment_refund", "--input", json.dumps(asked))["sagaId"]

    # There is neither beat nor recovery: the chain alone brings it to its end.
    end = time.monotonic() + 600
    while (seen := _run(worker, "show", saga_id))["saga"]["status"] != "COMPLETED":
        assert time.monotonic() < end, (seen, worker.logs())
    by = {event["worker"] for event in seen["events"] if event["kind"] == "step_done"}
    assert by == {worker.hostname()}
    host, port = sandbox.get_addr("8090/tcp")
    books = httpx.get(f"http://{host}:{port}/control/books", trust_env=False).json()
    [refund] = books["refunds"]
    assert refund["paymentNo"] == payment["paymentNo"]
    assert (refund["amount"], refund["status"], refund["requests"]) == ("100.00", "SUCCESS", 1)


def _run(worker: CeleryTestWorker, *words: str) -> dict[str, Any]:
    """Run a ``saga`` command in the worker's container."""
    done = worker.container.exec_run(["saga", *words, "--json"], demux=True)
    said, complained = done.output
    assert done.exit_code == 0, complained
    found: dict[str, Any] = json.loads(said)
    return found


def _host(there: Container) -> str:
    return str(there.attrs["Config"]["Hostname"])
