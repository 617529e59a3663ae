"""What operators do on the command line, and what real workers and the provider make of it."""

import json
from typing import Any
from uuid import UUID

from tests import nursery
from tests.acceptance.world import ROOT, World

PIVOT = "payment_refund.call_provider_refund"
BOOKING = "payment_refund.update_payment_status"


def saga(world: World, *arguments: str, code: int = 0) -> Any:
    """Run the command as an operator does; the JSON that it printed."""
    command = ("-m", "saga.cli", *arguments, "--json")
    done = nursery.run(*command, cwd=ROOT, env=world.environment, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def told(saga_id: UUID, *more: str) -> tuple[str, ...]:
    return (str(saga_id), "--reason", "seen by Ann", "--actor", "Ann", *more)


def money(world: World, payment: str) -> tuple[str, int]:
    sql = "SELECT status, refunded_minor FROM payments WHERE id = :id"
    [found] = world.rows(sql, id=payment)
    return found.status, found.refunded_minor


def failed(world: World) -> tuple[str, UUID]:
    """A refund that the provider made and we could not book; what was in its way has ended."""
    [payment] = world.payments()
    world.fault("refund", "slow", seconds=2)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")
    move(world, payment, "cancelled")
    world.until_status(saga_id, "FAILED")
    move(world, payment, "refunding")
    return payment, saga_id


def move(world: World, payment: str, status: str) -> None:
    with world.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE payments SET status = %(status)s WHERE id = %(id)s",
            {"status": status, "id": payment},
        )


def test_a_refund_that_is_cancelled_while_the_provider_hangs_goes_back(world: World) -> None:
    [payment] = world.payments()
    world.fault("refund", "hang", seconds=4)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")

    acted = saga(world, "cancel", *told(saga_id))

    assert acted["status"] == "RUNNING", "the call in hand ends first"
    world.until_status(saga_id, "COMPENSATED")
    assert money(world, payment) == ("success", 0)
    assert world.books() == {}
    world.audit()


def test_a_refund_that_the_provider_made_is_not_cancelled(world: World) -> None:
    [payment] = world.payments()
    world.fault("refund", "slow", seconds=4)
    [saga_id] = world.refund(payment)
    world.until(lambda: world.has(saga_id, "attempt_started", PIVOT), "the provider is called")

    saga(world, "cancel", *told(saga_id))

    world.until_status(saga_id, "COMPLETED")
    assert money(world, payment) == ("refunded", 10_000)
    world.audit()


def test_a_failed_refund_goes_on_once_it_is_mended(world: World) -> None:
    payment, saga_id = failed(world)
    assert saga(world, "show", str(saga_id))["allowedActions"] == ["retry", "compensate", "resolve"]
    assert "allowed: retry, compensate, resolve" in saga(world, "cancel", *told(saga_id), code=4)

    saga(world, "retry", *told(saga_id))

    world.until_status(saga_id, "COMPLETED")
    assert money(world, payment) == ("refunded", 10_000)
    assert len(world.books()) == 1
    world.audit()


def test_a_failed_refund_is_taken_back_with_what_only_a_person_can(world: World) -> None:
    payment, saga_id = failed(world)
    preview = saga(world, "compensate", str(saga_id), "--preview")
    assert [(run["step"], run["by"]) for run in preview["runs"]] == [
        (PIVOT, "person"),
        ("payment_refund.set_refunding_status", "worker"),
    ]

    saga(world, "compensate", *told(saga_id))
    assert world.status(saga_id) == "FAILED", "only a person can take the money back"
    evidence = ("--outcome", "not_done", "--evidence", "the bank booked it back")
    saga(world, "resolve", *told(saga_id, "--step", PIVOT, *evidence))

    world.until_status(saga_id, "COMPENSATED")
    assert money(world, payment) == ("success", 0)
    actors = world.rows("SELECT DISTINCT actor FROM saga_event WHERE kind = 'resolved'")
    assert [row.actor for row in actors] == ["Ann"]


def test_a_refund_whose_provider_never_told_is_booked_when_a_person_vouches(world: World) -> None:
    payment, saga_id = failed(world)
    with world.database.begin() as connection:
        # As if the provider had not told its number either.
        connection.exec_driver_sql(
            "UPDATE saga_state SET current_step = %(step)s, step_index = 1, "
            "effects = effects || jsonb_build_object(%(step)s::text, 'unknown'), "
            'state = state || \'{"refund_no": null, "answer": null}\'',
            {"step": PIVOT},
        )

    evidence = ("--outcome", "done", "--evidence", "statement of November, line 7")
    saga(world, "resolve", *told(saga_id, "--step", PIVOT, *evidence))

    world.until_status(saga_id, "COMPLETED")
    assert money(world, payment) == ("refunded", 10_000)
    [booked] = world.rows("SELECT refund_no FROM refunds")
    assert {booked.refund_no} == set(world.books()), "booked under the number it was asked for"
    world.audit()


def test_while_a_step_is_paused_its_provider_is_left_alone(world: World) -> None:
    why = ("--type", "payment_refund", "--step", PIVOT, "--reason", "the bank is down")
    saga(world, "pause", *why)
    payments = world.payments(3)
    world.fault("refund", "error_before", times=99)

    sagas = world.refund(*payments)
    paused = "SELECT saga_id FROM saga_state WHERE paused = 'step' AND attempt = 0"
    world.until(lambda: len(world.rows(paused)) == len(sagas), "all stand still")
    assert world.books() == {}
    assert "error_before" not in str(world.rows("SELECT detail FROM saga_event"))
    world.forget_faults()
    saga(world, "resume", *why)

    for saga_id in sagas:
        world.until_status(saga_id, "COMPLETED")
    world.audit()
