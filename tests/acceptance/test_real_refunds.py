"""Money goes back through the providers' own libraries, with real workers and callbacks."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from uuid import UUID

import httpx
import pytest

from tests.acceptance.world import API_KEY, World

BOTH = ("wechat", "alipay")
PIVOT = "payment_refund.call_provider_refund"
FEN = [1] * 70 + [2] * 15 + [3] * 15
PAID = "0.50"


def test_100_at_once_want_parts_of_a_payment_and_the_last_fen_goes_but_not_one_more(
    make_world: Callable[..., World],
) -> None:
    """The ones alone are more than the payment: whatever is left, somebody wants to have it."""
    world = make_world(api=True, concurrency=2)
    [payment] = world.payments(amount=PAID)
    world.fault("refund", "error_after", times=2)

    answers = asyncio.run(_ask_until_answered(world, payment, FEN))

    world.until_all_rest()
    given = [fen for fen, status in zip(FEN, answers, strict=True) if status == 202]
    assert set(answers) <= {202, 409, 422}
    assert world.statuses() == {"COMPLETED": len(given)}
    assert sum(given) == 50
    books = world.books().values()
    assert sum(Decimal(refund["amount"]) for refund in books) == Decimal(PAID)
    assert len(books) == len(given)
    world.audit()


async def _ask_until_answered(world: World, payment: str, fen: list[int]) -> list[int]:
    """Ask for all refunds at once, each again while another one is under way; their answers."""
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(base_url=world.api_url, limits=limits, timeout=60) as client:

        async def ask(minor: int) -> int:
            while True:
                answer = await client.post(
                    f"/api/billing/payments/{payment}/refund",
                    json={"amount": f"0.0{minor}", "reason": "a part"},
                    headers={"Authorization": f"Bearer {API_KEY}"},
                )
                # Without a saga in its way, a 409 is a final word, too.
                if answer.status_code != 409 or "sagaId" not in answer.json():
                    return answer.status_code
                # All at once again, and not one after the other.
                await asyncio.sleep(random.uniform(0.1, 1))

        return await asyncio.gather(*map(ask, fen))


@contextmanager
def in_the_first_call(world: World, payment: str) -> Iterator[UUID]:
    with world.frozen("sandbox"):
        [saga_id] = world.refund(payment)
        world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")
        yield saga_id
        world.kill("worker1")


@contextmanager
def parked_while_the_provider_calls_back(world: World, payment: str) -> Iterator[UUID]:
    [saga_id] = world.refund(payment)
    _until_accepted(world, saga_id)
    for name in ("worker1", "recovery", "api"):
        world.kill(name)
    yield saga_id
    world.until(lambda: _is_refunded(world), "the provider has refunded, and nobody hears it")


@contextmanager
def in_the_webhook(world: World, payment: str) -> Iterator[UUID]:
    [saga_id] = world.refund(payment)
    _until_accepted(world, saga_id)
    with world.holding("LOCK TABLE saga_signal IN SHARE MODE"):
        yield saga_id
        world.until(world.blocked, "the webhook waits to write the signal down")
        world.kill("api")


@contextmanager
def after_the_signal(world: World, payment: str) -> Iterator[UUID]:
    """It is told and published; then every message is lost."""
    [saga_id] = world.refund(payment)
    _until_accepted(world, saga_id)
    world.kill("worker1")
    yield saga_id
    told = "SELECT 1 FROM saga_signal WHERE saga_id = :id"
    world.until(lambda: world.rows(told, id=saga_id), "the signal is written down")
    for name in ("recovery", "api", "beat"):
        world.kill(name)
    world.empty_redis()
    world.redis.start()


@contextmanager
def while_it_is_booked(world: World, payment: str) -> Iterator[UUID]:
    with world.holding("LOCK TABLE refunds IN SHARE MODE"):
        [saga_id] = world.refund(payment)
        yield saga_id
        world.until(world.blocked, "the step waits to book the refund")
        world.kill("worker1")


Point = Callable[[World, str], AbstractContextManager[UUID]]
KILLS: list[tuple[Point, str]] = [
    (parked_while_the_provider_calls_back, "alipay"),
    (in_the_webhook, "wechat"),
    (after_the_signal, "wechat"),
]
KILLS_IN_FULL: list[tuple[Point, str]] = [
    *KILLS,
    (parked_while_the_provider_calls_back, "wechat"),
    (in_the_webhook, "alipay"),
    (after_the_signal, "alipay"),
    *((point, each) for point in (in_the_first_call, while_it_is_booked) for each in BOTH),
]
FINDS = ["callback"]
FINDS_IN_FULL = [*FINDS, "second look", "reconcile"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    in_full = metafunc.config.getoption("--prove")
    if "point" in metafunc.fixturenames:
        kills = KILLS_IN_FULL if in_full else KILLS
        names = [f"{point.__name__}-{method}" for point, method in kills]
        metafunc.parametrize(("point", "method"), kills, ids=names)
    if "found_by" in metafunc.fixturenames:
        metafunc.parametrize("found_by", FINDS_IN_FULL if in_full else FINDS)


def test_kill_9_at_any_point_of_a_refund_that_takes_its_time(
    make_world: Callable[..., World], point: Point, method: str
) -> None:
    """Nobody polls in time: what ends the wait is the callback, made again until it is taken."""
    world = make_world(api=True, settings={"PAYMENT_REFUND_POLL_SECONDS": "120"})
    [payment] = world.payments(method=method)
    world.fault("refund", "processing", seconds=2)

    with point(world, payment) as saga_id:
        pass
    world.start_what_was_killed()

    world.until_all_rest()
    assert world.status(saga_id) == "COMPLETED"
    [refund] = world.books().values()
    assert refund["status"] == "SUCCESS"
    heard = [kind for kind in world.kinds(saga_id) if kind in {"signalled", "signal_received"}]
    assert len(heard) == 1
    world.audit()


def _until_accepted(world: World, saga_id: UUID) -> None:
    world.until(lambda: world.has(saga_id, "accepted"), "the provider is at it")


def _is_refunded(world: World) -> bool:
    return [refund["status"] for refund in world.books().values()] == ["SUCCESS"]


def test_a_provider_that_refuses_connections_costs_nobody_any_money(
    make_world: Callable[..., World],
) -> None:
    """Once it is back, what had been tried is found not done, and what a person paused is done."""
    world = make_world(api=True, settings={"PAYMENT_REFUND_FIRST_RETRY_SECONDS": "0.2"})
    tried, paused = world.payments(2)
    world.kill("sandbox")
    [gave_up] = world.refund(tried)
    world.until(lambda: world.has(gave_up, "probe_planned"), "it cannot be known")

    world.ask("POST", "/api/pauses", sagaType="payment_refund", step=PIVOT, reason="it is away")
    [waits] = world.refund(paused)
    world.until(lambda: world.has(waits, "paused"), "it is not even tried")
    world.start_sandbox(int(world.sandbox_url.rpartition(":")[2]))
    world.ask("DELETE", "/api/pauses", sagaType="payment_refund", step=PIVOT, reason="it is back")

    world.until_all_rest()
    assert world.status(gave_up) == "COMPENSATED"
    assert world.status(waits) == "COMPLETED"
    assert "attempt_failed" not in world.kinds(waits)
    assert len(world.books()) == 1
    world.audit()


def test_money_that_leaves_when_all_was_taken_back_is_found_and_a_person_told(
    make_world: Callable[..., World], found_by: str
) -> None:
    world = make_world(
        api=found_by == "callback",
        settings={
            "SAGA_SECOND_LOOKS_SECONDS": "[8]" if found_by == "second look" else "[600]",
            "PAYMENT_RECONCILE_SECONDS": "0.5" if found_by == "reconcile" else "3600",
        },
    )
    [payment] = world.payments()
    world.fault("refund", "late", seconds=8)
    world.fault("refund", "refuse")

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "COMPENSATED", within=7)
    world.until_status(saga_id, "FAILED")
    [told] = world.rows(
        "SELECT detail->>'alarm' AS alarm FROM saga_event WHERE saga_id = :id AND kind = 'failed'",
        id=saga_id,
    )
    assert told.alarm
    [refund] = world.books().values()
    assert refund["status"] == "SUCCESS"
