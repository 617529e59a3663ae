"""Guards around a word that a person must act, and around a word from outside."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_forward = partial(Mutant, file="saga/decide/forward.py")
_findings = partial(Mutant, file="saga/decide/findings.py")
_late = partial(Mutant, file="saga/late_success.py", guard="late success")
_DECIDE = "unit/test_decide_needs_person"
_LATE = "integration/test_late_success"

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
            "integration/test_engine_calls",
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
)
