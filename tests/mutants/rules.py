"""Guards in the tables themselves: saga/schema."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_schema = partial(Mutant, file="saga/schema/step_1.py")
_schema_2 = partial(Mutant, file="saga/schema/step_2.py")
_CONSTRAINTS = "integration/test_constraints"
_FORBIDDEN = "test_what_the_rules_forbid_cannot_be_written"

RULES = (
    _schema(
        name="the table takes COMPENSATED with an open effect",
        guard="whole way back",
        before="""status NOT IN ('COMPENSATED', 'TIMEOUT') OR NOT jsonb_path_exists(""",
        after="""true OR NOT jsonb_path_exists(""",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[compensated_has_no_open_effect]"),
    ),
    _schema_2(
        name="the table takes an open saga that nobody wakes",
        guard="waking",
        before="status NOT IN ('RUNNING', 'COMPENSATING') OR wake_at IS NOT NULL",
        after="true",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[work_is_watched]"),
    ),
    _schema(
        name="the table takes a claim that nobody watches",
        guard="waking",
        before="claimed_by IS NULL OR wake_at IS NOT NULL",
        after="true",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[claim_is_watched]"),
    ),
    _schema(
        name="the table takes a claim without a hard limit",
        guard="claim",
        before="(claimed_by IS NULL) = (claim_deadline IS NULL)",
        after="true",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[claim_is_whole]"),
    ),
    _schema(
        name="the table takes a parked saga that wakes",
        guard="pivot rule",
        before="status NOT IN ('COMPLETED', 'FAILED') OR (claimed_by IS NULL AND wake_at IS NULL)",
        after="true",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[parked_is_unclaimed]"),
    ),
    _schema(
        name="the table takes TIMEOUT for a refusal",
        guard="time",
        before="OR (status = 'TIMEOUT') = (stop_reason = 'timeout')",
        after="OR true",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[timeout_means_time_ran_out]"),
    ),
    _schema(
        name="an open saga may let go of its business key",
        guard="business key",
        before="ELSE holds_key = (status IN ('RUNNING', 'COMPENSATING')) END",
        after="ELSE true END",
        killed_by=tests(_CONSTRAINTS, f"{_FORBIDDEN}[key_is_held_by_open_sagas]"),
    ),
    _schema(
        name="two open sagas have the same business key",
        guard="business key",
        before="CREATE UNIQUE INDEX saga_state_business_key_of_open",
        after="CREATE INDEX saga_state_business_key_of_open",
        killed_by=tests(
            "integration/test_engine_start",
            "test_a_start_that_meets_an_unfinished_one_waits_for_its_end[business_key]",
        ),
    ),
    _schema(
        name="two sagas have the same idempotency key",
        guard="start",
        before="CREATE UNIQUE INDEX saga_state_idempotency_key",
        after="CREATE INDEX saga_state_idempotency_key",
        killed_by=tests(
            "integration/test_engine_start",
            "test_a_start_that_meets_an_unfinished_one_waits_for_its_end[idempotency_key]",
        ),
    ),
    _schema(
        name="events may be changed",
        guard="history",
        before="CREATE TRIGGER saga_event_is_append_only BEFORE UPDATE ON saga_event",
        after="CREATE TRIGGER saga_event_is_append_only BEFORE UPDATE OF saga_id ON saga_event",
        killed_by=tests(_CONSTRAINTS, "test_what_happened_stays"),
    ),
    _schema(
        name="an event may stand twice",
        guard="history",
        before=",\n    CONSTRAINT saga_event_pkey PRIMARY KEY (saga_id, seq)",
        after="",
        killed_by=tests(_CONSTRAINTS, "test_what_happened_has_one_place_in_its_saga"),
    ),
)
