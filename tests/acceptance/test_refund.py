"""The refund, as real workers run it."""

from collections.abc import Callable

from tests.acceptance.world import World

PIVOT = "payment_refund.call_provider_refund"


def _payment(world: World, payment_id: str) -> str:
    [found] = world.rows("SELECT status FROM payments WHERE id = :id", id=payment_id)
    return str(found.status)


def test_a_refund_succeeds(world: World) -> None:
    [payment] = world.payments()

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "COMPLETED")
    assert world.kinds(saga_id) == [
        "started",
        "step_done",
        "attempt_started",
        "step_done",
        "step_done",
        "completed",
    ]
    assert _payment(world, payment) == "refunded"
    world.audit()


def test_the_provider_fails_four_times_and_the_refund_is_compensated(world: World) -> None:
    [payment] = world.payments()
    world.fault("refund", "error_before", times=4)

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "COMPENSATED")
    assert world.kinds(saga_id).count("attempt_failed") == 3
    assert _payment(world, payment) == "success"
    assert world.books() == {}
    world.audit()


def test_everything_is_restarted_in_step_2_and_the_refund_completes(
    make_world: Callable[..., World],
) -> None:
    world = make_world(own_postgres=True)
    [payment] = world.payments()
    world.fault("refund", "slow", seconds=3)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")

    for name in ("beat", "worker1", "recovery", "sandbox"):
        world.kill(name)
    world.redis.restart()
    world.restart_postgres()
    world.start_sandbox(int(world.sandbox_url.rpartition(":")[2]))
    world.start_beat()
    world.start_all(["worker1"])

    world.until_status(saga_id, "COMPLETED")
    assert _payment(world, payment) == "refunded"
    world.audit()


def test_the_call_hangs_over_the_sagas_timeout_and_the_payment_is_success_again(
    make_world: Callable[..., World],
) -> None:
    world = make_world(settings={"PAYMENT_REFUND_TIMEOUT_SECONDS": "2"})
    [payment] = world.payments()
    world.fault("refund", "hang", seconds=20, times=4)

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "TIMEOUT")
    assert _payment(world, payment) == "success"
    assert world.books() == {}
    world.audit()
