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


def test_a_refund_into_the_wallet_books_one_entry_and_beat_has_it_compared(
    make_world: Callable[..., World],
) -> None:
    world = make_world(settings={"PAYMENT_RECONCILE_SECONDS": "0.5"})
    [payment] = world.payments(method="balance", amount="12.34")

    [saga_id] = world.refund(payment, amount="12.34")

    world.until_status(saga_id, "COMPLETED")
    [entry] = world.rows("SELECT * FROM wallet_entry")
    [refund] = world.rows("SELECT * FROM refunds")
    assert (entry.refund_no, entry.amount_minor) == (refund.refund_no, 1234)
    assert _payment(world, payment) == "refunded"
    compared = "SELECT refund_no, difference FROM refund_checks WHERE checked_at IS NOT NULL"
    world.until(lambda: world.rows(compared), "its provider was asked")
    assert world.rows(compared) == [(refund.refund_no, None)]
    assert "payment_refund.reconcile[" not in world.log("recovery")


def test_partial_refunds_leave_the_payment_success_until_nothing_is_left(world: World) -> None:
    [payment] = world.payments()

    world.until_status(*world.refund(payment, amount="30.01"), "COMPLETED")
    assert _payment(world, payment) == "success"
    world.audit()
    world.until_status(*world.refund(payment, amount="69.99"), "COMPLETED")
    assert _payment(world, payment) == "refunded"
    assert len(world.books()) == 2
    world.audit()


def test_a_refused_refund_is_compensated_by_link_error_alone(world: World) -> None:
    world.stop("beat")
    world.stop("recovery")
    [payment] = world.payments()
    world.fault("refund", "refuse")

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "COMPENSATED")
    assert world.kinds(saga_id)[-3:] == ["compensating", "dispatched", "compensated"]
    [sent] = world.rows("SELECT actor FROM saga_event WHERE kind = 'dispatched'")
    assert sent.actor == "link_error"
    assert _payment(world, payment) == "success"
    assert world.books() == {}
    world.audit()
