"""Somebody revokes a task, terminates it, or lets its message expire: the saga is not lost.

Celery then drops the message without a word to anybody: no retry, no ``link_error``.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from redis import Redis

from tests.acceptance.world import World

FIRST = "payment_refund.set_refunding_status"
CALL = "payment_refund.call_provider_refund"
WORKER = ["worker1@test"]
BOOK = "payment_refund.update_payment_status"
LANE_OF = {FIRST: "saga.new", CALL: "saga.continuing"}
# The lease, a scan and a busy machine.
SOON = timedelta(seconds=2 + 0.5 + 5)


@contextmanager
def celery(world: World) -> Iterator[Celery]:
    with Celery("test", broker=world.redis.url, set_as_current=False) as app:
        yield app


def in_hand(world: World, step: str) -> str:
    """The id of the task that a worker is at, as Flower shows it."""
    with celery(world) as app:
        active = app.control.inspect(WORKER, limit=1, timeout=3).active() or {}
    [task] = [task["id"] for tasks in active.values() for task in tasks if task["name"] == step]
    return str(task)


@contextmanager
def calling(world: World, payment: str) -> Iterator[UUID]:
    world.fault("refund", "slow", seconds=3)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", CALL), "the provider is called")
    yield saga_id


@contextmanager
def booking(world: World, payment: str) -> Iterator[UUID]:
    with world.holding("LOCK TABLE refunds IN SHARE MODE"):
        [saga_id] = world.refund(payment)
        world.until(world.blocked, "the step waits to book the refund")
        yield saga_id


def now(world: World) -> datetime:
    [[at]] = world.rows("SELECT clock_timestamp()")
    instant: datetime = at
    return instant


def test_a_step_that_is_terminated_is_taken_over_within_the_lease(world: World) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        for step, at_work in ((CALL, calling), (BOOK, booking)):
            [payment] = world.payments()
            with at_work(world, payment) as saga_id:
                task_id = in_hand(world, step)
                revoked_at = now(world)
                with celery(world) as app:
                    app.control.revoke(task_id, terminate=True, signal=how.name)
                world.until(
                    lambda task_id=task_id: f"Terminating {task_id}" in world.log("worker1"),
                    "the worker has terminated it",
                )

            assert world.until_status(saga_id, "COMPLETED", "FAILED") == "COMPLETED"
            taken_up = world.rows(
                "SELECT at FROM saga_event WHERE saga_id = :id AND at > :since "
                "AND kind IN ('taken_over', 'dispatched') ORDER BY seq LIMIT 1",
                id=saga_id,
                since=revoked_at,
            )
            assert taken_up[0].at - revoked_at < SOON, world.story(saga_id)
    assert len(world.books()) == 4
    world.audit()


def waiting(world: World, lane: str) -> list[dict[str, Any]]:
    with Redis.from_url(world.redis.url) as redis:
        return [json.loads(message) for message in redis.lrange(lane, 0, -1)]


def left_waiting(world: World, step: str) -> tuple[UUID, str]:
    """A refund, and the id of its next message, which is for this step and waits for a worker."""
    [payment] = world.payments()
    if step == FIRST:
        [saga_id] = world.refund(payment)
    else:
        world.start_worker("worker1")
        with world.holding("SELECT 1 FROM payments WHERE id = :id FOR UPDATE", id=payment):
            [saga_id] = world.refund(payment)
            world.until(world.blocked, "the first step waits for its payment")
            # Its child goes on and publishes the next step; nobody is there to take it.
            os.kill(world.processes["worker1"].pid, signal.SIGSTOP)
        world.until(lambda: waiting(world, LANE_OF[step]), "the next step's message waits")
        world.kill("worker1")
    [message] = waiting(world, LANE_OF[step])
    assert message["headers"]["task"] == step
    return saga_id, message["headers"]["id"]


def revoke(world: World, task_ids: list[str]) -> None:
    """Tell the worker before it takes anything from the lanes."""
    world.start_worker("worker1", queues="saga.nothing")
    with celery(world) as app:
        app.control.revoke(task_ids)
        world.until(
            lambda: task_ids[0] in str(app.control.inspect(WORKER, limit=1, timeout=3).revoked()),
            "the worker knows",
        )
        for lane in LANE_OF.values():
            app.control.add_consumer(lane, destination=WORKER)


def expire(world: World, task_ids: list[str]) -> None:
    """Let their time be over before a worker comes."""
    for lane in LANE_OF.values():
        [message] = waiting(world, lane)
        assert message["headers"]["id"] in task_ids
        message["headers"]["expires"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        with Redis.from_url(world.redis.url) as redis:
            redis.lset(lane, 0, json.dumps(message))
    world.start_worker("worker1")


@pytest.mark.parametrize("end", [revoke, expire], ids=lambda end: end.__name__)
def test_a_message_that_is_dropped_while_it_waits_is_sent_again(
    make_world: Callable[..., World], end: Callable[[World, list[str]], None]
) -> None:
    world = make_world(workers=0)
    world.kill("beat")  # nobody sends them again before they are dropped
    left = {step: left_waiting(world, step) for step in (CALL, FIRST)}

    end(world, [task_id for _, task_id in left.values()])
    for step, (saga_id, task_id) in left.items():
        dropped = f"Discarding revoked task: {step}[{task_id}]"
        world.until(lambda dropped=dropped: dropped in world.log("worker1"), "it is dropped")
        assert world.status(saga_id) == "RUNNING"
    world.start_beat()

    world.until_all_rest()
    assert world.statuses() == {"COMPLETED": 2}
    assert not world.rows("SELECT FROM saga_event WHERE kind = 'attempt_failed'")
    assert len(world.books()) == 2
    world.audit()
