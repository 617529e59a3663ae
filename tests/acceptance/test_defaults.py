"""The settings that a user gets: nothing is shortened here."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.world import QUICK, World

PIVOT = "payment_refund.call_provider_refund"


def test_a_killed_worker_is_taken_over_by_default_settings(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    world = make_world(settings=dict.fromkeys(QUICK, ""))
    [payment] = world.payments()
    world.fault("refund", "slow", seconds=20)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")

    world.kill("worker1")
    killed = time.monotonic()
    world.until(lambda: world.has(saga_id, "taken_over"), "recovery takes the saga over")
    seconds = time.monotonic() - killed

    print(f"taken over after {seconds:.1f} s by default settings")
    (tmp_path / "take-over-seconds").write_text(f"{seconds:.1f}")
    world.start_worker("worker1")
    world.until_status(saga_id, "COMPLETED")
    [refund] = world.books().values()
    assert refund["status"] == "SUCCESS"
    world.audit()
