"""Guards in the statements that write: saga/store."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_transition = partial(Mutant, file="saga/store/transition.py")
_claims = partial(Mutant, file="saga/store/claims.py")
_forward = partial(Mutant, file="saga/store/forward.py")
_backward = partial(Mutant, file="saga/store/backward.py")
_waits = partial(Mutant, file="saga/store/waits.py")
_watch = partial(Mutant, file="saga/store/watch.py")

STATEMENTS = (
    _transition(
        name="a write does not look at the version",
        guard="version",
        before="AND version = %(at_version)s AND epoch",
        after="AND epoch",
        killed_by=tests(
            "integration/test_store",
            "test_a_write_that_expects_something_else_does_not_land[advance-version]",
        ),
    ),
    _transition(
        name="a write does not look at the epoch",
        guard="epoch",
        before=" AND epoch = %(at_epoch)s",
        after="",
        killed_by=tests(
            "integration/test_store",
            "test_a_write_that_expects_something_else_does_not_land[advance-epoch]",
        ),
    ),
    _transition(
        name="a write does not look at the claim",
        guard="claim",
        before="\n      AND claimed_by IS NOT DISTINCT FROM %(at_claim)s::uuid",
        after="",
        killed_by=tests(
            "integration/test_store",
            "test_a_write_that_expects_something_else_does_not_land[advance-claim]",
        ),
    ),
    _transition(
        name="the end of a saga's time wakes nobody",
        guard="waking",
        before="""    "LEAST(clock_timestamp() + %(patience)s, "
    "CASE WHEN timeout_at > clock_timestamp() THEN timeout_at END)"
""",
        after="""    "clock_timestamp() + %(patience)s * 60"
