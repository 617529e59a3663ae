"""Guards of those who do a step's work: calls, transactions, heartbeats."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_call = partial(Mutant, file="saga/call.py")
_transaction = partial(Mutant, file="saga/transaction.py")
_session = partial(Mutant, file="saga/step_session.py")
_runtime = partial(Mutant, file="saga/runtime.py")
_row = partial(Mutant, file="saga/row.py")
_heartbeat = partial(Mutant, file="saga/heartbeat.py")
_CALLS, _TRANSACTIONS = "integration/test_engine_calls", "integration/test_engine_transaction"
_ZOMBIES = "integration/test_engine_zombies"

WORK = (
    _heartbeat(
        name="no lease is renewed",
        guard="lease renewal",
        before="store.renew_lease(connection, row.saga_id, token=token, lease=lease)",
        after="True",
        killed_by=tests(_CALLS, "test_a_heartbeat_renews_the_lease_in_time_while_the_call_runs"),
    ),
    _heartbeat(
        name="leases are renewed too late",
        guard="lease renewal",
        before="over.wait(lease.total_seconds() / 3)",
        after="over.wait(lease.total_seconds() * 3)",
        killed_by=tests(_CALLS, "test_a_heartbeat_renews_the_lease_in_time_while_the_call_runs"),
    ),
    _call(
        name="a call that tells of its progress passes for settled",
        guard="late success",
        before="record=replace(self._by(token), detail={}).record(",
        after="record=self._by(token).record(",
        killed_by=tests(
            _CALLS, "test_a_lost_call_that_had_told_of_its_progress_is_not_taken_for_settled"
        ),
    ),
    _call(
        name="the key is not stored before the call",
        guard="idempotency key",
        before='"key": row.key, ',
        after="",
        killed_by=tests(
            "integration/test_engine_chain", "test_a_key_is_stored_before_the_first_call"
        ),
    ),
    _row(
        name="every attempt has a key of its own",
        guard="idempotency key",
        before="return self.key_of(self.step)",
        after="return IdempotencyKey.of(self.saga_id, self.step, generation=self.attempt)",
        killed_by=tests(
            "integration/test_engine_chain", "test_every_call_of_a_step_carries_the_same_key"
        ),
    ),
    _runtime(
        name="a compensation gets another key than its step",
        guard="idempotency key",
        before="return Forward(row.key, Effect.UNKNOWN)",
        after='return Forward(row.key_of("another"), Effect.UNKNOWN)',
        killed_by=tests(
            "integration/test_engine_chain",
            "test_a_compensation_gets_the_forward_steps_key_and_what_is_known",
        ),
    ),
    _runtime(
        name="a compensation is told that its step is done when nobody knows",
        guard="unknown",
        before="return Forward(row.key, Effect.UNKNOWN)",
        after="return Forward(row.key, Effect.DONE)",
        killed_by=tests(
            "integration/test_engine_chain",
            "test_a_compensation_gets_the_forward_steps_key_and_what_is_known",
        ),
    ),
    _runtime(
        name="a call that was cut off is taken for not done",
        guard="unknown",
        before="Effect.UNKNOWN if external else Effect.NOT_STARTED",
        after="Effect.NOT_STARTED",
        killed_by=tests(
            "integration/test_engine_time",
            "test_nothing_found_is_believed_only_after_the_call_had_time_to_settle",
        ),
    ),
    _runtime(
        name="a step begins after its saga's time",
        guard="time",
        before="if place.kind is Kind.ACTION and can_stop(saga, row) and",
        after="if False and",
        killed_by=tests(
            "integration/test_engine_messages",
            "test_a_message_after_the_sagas_time_leaves_the_word_to_recovery",
        ),
    ),
    _call(
        name="a settle whose answer was lost is done again",
        guard="own trouble",
        before="if settled is not None:",
        after="if False:",
        killed_by=tests(_CALLS, "test_a_settle_whose_commit_answer_was_lost_is_recognised"),
    ),
    _call(
        name="a late success is not recorded",
        guard="late success",
        before="late = _took_effect(answer.event) and",
        after="late = False and",
        killed_by=tests(_ZOMBIES, "test_a_late_success_is_recorded_all_the_same"),
    ),
    _call(
        name="the chain of a duplicated call goes on",
        guard="duplicate's chain",
        before="""        if isinstance(claimed, Drop):
            return claimed
        saga, row = claimed
