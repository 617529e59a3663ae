"""The broker emptied, the database restarted, beat stopped, queues full: all sagas end well."""

from collections.abc import Callable
from uuid import uuid4

from tests.acceptance.world import World

PIVOT = "payment_refund.call_provider_refund"


def _some_completed(world: World) -> bool:
    return world.statuses().get("COMPLETED", 0) >= 5


def test_redis_is_stopped_and_emptied_while_50_refunds_run(
    make_world: Callable[..., World],
) -> None:
    world = make_world(workers=2, concurrency=2)
    payments = world.payments(50)
    world.fault("refund", "slow", seconds=0.4, times=50)
    world.refund(*payments)
    world.until(lambda: _some_completed(world), "some refunds are done")

    world.empty_redis()
    assert world.statuses()["RUNNING"] > 0
    world.redis.start()

    world.until_all_rest()
    assert world.statuses() == {"COMPLETED": 50}
    assert len(world.books()) == 50
    world.audit()


def test_postgresql_is_restarted_while_50_refunds_run(make_world: Callable[..., World]) -> None:
    world = make_world(workers=2, concurrency=2, own_postgres=True)
    payments = world.payments(50)
    world.fault("refund", "slow", seconds=0.4, times=50)
    world.refund(*payments)
    world.until(lambda: _some_completed(world), "some refunds are done")

    world.restart_postgres()
    assert world.statuses()["RUNNING"] > 0

    world.until_all_rest()
    assert world.statuses() == {"COMPLETED": 50}
    assert len(world.books()) == 50
    failed = world.rows("SELECT * FROM saga_event WHERE kind IN ('attempt_failed', 'taken_over')")
    assert failed == [], "trouble of our own uses up no attempt"
    world.audit()


def test_beat_is_stopped_and_started(world: World) -> None:
    world.kill("beat")
    payments = world.payments(5)
    world.fault("refund", "slow", seconds=1.5, times=1)
    saga_ids = world.refund(*payments)
    world.until(
        lambda: any(world.has(saga_id, "attempt_started", PIVOT) for saga_id in saga_ids),
        "a provider is called",
    )
    world.kill("worker1")
    world.start_worker("worker1")

    world.start_beat()

    world.until_all_rest()
    assert world.statuses() == {"COMPLETED": 5}
    world.audit()


def test_a_lost_worker_is_taken_over_while_every_slot_hangs_and_5000_messages_wait(
    make_world: Callable[..., World],
) -> None:
    world = make_world(
        workers=1, concurrency=2, settings={"PAYMENT_REFUND_CALL_TIMEOUT_SECONDS": "30"}
    )
    lost, *hanging = world.payments(3)
    world.start_worker("doomed")
    world.fault("refund", "hang", seconds=22, times=3)
    saga_ids = world.refund(lost, *hanging)
    world.until(
        lambda: all(world.has(saga_id, "attempt_started", PIVOT) for saga_id in saga_ids),
        "every slot hangs",
    )
    world.send("payment_refund.set_refunding_status", str(uuid4()), 1, times=5000)
    sql = "SELECT saga_id FROM saga_event WHERE kind = 'attempt_started' AND worker LIKE 'doomed%'"
    [[victim]] = world.rows(sql)

    world.kill("doomed")
    world.until(lambda: world.has(victim, "taken_over"), "recovery takes the saga over")

    others = [saga_id for saga_id in saga_ids if saga_id != victim]
    assert not any(world.has(saga_id, "attempt_failed") for saga_id in others), "slots still hang"
    world.until_all_rest()
    assert world.statuses() == {"COMPLETED": 3}
    world.audit()


def test_a_start_while_the_broker_is_away_is_accepted_and_runs_when_it_is_back(
    world: World,
) -> None:
    [payment] = world.payments()
    world.redis.stop()

    [saga_id] = world.refund(payment)
    assert world.status(saga_id) == "RUNNING"
    world.redis.start()

    world.until_status(saga_id, "COMPLETED")
    world.audit()


def test_messages_for_nobody_of_an_old_epoch_or_doubled_are_dropped(
    make_world: Callable[..., World],
) -> None:
    world = make_world(workers=2)
    [payment] = world.payments()
    world.fault("refund", "slow", seconds=3)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")

    world.send(PIVOT, str(uuid4()), 1)
    world.send(PIVOT, str(saga_id), 0)
    world.send(PIVOT, str(saga_id), 1)
    logs = ("worker1", "worker2")
    world.until(
        lambda: sum(world.log(name).count("message dropped") for name in logs) == 3,
        "all are dropped",
    )

    world.until_status(saga_id, "COMPLETED")
    assert len(world.kinds(saga_id)) == 6
    world.audit()


def test_a_late_provider_never_refunds_into_a_success_payment_without_an_alarm(
    make_world: Callable[..., World],
) -> None:
    world = make_world(settings={"SAGA_SECOND_LOOKS_SECONDS": "[8, 600]"})
    [payment] = world.payments()
    world.fault("refund", "late", seconds=13, times=4)

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "COMPENSATED")
    assert world.books() == {}, "the provider is later than everybody thought"
    world.until_status(saga_id, "FAILED")
    [refund] = world.books().values()
    assert refund["status"] == "SUCCESS"
    sql = "SELECT detail->>'alarm' FROM saga_event WHERE saga_id = :id AND kind = 'failed'"
    [[alarm]] = world.rows(sql, id=saga_id)
    assert "took effect after all" in alarm
    assert '"FAILED"' not in alarm
    [row] = world.rows("SELECT holds_key FROM saga_state WHERE saga_id = :id", id=saga_id)
    assert row.holds_key, "nobody refunds this payment again before a person has looked"


def test_a_refund_that_the_provider_is_still_at_is_done_only_by_its_final_word(
    world: World,
) -> None:
    [payment] = world.payments()
    world.fault("refund", "processing", seconds=3)

    [saga_id] = world.refund(payment)

    world.until(lambda: world.has(saga_id, "accepted"), "the provider accepted")
    [found] = world.rows("SELECT status FROM payments WHERE id = :id", id=payment)
    assert found.status == "refunding"
    world.until_status(saga_id, "COMPLETED")
    [row] = world.rows("SELECT retry_count FROM saga_state WHERE saga_id = :id", id=saga_id)
    assert row.retry_count == 0, "asking again costs no attempt"
    world.audit()


def test_a_refusal_while_the_provider_is_still_at_it_is_not_its_final_word(world: World) -> None:
    [payment] = world.payments()
    world.fault("refund", "processing", seconds=4)
    world.fault("refund", "refuse")

    [saga_id] = world.refund(payment)

    world.until_status(saga_id, "COMPLETED", "COMPENSATED", "FAILED")
    assert world.status(saga_id) == "COMPLETED", world.story(saga_id)
    world.audit()
