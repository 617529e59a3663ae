"""The state machine's rules hold in the database too, whoever writes."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.integration.shop import Shop

pytestmark = pytest.mark.integration

CLAIM = "claimed_by = gen_random_uuid(), claim_deadline = now()"
REST = "completed_at = now(), holds_key = false, stop_reason = 'refused'"

REFUSED = {
    "status_is_known": "status = 'LOST', holds_key = false",
    "waiting_for_is_known": "waiting_for = 'godot'",
    "stop_reason_is_known": "stop_reason = 'mood'",
    "claim_is_whole": "claimed_by = gen_random_uuid()",
    "claim_is_whole (deadline alone)": "claim_deadline = now()",
    "claim_is_watched": f"{CLAIM}, {REST}, status = 'COMPENSATED', wake_at = NULL",
    "work_is_watched": "wake_at = NULL",
    "work_is_watched (going back)": (
        "wake_at = NULL, status = 'COMPENSATING', stop_reason = 'refused'"
    ),
    "signal_is_waited_for": "waiting_for = 'signal'",
    "signal_is_waited_for (by nobody)": "signal = 'paid'",
    "paused_is_known": "paused = 'siesta', paused_at = now()",
    "pause_is_dated": "paused = 'saga'",
    "pause_is_dated (by nothing)": "paused_at = now()",
    "only_work_is_paused": f"status = 'COMPENSATED', {REST}, paused = 'saga', paused_at = now()",
    "failed_from_is_known": "status = 'FAILED', wake_at = NULL, failed_from = 'COMPLETED'",
    "failed_came_from_somewhere": "status = 'FAILED', wake_at = NULL",
    "failed_came_from_somewhere (running)": "failed_from = 'RUNNING'",
    "polls_are_not_negative": "polls = -1",
    "parked_is_unclaimed": "status = 'FAILED', failed_from = 'RUNNING'",
    "parked_is_unclaimed (claimed)": f"status = 'FAILED', failed_from = 'RUNNING', {CLAIM}",
    "parked_is_unclaimed (completed)": (
        "status = 'COMPLETED', completed_at = now(), holds_key = false"
    ),
    "rest_is_dated": "status = 'COMPLETED', wake_at = NULL, holds_key = false",
    "rest_is_dated (running)": "completed_at = now()",
    "going_back_has_a_reason": "status = 'COMPENSATING'",
    "timeout_means_time_ran_out": f"status = 'TIMEOUT', {REST}",
    "timeout_means_time_ran_out (the other way)": (
        "status = 'COMPENSATED', completed_at = now(), holds_key = false, stop_reason = 'timeout'"
    ),
    "compensated_has_no_open_effect": (
        f'status = \'COMPENSATED\', {REST}, effects = \'{{"a": "compensated", "b": "done"}}\''
    ),
    "compensated_has_no_open_effect (unknown)": (
        f"status = 'COMPENSATED', {REST}, effects = '{{\"a\": \"unknown\"}}'"
    ),
    "compensated_has_no_open_effect (failed)": (
        f"status = 'COMPENSATED', {REST}, effects = '{{\"a\": \"compensation_failed\"}}'"
    ),
    "key_is_held_by_open_sagas": "holds_key = false",
    "key_is_held_by_open_sagas (at rest)": (
        "status = 'COMPLETED', completed_at = now(), wake_at = NULL"
    ),
    "counts_are_not_negative": "attempt = -1",
    "counts_are_not_negative (retries)": "retry_count = -1",
    "counts_are_not_negative (dispatches)": "dispatches = -1",
    "counts_are_not_negative (epoch)": "epoch = 0",
    "counts_are_not_negative (version)": "version = 0",
}

ALLOWED = [
    CLAIM,
    "status = 'FAILED', wake_at = NULL, failed_from = 'RUNNING'",
    "status = 'FAILED', wake_at = NULL, holds_key = false, failed_from = 'COMPENSATED'",
    "wake_at = NULL, paused = 'saga', paused_at = now()",
    "waiting_for = 'signal', signal = 'paid'",
    "waiting_for = 'poll', signal = 'paid'",
    "waiting_for = 'poll'",
    "waiting_for = 'sleep'",
    "status = 'COMPLETED', wake_at = NULL, completed_at = now(), holds_key = false",
    "status = 'COMPENSATING', stop_reason = 'timeout'",
    f'status = \'COMPENSATED\', {REST}, effects = \'{{"a": "not_done", "b": "compensated"}}\'',
    f"status = 'COMPENSATED', {REST}, wake_at = NULL, effects = '{{\"a\": \"not_started\"}}'",
    "status = 'TIMEOUT', completed_at = now(), holds_key = false, stop_reason = 'timeout'",
]


def write(shop: Shop, sets: str) -> None:
    with shop.database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE saga_state SET {sets}".replace("%", "%%"))


@pytest.mark.parametrize("rule", REFUSED)
def test_what_the_rules_forbid_cannot_be_written(shop: Shop, rule: str) -> None:
    shop.start(business_key="order:1")

    with pytest.raises(IntegrityError) as refused:
        write(shop, REFUSED[rule])

    assert refused.value.orig is not None
    broken = refused.value.orig.diag.constraint_name  # type: ignore[attr-defined]
    assert broken == f"saga_state_{rule.partition(' ')[0]}"


@pytest.mark.parametrize("sets", ALLOWED)
def test_what_the_rules_allow_can_be_written(shop: Shop, sets: str) -> None:
    shop.start(business_key="order:1")

    write(shop, sets)


def test_every_rule_of_the_table_is_tried_here(shop: Shop) -> None:
    sql = text(
        "SELECT conname FROM pg_constraint "
        "WHERE conrelid = 'saga_state'::regclass AND contype = 'c'"
    )
    with shop.database.begin() as connection:
        rules = set(connection.execute(sql).scalars())

    assert rules == {f"saga_state_{rule.partition(' ')[0]}" for rule in REFUSED}


@pytest.mark.parametrize(
    ("index", "sets"),
    [
        ("saga_state_saga_id_key", "saga_id = :id"),
        ("saga_state_business_key_of_open", "business_key = 'order:1'"),
        ("saga_state_idempotency_key", "idempotency_key = 'k'"),
    ],
)
def test_what_is_unique_is_so(shop: Shop, index: str, sets: str) -> None:
    first = shop.start(business_key="order:1", idempotency_key="k")
    second = shop.start(business_key="order:2", idempotency_key="l")

    with pytest.raises(IntegrityError, match=index):
        write(shop, f"{sets.replace(':id', repr(str(first)))} WHERE saga_id = '{second}'")


def test_what_happened_stays(shop: Shop) -> None:
    shop.start()

    with shop.database.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text("UPDATE saga_event SET kind = 'nothing'"))


def test_what_happened_has_one_place_in_its_saga(shop: Shop) -> None:
    shop.start()

    twice = text("INSERT INTO saga_event SELECT * FROM saga_event")
    with shop.database.connect() as connection, pytest.raises(IntegrityError, match="pkey"):
        connection.execute(twice)


def test_due_sagas_are_found_by_an_index_that_stays_small(shop: Shop) -> None:
    shop.start()
    shop.work_off()
    with shop.database.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            connection.execute(
                text(
                    "EXPLAIN SELECT saga_id FROM saga_state WHERE wake_at <= clock_timestamp() "
                    "ORDER BY wake_at LIMIT 100"
                )
            ).scalars()
        )

    assert "saga_state_due" in plan
