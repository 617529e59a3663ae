"""Guards of waits and signals, of pauses, and of what operators do."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_due = partial(Mutant, file="saga/decide/__init__.py")
_bounds = partial(Mutant, file="saga/decide/bounds.py")
_findings = partial(Mutant, file="saga/decide/findings.py")
_intervene = partial(Mutant, file="saga/decide/intervene.py")
_waits = partial(Mutant, file="saga/settlement/waits.py")
_watched = partial(Mutant, file="saga/settlement/watch.py")
_wait_rows = partial(Mutant, file="saga/store/waits.py")
_rows = partial(Mutant, file="saga/store/interventions.py")
_standstill = partial(Mutant, file="saga/standstill.py")
_signals = partial(Mutant, file="saga/signals.py")
_transaction = partial(Mutant, file="saga/transaction.py")
_engine = partial(Mutant, file="saga/engine.py")
_runtime = partial(Mutant, file="saga/runtime.py")
_recovery = partial(Mutant, file="saga/recovery.py")
_operator = partial(Mutant, file="saga/operator.py")
_WAITS, _PAUSES = "integration/test_waits", "integration/test_pauses"
_OPERATOR, _ACTS = "integration/test_operator", "integration/test_operator_act"
_OLD, _INTERVENE = "integration/test_old_messages", "unit/test_decide_intervene"
_PAUSED_TYPE = "test_a_paused_type_or_step_parks_every_saga_without_an_attempt"

PEOPLE = (
    _waits(
        name="a signal is there again for the next wait",
        guard="signal",
        before="    store.consume_signal(connection, signal.number)\n",
        after="",
        killed_by=tests(_WAITS, "test_a_signal_is_taken_once_however_often_it_comes"),
    ),
    _signals(
        name="a signal that is repeated is another one",
        guard="signal",
        before="if before is not None:",
        after="if False:",
        killed_by=tests(_WAITS, "test_a_signal_is_taken_once_however_often_it_comes"),
    ),
    _waits(
        name="a step that begins to wait does not look for what came before",
        guard="signal",
        before="    if early is None:",
        after="    if early is not None:",
        killed_by=tests(
            _WAITS,
            "test_a_signal_that_comes_early_is_there_when_the_step_begins_to_wait",
            "test_a_signal_that_comes_while_the_call_runs_is_not_missed",
        ),
        dies_of=("AttributeError",),
    ),
    _engine(
        name="a signal publishes before its sender commits",
        guard="publishing after commit",
        before="after_commit(session, lambda: self.publish_or_leave(wakes))",
        after="self.publish_or_leave(wakes)",
        killed_by=tests(_WAITS, "test_a_signal_that_is_rolled_back_was_never_there"),
    ),
    _wait_rows(
        name="a wait sleeps through the end of the saga's time",
        guard="waking",
        before="""LEAST(clock_timestamp() + %(after)s, "
    "CASE WHEN timeout_at > clock_timestamp() THEN timeout_at END)""",
        after="clock_timestamp() + %(after)s",
        killed_by=tests(_WAITS, "test_a_sleep_over_the_end_of_the_sagas_time_ends_with_it"),
    ),
    _due(
        name="a signal is waited for without end",
        guard="time",
        before="    if at.waiting_for is WaitingFor.SIGNAL:\n",
        after="    if False:\n",
        killed_by=tests(
            _WAITS,
            "test_a_wait_that_ends_before_the_sagas_time_gives_up",
            "test_past_the_pivot_a_signal_that_never_comes_fails",
        ),
    ),
    _due(
        name="a wait is over whenever recovery looks at it",
        guard="time",
        before="    if at.is_waiting:\n",
        after="    if False:\n",
        killed_by=tests(
            _WAITS, "test_an_accepted_pivot_waits_on_past_the_sagas_time_with_an_alarm"
        ),
    ),
    _transaction(
        name="SQL that waits is committed",
        guard="one commit",
        before="""                    session.give_back()
                    return self._settle_apart(before, row, event, self._by(began))
""",
        after="""                    session.settle()
                    return self._settle_apart(before, row, event, self._by(began))
""",
        killed_by=tests(_WAITS, "test_a_transactional_step_that_waits_leaves_nothing_behind"),
    ),
    _bounds(
        name="an accepted pivot obeys the clock",
        guard="pivot rule",
        before="(role is Role.PIVOT and not is_accepted(saga, at))",
        after="role is Role.PIVOT",
        killed_by=tests(
            _WAITS, "test_an_accepted_pivot_waits_on_past_the_sagas_time_with_an_alarm"
        ),
    ),
    _wait_rows(
        name="a signal makes forget that the pivot was accepted",
        guard="pivot rule",
        before="waiting_for = CASE WHEN %(accepted)s THEN 'poll' END",
        after="waiting_for = CASE WHEN %(accepted)s AND false THEN 'poll' END",
        killed_by=tests(
            _WAITS, "test_after_a_signal_an_accepted_pivot_is_still_not_stopped_by_time"
        ),
    ),
    _runtime(
        name="a paused saga's message may act",
        guard="pause",
        before="if row.paused is not None or row.pause is not None:",
        after="if row.pause is not None:",
        killed_by=tests(_PAUSES, "test_a_paused_saga_stands_still_and_goes_on_where_it_stood"),
    ),
    _runtime(
        name="a message of a paused type may act",
        guard="pause",
        before="if row.paused is not None or row.pause is not None:",
        after="if row.paused is not None:",
        killed_by=tests(_PAUSES, _PAUSED_TYPE),
    ),
    _recovery(
        name="recovery moves what is paused",
        guard="pause",
        before="if (row.paused is not None or row.pause is not None) and not row.claimed:",
        after="if False:",
        killed_by=tests(_PAUSES, "test_a_call_in_hand_ends_before_the_pause_holds"),
    ),
    _recovery(
        name="a worker that dies in a paused saga is not missed",
        guard="take-over",
        before="if (row.paused is not None or row.pause is not None) and not row.claimed:",
        after="if row.paused is not None or row.pause is not None:",
        killed_by=tests(_PAUSES, "test_a_worker_that_dies_in_a_paused_saga_is_noticed"),
        dies_of=("KeyError",),  # of an effect that nobody wrote down
    ),
    _recovery(
        name="a paused saga whose call has settled is looked at for ever",
        guard="pause",
        before="            store.sit(connection, row)\n",
        after="            pass\n",
        killed_by=tests(_PAUSES, "test_a_call_in_hand_ends_before_the_pause_holds"),
    ),
    _rows(
        name="time passes for a paused saga",
        guard="pause",
        before='f"{UNPAUSE}, timeout_at = timeout_at + {_STOOD}, "',
        after='f"{UNPAUSE}, timeout_at = timeout_at, "',
        killed_by=tests(
            _PAUSES, "test_a_paused_saga_stands_still_and_goes_on_where_it_stood", _PAUSED_TYPE
        ),
    ),
    _rows(
        name="time passes until somebody meets the pause of a type",
        guard="pause",
        before="SELECT CASE WHEN count(*) > 0 THEN",
        after="SELECT CASE WHEN false THEN",
        killed_by=tests(_PAUSES, "test_the_end_of_a_sagas_time_meets_the_pause_of_its_type"),
    ),
    _recovery(
        name="time passes for whom no message met in a pause",
        guard="pause",
        before="row, told, stood=stood)",
        after="row, told, stood=timedelta(0))",
        killed_by=tests(_PAUSES, "test_the_clock_of_a_saga_that_no_message_met_stood_still_too"),
    ),
    _recovery(
        name="a pause is lifted while a latecomer may still meet it",
        guard="pause",
        before="if not stood and not pause.is_settling:",
        after="if not stood:",
        killed_by=tests(
            _PAUSES, "test_a_pause_that_ended_is_lifted_once_nobody_can_meet_it_any_more"
        ),
    ),
    _standstill(
        name="the end of a type's pause resumes what was paused by itself",
        guard="pause",
        before="paused IN ('type', 'step') AND (%(step)s",
        after="paused IS NOT NULL AND (%(step)s",
        killed_by=tests(_PAUSES, "test_a_saga_paused_by_itself_stays_so_when_its_type_is_resumed"),
    ),
    _intervene(
        name="a saga is cancelled over a live call",
        guard="claim",
        before="if at.claimed or at.waiting_for is WaitingFor.PROBE:\n                return Stop",
        after="if False:\n                return Stop",
        killed_by=tests(_INTERVENE, "test_what_is_in_hand_ends_before_a_cancelled_saga_goes_back"),
    ),
    _watched(
        name="an operator's retry keeps the epoch",
        guard="epoch",
        before="raise_epoch=1 if move.taken_over or move.hurried else 0,",
        after="raise_epoch=1 if move.taken_over else 0,",
        killed_by=tests(_OLD, "test_the_retry_that_an_operator_did_not_wait_for_comes_too_late"),
    ),
    _rows(
        name="a FAILED saga goes on in its old epoch",
        guard="epoch",
        before="epoch = epoch + 1, ",
        after="",
        killed_by=tests(
            _OLD, "test_a_failed_saga_that_goes_on_is_another_ones_than_that_which_failed"
        ),
    ),
    _wait_rows(
        name="a signal that ends a transaction's wait keeps the epoch",
        guard="epoch",
        before='    "epoch = epoch + CASE WHEN %(accepted)s THEN 0 ELSE 1 END, "\n',
        after="",
        killed_by=tests(
            _OLD, "test_a_wait_that_is_written_down_too_late_does_not_park_what_was_signalled"
        ),
    ),
    _intervene(
        name="what may have happened is tried under a new key",
        guard="idempotency key",
        before="new_key = known is Effect.NOT_DONE and saga",
        after="new_key = saga",
        killed_by=tests(_INTERVENE, "test_a_failed_step_is_retried_under_the_same_key"),
    ),
    _intervene(
        name="what was refused for good is tried under the same key",
        guard="idempotency key",
        before="new_key = known is Effect.NOT_DONE and saga",
        after="new_key = False and saga",
        killed_by=tests(_INTERVENE, "test_what_surely_did_not_happen_is_retried_under_a_new_key"),
    ),
    _findings(
        name="a late success under an old key is taken for one under the new",
        guard="late success",
        before="    if under_old_key:\n",
        after="    if False:\n",
        killed_by=tests(
            "unit/test_decide_late",
            "test_a_late_success_under_an_old_key_stops_what_goes_on_under_a_new_one",
        ),
    ),
    _rows(
        name="a FAILED saga goes on without its business key",
        guard="business key",
        before='"holds_key = true, epoch',
        after='"epoch',
        killed_by=tests(_ACTS, "test_a_saga_whose_business_key_was_taken_meanwhile_must_wait"),
        dies_of=("IntegrityError",),  # a rule of the table holds where the statement does not
    ),
    _operator(
        name="an operator acts on what they did not see",
        guard="operator",
        before="if version is not None and version != row.version:",
        after="if False:",
        killed_by=tests(_OPERATOR, "test_a_version_that_is_old_is_refused"),
    ),
    _operator(
        name="an operator may do anything",
        guard="operator",
        before="if (why := why_not(saga, row, asked.what, asked.step)) is not None:",
        after='if (why := why_not(saga, row, asked.what, asked.step)) == "":',
        killed_by=tests(
            _OPERATOR, "test_the_predicate_and_the_engine_agree_on_every_action_in_every_standing"
        ),
        dies_of=("IntegrityError", "AssertionError"),
    ),
    _operator(
        name="nobody knows who acted",
        guard="operator",
        before="                actor=self._actor,\n                state=",
        after="                state=",
        killed_by=tests(_PAUSES, "test_a_paused_saga_stands_still_and_goes_on_where_it_stood"),
    ),
    _operator(
        name="what an operator does is published before it is committed",
        guard="publishing after commit",
        before="""        if isinstance(followup, Publish):
            self._engine.publish_or_leave(followup.publication)
        return Acted(""",
        after="""            if isinstance(followup, Publish):
                self._engine.publish_or_leave(followup.publication)
        return Acted(""",
        killed_by=tests(_ACTS, "test_without_the_commit_there_is_neither_the_action_nor_its_event"),
    ),
)
