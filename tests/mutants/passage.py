"""Guards of those who carry moves out and publish them: settlement, engine, recovery, worker."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_forward = partial(Mutant, file="saga/settlement/forward.py")
_back = partial(Mutant, file="saga/settlement/back.py")
_watched = partial(Mutant, file="saga/settlement/watch.py")
_routing = partial(Mutant, file="saga/routing.py")
_engine = partial(Mutant, file="saga/engine.py")
_outbox = partial(Mutant, file="saga/outbox.py")
_loan = partial(Mutant, file="saga/loan.py")
_recovery = partial(Mutant, file="saga/recovery.py")
_worker = partial(Mutant, file="saga/worker.py")
_CHAIN, _CALLS = "integration/test_engine_chain", "integration/test_engine_calls"
_LOOKS = "integration/test_engine_second_looks"
_RECOVERY, _START = "integration/test_recovery", "integration/test_engine_start"

PASSAGE = (
    _watched(
        name="a take-over keeps the epoch",
        guard="epoch",
        before="raise_epoch=1 if move.taken_over or move.hurried else 0,",
        after="raise_epoch=1 if move.hurried else 0,",
        killed_by=tests(_CALLS, "test_an_old_claims_message_cannot_act_after_the_take_over"),
    ),
    _forward(
        name="a take-over by the probe keeps the epoch",
        guard="epoch",
        before="raise_epoch=1 if lost else 0,",
        after="raise_epoch=0,",
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_probe_after_a_lost_call_waits_for_its_hard_limit",
        ),
    ),
    _watched(
        name="a lost worker's call is taken over as not done",
        guard="take-over",
        before="effects={row.step: Effect.UNKNOWN} if lost_call else {},",
        after="effects={},",
        killed_by=tests(
            _CALLS, "test_a_lost_worker_is_taken_over_in_a_new_epoch_and_its_attempt_counts"
        ),
        dies_of=("KeyError",),
    ),
    _forward(
        name="the probe of a lost call does not wait for its hard limit",
        guard="settle_after",
        before="return row.claim_deadline",
        after="return row.now",
        killed_by=tests(
            "integration/test_engine_time",
            "test_a_probe_after_a_lost_call_waits_for_its_hard_limit",
        ),
    ),
    _back(
        name="link_error finds its compensations sent already",
        guard="link_error",
        before="dispatches=0 if by_link_error else 1,",
        after="dispatches=1,",
        killed_by=tests(_CHAIN, "test_a_refused_pivot_compensates_in_reverse_order_in_one_chain"),
    ),
    _back(
        name="the second look is forgotten on the way back",
        guard="second look",
        before="look_at = move.look_at or row.look_at",
        after="look_at = move.look_at",
        killed_by=tests(_LOOKS, "test_second_looks_are_taken_after_ten_minutes_and_a_day"),
    ),
    _watched(
        name="one second look is enough",
        guard="second look",
        before="looks[row.looks + 1] if row.looks + 1 < len(looks) else None",
        after="None",
        killed_by=tests(_LOOKS, "test_second_looks_are_taken_after_ten_minutes_and_a_day"),
    ),
    _forward(
        name="a wait that lives in the row alone is taken for sent",
        guard="recovery",
        before="dispatches=row.dispatches if held else 0,",
        after="dispatches=row.dispatches,",
        killed_by=tests(_RECOVERY, "test_a_long_queue_does_not_hold_up_what_is_in_no_queue"),
    ),
    _routing(
        name="compensations are published in the order in which steps ran",
        guard="reverse order",
        before="for step in to_take_back(saga, row, row.stop_reason):",
        after="for step in reversed(list(to_take_back(saga, row, row.stop_reason))):",
        killed_by=tests(_CHAIN, "test_a_refused_pivot_compensates_in_reverse_order_in_one_chain"),
    ),
    _engine(
        name="link_error that comes twice sends twice",
        guard="link_error",
        before="not row.claimed and row.dispatches == 0",
        after="not row.claimed",
        killed_by=tests(
            _CHAIN, "test_when_nobody_can_say_it_twice_link_error_sends_compensations_once"
        ),
    ),
    _engine(
        name="link_error wakes a saga that rests",
        guard="link_error",
        before="turned = row.status is Status.COMPENSATING and not",
        after="turned = not",
        killed_by=tests(_CHAIN, "test_link_error_of_a_saga_that_rests_moves_nothing"),
    ),
    _engine(
        name="a late link_error shortens a compensation's wait",
        guard="link_error",
        before="if saga is None or not turned or row.not_before is not None:",
        after="if saga is None or not turned:",
        killed_by=tests(_CHAIN, "test_a_late_link_error_does_not_shorten_a_compensations_wait"),
    ),
    _engine(
        name="a start publishes before its caller commits",
        guard="publishing after commit",
        before="after_commit(session, lambda: self.publish_or_leave(first))",
        after="self.publish_or_leave(first)",
        killed_by=tests(_START, "test_nothing_is_published_before_the_callers_commit"),
    ),
    _recovery(
        name="recovery publishes before it commits",
        guard="publishing after commit",
        before="""        done.due += 1
        if isinstance(followup, Publish):
            self._engine.publish(followup.publication)
            done.published += 1
""",
        after="""            if isinstance(followup, Publish):
                self._engine.publish(followup.publication)
                done.published += 1
        done.due += 1
