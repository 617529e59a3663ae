"""Guards around words that a person must act, that an order stands, from outside, and skips."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_forward = partial(Mutant, file="saga/decide/forward.py")
_findings = partial(Mutant, file="saga/decide/findings.py")
_late = partial(Mutant, file="saga/late_success.py", guard="late success")
_DECIDE = "unit/test_decide_needs_person"
_ACCEPTED = "unit/test_decide_found_accepted"
_LATE = "integration/test_late_success"
_SKIP = "unit/test_decide_skip"
_SKIPPING = "integration/test_skip"

NEEDS = (
    _forward(
        name="a call that did nothing clears the doubt about an earlier one",
        guard="unknown",
        before="effect = said.effect if is_final else _sticky(at, said.effect)",
        after="effect = said.effect",
        killed_by=tests(_DECIDE, "test_a_call_that_did_nothing_says_nothing_of_an_earlier_one"),
    ),
    _forward(
        name="what may stand goes back without the person it asked for",
        guard="unknown",
        before="if effect is not Effect.UNKNOWN and saga.step(at.step).role",
        after="if saga.step(at.step).role",
        killed_by=tests(_DECIDE, "test_what_is_to_stop_and_may_stand_waits_for_that_person"),
    ),
    _forward(
        name="what asks for a person past the pivot goes back",
        guard="pivot rule",
        before="effect is not Effect.UNKNOWN and saga.step(at.step).role is not Role.RETRIABLE",
        after="effect is not Effect.UNKNOWN",
        killed_by=tests(_DECIDE, "test_past_the_pivot_nothing_goes_back"),
    ),
    _findings(
        name="a closed key beats a late success",
        guard="late success",
        before="if known is Effect.DONE:\n        return found(",
        after="if False:\n        return found(",
        killed_by=tests(
            _DECIDE, "test_a_late_success_contradicts_a_probe_that_finds_the_key_closed"
        ),
    ),
    _findings(
        name="a probe's closed key makes a compensation skipped",
        guard="whole way back",
        before="Effect.NOT_DONE if is_pivot else Effect.UNKNOWN",
        after="Effect.NOT_DONE",
        killed_by=tests(_DECIDE, "test_a_probes_word_makes_no_compensation_skipped"),
    ),
    _findings(
        name="what was given up is given up although its probe found it accepted",
        guard="probe",
        before="reason = at.stop_reason if at.stop_reason is StopReason.CANCELLED else None",
        after="reason = at.stop_reason",
        killed_by=tests(
            _ACCEPTED, "test_a_pivot_is_waited_for_whatever_it_was_given_up_for[just now-gave_up]"
        ),
    ),
    _findings(
        name="what is to stop waits for what its probe found accepted",
        guard="time",
        before="must_stop = can_stop(saga, waits) and stop_reason(waits) is not None",
        after="must_stop = False",
        killed_by=tests(
            _ACCEPTED, "test_before_the_pivot_what_is_to_stop_does_not_wait[over time]"
        ),
    ),
    _findings(
        name="a late success is forgotten for an older word that the order stands",
        guard="late success",
        before=" or must_stop or is_known:",
        after=" or must_stop:",
        killed_by=tests(_ACCEPTED, "test_a_late_success_is_not_forgotten_for_an_older_answer"),
    ),
    _forward(
        name="a cancellation is forgotten when the calls for the final word are used up",
        guard="operator",
        before="give_up(saga, at, effect, at.stop_reason or StopReason.GAVE_UP)",
        after="give_up(saga, at, effect, StopReason.GAVE_UP)",
        killed_by=tests(
            _ACCEPTED,
            "test_a_cancellation_outlives_the_wait_and_is_obeyed_by_the_final_word",
        ),
    ),
    Mutant(
        file="saga/store/backward.py",
        name="a call that asked for a person is taken for none",
        guard="settle_after",
        before="CASE WHEN %(called)s ",
        after="CASE WHEN false AND %(called)s ",
        killed_by=tests(
            "integration/test_needs_person", "test_a_call_that_asked_for_a_person_ended_then"
        ),
    ),
    Mutant(
        file="saga/call.py",
        name="who lost its claim does not tell that the order stands",
        guard="late success",
        before="return event.effect is Effect.UNKNOWN",
        after="return False",
        killed_by=tests(
            "integration/test_engine_zombies",
            "test_a_late_word_that_the_order_stands_is_recorded_too",
        ),
    ),
    _late(
        name="what an outsider tells again calls a person once more",
        before="if queries.has_told(connection, saga_id, key=key):",
        after="if False:",
        killed_by=tests(
            _LATE, "test_what_is_told_again_is_no_news_even_when_a_person_has_dealt_with_it"
        ),
    ),
    _late(
        name="a doubt that an outsider raised is all that they may say",
        before='detail = {} if is_doubt else {"key": key}',
        after='detail = {"key": key}',
        killed_by=tests(_LATE, "test_a_doubt_that_was_overcome_may_come_true"),
    ),
    _forward(
        name="what is skipped in doubt is taken for not done",
        guard="unknown",
        before="Effect.UNKNOWN if doubted else Effect.NOT_DONE",
        after="Effect.NOT_DONE",
        killed_by=tests(
            _SKIP,
            "test_a_later_word_does_not_clear_the_doubt_about_an_earlier_call",
            "test_a_signal_that_never_comes_is_not_waited_for",
        ),
    ),
    _findings(
        name="the late success of what was skipped contradicts its saga",
        guard="late success",
        before="if _went_past(at, step, effect):",
        after="if False:",
        killed_by=tests(_SKIP, "test_a_late_success_of_what_was_skipped_contradicts_nothing"),
    ),
    Mutant(
        file="saga/decide/intervene.py",
        name="a saga goes on over a step that was taken back, as if it had skipped it",
        guard="operator",
        before="not before.is_skipped(known)",
        after="not before.is_skippable",
        killed_by=tests(_SKIP, "test_what_was_done_and_is_taken_back_is_missed_all_the_same"),
    ),
    Mutant(
        file="saga/settlement/forward.py",
        name="a lost worker's step is skipped in the same epoch",
        guard="epoch",
        before="return 1 if skipped is not None and row.claimed and not by.in_chain else 0",
        after="return 0",
        killed_by=tests(_SKIPPING, "test_who_lost_a_claim_on_what_was_skipped_acts_no_more"),
    ),
    Mutant(
        file="saga/call.py",
        name="a skip whose commit's answer was lost ends its chain",
        guard="own trouble",
        before='"step_done", "step_skipped", "step_compensated"',
        after='"step_done", "step_compensated"',
        killed_by=tests(_SKIPPING, "test_a_skip_whose_commit_answer_was_lost_is_recognised"),
    ),
)
