"""kill -9 and SIGSTOP in every step, forward and compensating; nothing is lost, nothing doubled."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from uuid import UUID

import pytest

from tests.acceptance.world import World

PIVOT = "payment_refund.call_provider_refund"


@contextmanager
def in_set_refunding_status(world: World, payment: str) -> Iterator[UUID]:
    with world.holding("SELECT 1 FROM payments WHERE id = :id FOR UPDATE", id=payment):
        [saga_id] = world.refund(payment)
        world.until(world.blocked, "the step waits for its payment")
        yield saga_id


@contextmanager
def in_call_provider_refund(world: World, payment: str) -> Iterator[UUID]:
    world.fault("refund", "slow", seconds=4)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")
    yield saga_id


@contextmanager
def in_update_payment_status(world: World, payment: str) -> Iterator[UUID]:
    with world.holding("LOCK TABLE refunds IN SHARE MODE"):
        [saga_id] = world.refund(payment)
        world.until(world.blocked, "the step waits to book the refund")
        yield saga_id


@contextmanager
def in_update_order_status(world: World, payment: str) -> Iterator[UUID]:
    order = "SELECT 1 FROM orders WHERE id = (SELECT order_id FROM payments WHERE id = :id)"
    with world.holding(f"{order} FOR UPDATE", id=payment):
        [saga_id] = world.refund(payment)
        world.until(world.blocked, "the step waits for its order")
        yield saga_id


@contextmanager
def in_find_provider_refund(world: World, payment: str) -> Iterator[UUID]:
    world.fault("refund", "error_before", times=4)
    world.fault("query", "slow", seconds=3)
    [saga_id] = world.refund(payment)
    world.until(lambda: "probe_planned" in world.kinds(saga_id), "the probe is planned")
    world.until(lambda: world.kinds(saga_id)[-1] == "attempt_started", "the probe asks")
    yield saga_id


@contextmanager
def in_restore_payment_status(world: World, payment: str) -> Iterator[UUID]:
    world.fault("refund", "hang", seconds=2)
    world.fault("refund", "refuse")
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")
    with world.holding("SELECT 1 FROM payments WHERE id = :id FOR UPDATE", id=payment):
        world.until(world.blocked, "the compensation waits for its payment")
        yield saga_id


FORWARD = [
    in_set_refunding_status,
    in_call_provider_refund,
    in_update_payment_status,
    in_update_order_status,
]
BACKWARD = [in_find_provider_refund, in_restore_payment_status]
Point = Callable[[World, str], AbstractContextManager[UUID]]


VICTIMS = ["child", "main process", "both"]
IN_FULL = list(itertools.product(FORWARD + BACKWARD, VICTIMS))
# Every step, and every victim forward and backward; whoever calls a provider dies in all ways.
IN_SHORT = [
    (point, victim)
    for place, (point, victim) in enumerate(IN_FULL)
    if point is in_call_provider_refund or place % 3 == place // 3 * 2 % 3
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "victim" in metafunc.fixturenames:
        kills = IN_FULL if metafunc.config.getoption("--prove") else IN_SHORT
        names = [f"{victim}-{point.__name__}" for point, victim in kills]
        metafunc.parametrize(("point", "victim"), kills, ids=names)


def test_kill_9(world: World, point: Point, victim: str) -> None:
    [payment] = world.payments()

    with point(world, payment) as saga_id:
        match victim:
            case "child":
                world.kill_child("worker1")
            case "main process":
                world.kill_main("worker1")  # on Linux its child dies with it
                world.start_worker("worker2")
            case "both":
                world.kill("worker1")
                world.start_worker("worker1")

    world.until_all_rest()
    assert world.status(saga_id) == ("COMPENSATED" if point in BACKWARD else "COMPLETED")
    assert len(world.books()) == (0 if point in BACKWARD else 1)
    world.audit()


@pytest.mark.parametrize(
    "point", [in_update_payment_status, in_call_provider_refund], ids=lambda point: point.__name__
)
def test_sigstop_past_the_lease_then_sigcont(world: World, point: Point) -> None:
    [payment] = world.payments()

    with ExitStack() as stopped:
        saga_id = stopped.enter_context(point(world, payment))
        with world.frozen("worker1"):
            stopped.close()  # what the step waited for is there, but it cannot see it
            world.start_worker("worker2")
            world.until_status(saga_id, "COMPLETED")

    logs = ("worker1", "worker2")
    world.until(
        lambda: any("message dropped" in world.log(name) for name in logs),
        "the thawed worker, or whoever takes its message, finds that it lost",
    )
    assert world.statuses() == {"COMPLETED": 1}
    [refund] = world.books().values()
    assert refund["status"] == "SUCCESS"
    world.audit()