""",
        killed_by=tests(_RECOVERY, "test_what_recovery_publishes_is_committed"),
    ),
    _outbox(
        name="a savepoint's release publishes",
        guard="publishing after commit",
        before="    if session.in_nested_transaction():\n        return\n",
        after="",
        killed_by=tests(_START, "test_a_savepoint_that_is_released_publishes_nothing_yet"),
    ),
    _outbox(
        name="what was rolled back is published",
        guard="publishing after commit",
        before="[letter for letter in waiting if rolled_back not in letter.inside]",
        after="waiting",
        killed_by=tests(_START, "test_a_start_that_is_rolled_back_leaves_nothing"),
    ),
    _loan(
        name="a loan publishes before its lender commits",
        guard="publishing after commit",
        before="        on_commit(lambda: _publish(letters))",
        after="        _publish(letters)",
        killed_by=tests(
            "integration/test_loan",
            "test_a_saga_is_there_and_published_once_its_lender_has_committed",
        ),
    ),
    _loan(
        name="a borrower commits for its lender",
        guard="one commit",
        before="    def commit(self) -> None:\n        self.is_over = True",
        after="    def commit(self) -> None:\n        self._connection.commit()",
        killed_by=tests("integration/test_loan", "test_a_lender_who_rolls_back_leaves_nothing"),
    ),
    _engine(
        name="an idempotency key takes any input",
        guard="start",
        before="if own.input_hash != digest:",
        after="if False:",
        killed_by=tests(_START, "test_the_same_idempotency_key_with_another_input_is_an_error"),
    ),
    _recovery(
        name="a saga is sent again behind a long queue",
        guard="recovery",
        before="return done.lengths[where] > self._timing.short_queue",
        after="return False",
        killed_by=tests(_RECOVERY, "test_while_a_queue_is_long_nothing_is_sent_to_it_twice"),
    ),
    _recovery(
        name="a long queue holds up what is in no queue",
        guard="recovery",
        before="        if row.dispatches == 0:\n            return False\n",
        after="",
        killed_by=tests(_RECOVERY, "test_a_long_queue_does_not_hold_up_what_is_in_no_queue"),
    ),
    _recovery(
        name="a long queue holds up a take-over",
        guard="take-over",
        before="if not isinstance(move, Dispatch) or move.taken_over or move.overdue:",
        after="if not isinstance(move, Dispatch) or move.overdue:",
        killed_by=tests(_RECOVERY, "test_a_long_queue_does_not_hold_up_what_is_in_no_queue"),
    ),
    _recovery(
        name="one bad row stops the pass",
        guard="recovery",
        before="except Exception as error:  # noqa: BLE001 - one bad row cannot stop the pass",
        after="except LookupError as error:",
        killed_by=tests(_RECOVERY, "test_one_bad_row_does_not_stop_the_pass"),
        dies_of=("ValueError",),
    ),
    _recovery(
        name="bad rows stand before the good",
        guard="recovery",
        before="                self._put_off(saga_id)\n",
        after="",
        killed_by=tests(_RECOVERY, "test_more_bad_rows_than_a_pass_takes_do_not_hide_the_good"),
    ),
    _recovery(
        name="a step that nobody here knows stops its saga for good",
        guard="unknown definition",
        before="known = saga is not None and any(step.name == row.step for step in saga.steps)",
        after="known = saga is not None",
        killed_by=tests(_RECOVERY, "test_an_unknown_step_is_an_unknown_definition_too"),
        dies_of=("AttributeError",),
    ),
    _recovery(
        name="a person decides too late about what nobody here knows",
        guard="unknown definition",
        before="if row.now - since >= self._timing.unknown_for and",
        after="if row.now - since >= self._timing.unknown_for * 2 and",
        killed_by=tests(_RECOVERY, "test_after_an_hour_an_unknown_definition_needs_a_person"),
    ),
    _worker(
        name="the chain of a dropped message goes on",
        guard="duplicate's chain",
        before="task=task.name, reason=reason)\n            _stop()\n",
        after="task=task.name, reason=reason)\n",
        killed_by=tests("unit/test_worker", "test_what_is_not_done_here_ends_its_chain"),
    ),
    _worker(
        name="the chain of a parked saga goes on",
        guard="duplicate's chain",
        before="        case Park():\n            _stop()\n",
        after="        case Park():\n            return\n",
        killed_by=tests("unit/test_worker", "test_what_is_not_done_here_ends_its_chain"),
    ),
    _worker(
        name="a message is acknowledged before its work is done",
        guard="take-over",
        before="            acks_late=True,\n",
        after="",
        killed_by=tests(
            "unit/test_worker",
            "test_a_message_is_acknowledged_when_its_work_is_done_or_its_worker_lost",
        ),
    ),
    Mutant(
        name="a lock that others hold counts as the step's failure",
        guard="own trouble",
        file="saga/database.py",
        before='_TROUBLE_CODES = ("25P03", "25P04", "55P03")',
        after='_TROUBLE_CODES = ("25P03", "25P04")',
        killed_by=tests(
            "integration/test_engine_transaction",
            "test_a_lock_that_others_hold_for_long_costs_no_attempt_however_often_it_was_sent",
        ),
    ),
    Mutant(
        name="two sagas share a step's key",
        guard="idempotency key",
        file="saga/task.py",
        before='return cls(f"{saga_id.hex}-{digest}-{generation}")',
        after='return cls(f"{digest}-{generation}")',
        killed_by=tests(
            "unit/test_idempotency_key",
            "test_a_key_belongs_to_one_saga_one_step_and_one_generation",
        ),
    ),
    Mutant(
        name="two steps share a saga's key",
        guard="idempotency key",
        file="saga/task.py",
        before='return cls(f"{saga_id.hex}-{digest}-{generation}")',
        after='return cls(f"{saga_id.hex}-{generation}")',
        killed_by=tests(
            "unit/test_idempotency_key",
            "test_a_key_belongs_to_one_saga_one_step_and_one_generation",
        ),
    ),
)
