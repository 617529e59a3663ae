"""Money goes back through the providers' own libraries, with workers and callbacks as in earnest."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import httpx

from tests.acceptance.world import API_KEY, World

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
    assert Counter(answers) == {202: len(given), 422: len(FEN) - len(given)}
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
                if answer.status_code != 409:
                    return answer.status_code
                # All at once again, and not one after the other.
                await asyncio.sleep(random.uniform(0.1, 1))

        return await asyncio.gather(*map(ask, fen))