""",
        killed_by=tests(
            "integration/test_recovery", "test_a_time_that_is_over_is_noticed_by_the_second"
        ),
    ),
    _transition(
        name="the end of a saga's time does not end a long wait",
        guard="waking",
        before="CASE WHEN %(time_ends)s AND timeout_at",
        after="CASE WHEN %(time_ends)s AND false AND timeout_at",
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_saga_waiting_for_a_long_retry_notices_the_end_of_its_time",
        ),
    ),
    _transition(
        name="a later call makes the lost one forgotten",
        guard="settle_after",
        before="GREATEST(call_ended_at, clock_timestamp())",
        after="clock_timestamp()",
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_call_that_was_lost_may_last_until_its_hard_limit_whatever_later_ones_did",
        ),
    ),
    _waits(
        name="a call that waits makes the lost one forgotten",
        guard="settle_after",
        before="GREATEST(call_ended_at, clock_timestamp())",
        after="clock_timestamp()",
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_poll_after_a_lost_call_does_not_forget_it_either",
        ),
    ),
    _transition(
        name="a known definition leaves the hour of the unknown running",
        guard="unknown definition",
        before="claim_deadline = NULL, unknown_since = NULL",
        after="claim_deadline = NULL",
        killed_by=tests(
            "integration/test_recovery",
            "test_whatever_moves_a_saga_on_begins_the_hour_of_the_unknown_anew",
        ),
    ),
    _claims(
        name="a call's attempt is not counted in the row",
        guard="attempt counter",
        before="claimed_by = %(token)s::uuid, attempt = attempt + 1, not_before",
        after="claimed_by = %(token)s::uuid, not_before",
        killed_by=tests("integration/test_engine_chain", "test_three_retries_are_four_calls"),
    ),
    _claims(
        name="an attempt in SQL is not counted before it begins",
        guard="attempt counter",
        before='transition(f"attempt = attempt + 1, wake_at = {WAKE}")',
        after='transition(f"wake_at = {WAKE}")',
        killed_by=tests(
            "integration/test_engine_transaction",
            "test_a_step_that_kills_its_worker_every_time_gives_up",
        ),
    ),
    _claims(
        name="a count is taken back twice",
        guard="attempt counter",
        before=" AND attempt = %(attempt)s",
        after="",
        killed_by=tests("integration/test_store", "test_a_count_is_taken_back_once"),
    ),
    _claims(
        name="the count of a saga that moved on is taken back",
        guard="version",
        before=" AND dispatches = %(dispatches)s",
        after="",
        killed_by=tests(
            "integration/test_store", "test_the_count_of_a_saga_that_moved_on_is_not_taken_back"
        ),
    ),
    _claims(
        name="anybody's heartbeat renews a lease",
        guard="lease renewal",
        before=" AND claimed_by = %(token)s::uuid\n",
        after="\n",
        killed_by=tests(
            "integration/test_store",
            "test_a_lease_is_renewed_up_to_its_hard_limit_and_by_its_owner_alone",
        ),
    ),
    _claims(
        name="a heartbeat renews a lease past the hard limit",
        guard="lease renewal",
        before="LEAST(clock_timestamp() + %(lease)s, claim_deadline)",
        after="clock_timestamp() + %(lease)s",
        killed_by=tests(
            "integration/test_store",
            "test_a_lease_is_renewed_up_to_its_hard_limit_and_by_its_owner_alone",
        ),
    ),
    _claims(
        name="a heartbeat beats on after the hard limit",
        guard="lease renewal",
        before="\n      AND claim_deadline > clock_timestamp()",
        after="",
        killed_by=tests(
            "integration/test_store",
            "test_a_lease_is_renewed_up_to_its_hard_limit_and_by_its_owner_alone",
        ),
    ),
    _claims(
        name="a heartbeat waits for whoever settles",
        guard="row lock",
        before="FOR UPDATE SKIP LOCKED",
        after="FOR UPDATE",
        killed_by=tests(
            "integration/test_store",
            "test_a_heartbeat_never_waits_for_a_row_that_is_being_settled",
        ),
        dies_of=("OperationalError",),
    ),
    _forward(
        name="a new saga sleeps through the end of its time",
        guard="waking",
        before="t.now + LEAST(%(patience)s, %(timeout)s)",
        after="t.now + %(patience)s",
        killed_by=tests(
            "integration/test_engine_start",
            "test_a_saga_whose_time_is_shorter_than_patience_is_woken_by_its_end",
        ),
    ),
    _waits(
        name="a poll does not give the attempts back",
        guard="own trouble",
        before='f"{UNCLAIM}, attempt = 0, retry_count = 0, dispatches = 0, waiting_for',
        after='f"{UNCLAIM}, retry_count = 0, dispatches = 0, waiting_for',
        killed_by=tests("integration/test_engine_chain", "test_a_poll_costs_no_attempt"),
    ),
    _backward(
        name="turning back keeps the epoch",
        guard="epoch",
        before="epoch = epoch + CASE WHEN status = 'COMPENSATING' THEN 0 ELSE 1 END, ",
        after="",
        killed_by=tests(
            "integration/test_engine_chain",
            "test_a_refused_pivot_compensates_in_reverse_order_in_one_chain",
        ),
    ),
    _backward(
        name="coming to rest keeps the epoch",
        guard="epoch",
        before="stop_reason = %(reason)s, epoch = epoch + 1, ",
        after="stop_reason = %(reason)s, ",
        killed_by=tests(
            "integration/test_engine_chain",
            "test_a_compensation_that_fails_twice_still_finishes",
        ),
    ),
    _backward(
        name="becoming FAILED keeps the epoch",
        guard="epoch",
        before="status = 'FAILED', epoch = epoch + 1,",
        after="status = 'FAILED',",
        killed_by=tests(
            "integration/test_engine_chain",
            "test_past_the_pivot_a_saga_that_cannot_go_on_is_parked_with_an_alarm",
        ),
    ),
    _backward(
        name="FAILED takes the business key from who has it now",
        guard="business key",
        before='''holds_key = holds_key OR NOT EXISTS ("
    "SELECT FROM saga_state AS other WHERE other.business_key = saga_state.business_key "
    "AND other.holds_key)"''',
        after='''holds_key = true"''',
        killed_by=tests(
            "integration/test_engine_zombies",
            "test_a_late_success_leaves_a_business_key_to_who_has_it_now",
        ),
    ),
    _backward(
        name="FAILED does not take its business key back",
        guard="business key",
        before="holds_key = holds_key OR NOT EXISTS (",
        after="holds_key = holds_key OR false AND NOT EXISTS (",
        killed_by=tests(
            "integration/test_engine_zombies",
            "test_a_late_success_after_the_saga_was_compensated_wakes_it_up_failed",
        ),
    ),
    _watch(
        name="a take-over forgets how long the lost call may last",
        guard="settle_after",
        before="call_ended_at = GREATEST(%(call_ended_at)s, call_ended_at), not_before",
        after="call_ended_at = call_ended_at, not_before",
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_call_that_was_lost_may_last_until_its_hard_limit_whatever_later_ones_did",
        ),
    ),
    _watch(
        name="a doubled message uses up the next second look",
        guard="second look",
        before='f"not_before = {_NEXT_LOOK}, wake_at',
        after='f"not_before = NULL, wake_at',
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_doubled_message_of_the_first_second_look_does_not_use_up_the_next_one",
        ),
    ),
    _watch(
        name="what is not due any more is put off",
        guard="recovery",
        before="AND version = %(at_version)s AND wake_at <= clock_timestamp()",
        after="AND version = %(at_version)s",
        killed_by=tests(
            "integration/test_store", "test_what_is_not_due_any_more_is_not_put_off[postpone]"
        ),
    ),
)