""",
        after="""        if isinstance(claimed, Drop):
            return Next()
        saga, row = claimed
""",
        killed_by=tests("integration/test_engine_messages", "test_every_message_twice"),
    ),
    _call(
        name="the chain of a lost claim goes on",
        guard="duplicate's chain",
        before='state=None))\n        return Drop("claim was lost")',
        after="state=None))\n        return Next()",
        killed_by=tests(_ZOMBIES, "test_a_zombie_moves_nothing"),
    ),
    _call(
        name="a database that is away at the claim costs the message",
        guard="own trouble",
        before="""            if is_away(error):
                return hold(error)
            raise
        if isinstance(claimed""",
        after="""            if is_away(error):
                return Drop("the database is away")
            raise
        if isinstance(claimed""",
        killed_by=tests(_CALLS, "test_a_database_that_is_away_at_the_claim_costs_no_attempt"),
    ),
    _call(
        name="an answer is lost with the database",
        guard="own trouble",
        before="if time.monotonic() + pause > deadline:",
        after="if True:",
        killed_by=tests(_CALLS, "test_an_answer_is_kept_in_hand_while_the_database_is_away"),
    ),
    _transaction(
        name="a redelivered step in SQL is not counted first",
        guard="attempt counter",
        before="if not self.delivery.redelivered:",
        after="if True:",
        killed_by=tests(_TRANSACTIONS, "test_a_step_that_kills_its_worker_every_time_gives_up"),
    ),
    _transaction(
        name="a step in SQL that was published again is not counted first",
        guard="attempt counter",
        before="if row.dispatches > 1 and count is None:",
        after="if False:",
        killed_by=tests(_TRANSACTIONS, "test_deaths_are_counted_too_when_only_recovery_notices"),
    ),
    _transaction(
        name="a counted attempt that was cut short stays counted",
        guard="own trouble",
        before="""                    if count is not None:
                        self._uncount(count)
""",
        after="",
        killed_by=tests(
            _TRANSACTIONS,
            "test_a_lock_that_others_hold_for_long_costs_no_attempt_however_often_it_was_sent",
        ),
    ),
    _transaction(
        name="a counted attempt that could not begin stays counted",
        guard="own trouble",
        before="""                if count is not None and is_away(error):
                    self._uncount(count)
""",
        after="",
        killed_by=tests(
            _TRANSACTIONS,
            "test_a_database_that_restarts_between_the_count_and_the_step_costs_no_attempt",
        ),
    ),
    _transaction(
        name="a step's SQL is committed before the record of it",
        guard="one commit",
        before="""                followup = self.runtime.settle(connection, saga, row, event, by)
                session.settle()
""",
        after="""                connection.connection.dbapi_connection.commit()
                followup = self.runtime.settle(connection, saga, row, event, by)
                session.settle()
""",
        killed_by=tests(_TRANSACTIONS, "test_a_state_that_cannot_be_stored_is_a_failed_attempt"),
    ),
    _transaction(
        name="a failed attempt is written over a row that moved on",
        guard="version",
        before="if not now.stands_as(before):",
        after="if False:",
        killed_by=tests(_TRANSACTIONS, "test_a_failure_is_not_written_over_a_row_that_moved_on"),
    ),
    _transaction(
        name="a counted attempt runs on a row that moved on",
        guard="version",
        before="if count is not None and not row.stands_as(count):",
        after="if False:",
        killed_by=tests(
            _TRANSACTIONS, "test_a_counted_attempt_does_not_begin_on_a_row_that_moved_on"
        ),
    ),
    _session(
        name="a step may commit through its connection",
        guard="one commit",
        before='        event.listen(connection, "commit", self._refuse_commit)\n',
        after="",
        killed_by=tests(
            _TRANSACTIONS,
            "test_a_step_that_ends_its_transaction_fails_and_leaves_nothing",
        ),
    ),
    _session(
        name="a step may commit in SQL",
        guard="one commit",
        before='        event.listen(connection, "before_cursor_execute", _refuse_statement)\n',
        after="",
        killed_by=tests(
            _TRANSACTIONS,
            "test_a_step_that_ends_its_transaction_fails_and_leaves_nothing",
        ),
    ),
)
