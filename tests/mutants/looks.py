"""Guards in the statements that find and lock rows: saga/queries.py."""

from functools import partial

from tests.mutants.mutant import Mutant, tests

_queries = partial(Mutant, file="saga/queries.py")

LOOKS = (
    _queries(
        name="a message of another epoch may act",
        guard="epoch",
        before="saga_id = %(saga_id)s AND epoch = %(epoch)s AND current_step",
        after="saga_id = %(saga_id)s AND current_step",
        killed_by=tests("integration/test_engine_messages", "test_another_epoch"),
    ),
    _queries(
        name="a claim of another epoch may settle",
        guard="epoch",
        before="""WHERE saga_id = %(saga_id)s AND epoch = %(epoch)s "
        "AND claimed_by""",
        after="""WHERE saga_id = %(saga_id)s "
        "AND claimed_by""",
        killed_by=tests(
            "integration/test_queries", "test_a_claim_is_found_by_its_owner_in_its_epoch_alone"
        ),
    ),
    _queries(
        name="anybody settles a claim",
        guard="claim",
        before='"AND claimed_by = %(token)s::uuid FOR UPDATE"',
        after='"FOR UPDATE"',
        killed_by=tests(
            "integration/test_engine_calls",
            "test_a_settle_whose_commit_answer_was_lost_is_recognised",
        ),
    ),
    _queries(
        name="what is claimed is claimed again",
        guard="claim",
        before="AND claimed_by IS NULL AND (not_before",
        after="AND (not_before",
        killed_by=tests(
            "integration/test_engine_messages",
            "test_a_duplicate_while_the_step_runs[pay]",
            "test_a_claimed_saga_tells_duplicates_that_it_is_claimed",
        ),
    ),
    _queries(
        name="a message acts on a row that nobody locked",
        guard="row lock",
        before='''<= clock_timestamp())
FOR UPDATE SKIP LOCKED"""''',
        after='''<= clock_timestamp())"""''',
        killed_by=tests(
            "integration/test_queries",
            "test_whoever_decides_about_a_row_has_it_locked[lock_for]",
        ),
    ),
    _queries(
        name="a message waits for whoever has the row",
        guard="row lock",
        before='''<= clock_timestamp())
FOR UPDATE SKIP LOCKED"""''',
        after='''<= clock_timestamp())
FOR UPDATE"""''',
        killed_by=tests(
            "integration/test_engine_transaction",
            "test_a_row_that_another_transaction_holds_is_not_waited_for",
        ),
    ),
    _queries(
        name="a settle does not lock the row",
        guard="row lock",
        before='"AND claimed_by = %(token)s::uuid FOR UPDATE"',
        after='"AND claimed_by = %(token)s::uuid"',
        killed_by=tests(
            "integration/test_queries",
            "test_whoever_decides_about_a_row_has_it_locked[lock_claim]",
        ),
    ),
    _queries(
        name="link_error and a late success do not lock the row",
        guard="row lock",
        before='WHERE saga_id = %(saga_id)s FOR UPDATE"',
        after='WHERE saga_id = %(saga_id)s"',
        killed_by=tests(
            "integration/test_queries", "test_whoever_decides_about_a_row_has_it_locked[lock]"
        ),
    ),
    _queries(
        name="recovery does not lock the row",
        guard="row lock",
        before='AND {_DUE} FOR UPDATE SKIP LOCKED"',
        after='AND {_DUE}"',
        killed_by=tests(
            "integration/test_queries", "test_whoever_decides_about_a_row_has_it_locked[lock_due]"
        ),
    ),
    _queries(
        name="recovery waits for a row that somebody locked",
        guard="recovery",
        before="LIMIT %(most)s FOR UPDATE SKIP LOCKED",
        after="LIMIT %(most)s",
        killed_by=tests(
            "integration/test_queries", "test_recovery_passes_by_a_row_that_another_one_has"
        ),
    ),
    _queries(
        name="a message of another step may act",
        guard="place",
        before=" AND current_step = %(step)s AND {ours}",
        after=" AND {ours}",
        killed_by=tests("integration/test_engine_messages", "test_a_saga_that_stands_elsewhere"),
    ),
    _queries(
        name="a step of a completed saga runs again",
        guard="place",
        before="\"status = 'RUNNING' AND (waiting_for",
        after='"(waiting_for',
        killed_by=tests("integration/test_engine_messages", "test_a_saga_that_is_done"),
        dies_of=("IntegrityError",),  # a rule of the table holds where the message does not
    ),
    _queries(
        name="a duplicate calls while the probe is asked",
        guard="place",
        before=" AND (waiting_for IS NULL OR waiting_for IN ('poll', 'sleep'))",
        after="",
        killed_by=tests(
            "integration/test_engine_messages", "test_a_duplicate_while_the_probe_is_asked"
        ),
    ),
    _queries(
        name="a compensation runs before the saga turned back",
        guard="place",
        before="Kind.COMPENSATION: \"status = 'COMPENSATING'\"",
        after='Kind.COMPENSATION: "true"',
        killed_by=tests("integration/test_engine_messages", "test_a_saga_that_stands_elsewhere"),
    ),
    _queries(
        name="a probe that nobody waits for is asked",
        guard="place",
        before="\"waiting_for IN ('probe', 'second_look')\"",
        after='"true"',
        killed_by=tests("integration/test_engine_messages", "test_a_probe_that_nobody_waits_for"),
    ),
    _queries(
        name="a message acts before its time",
        guard="place",
        before="AND claimed_by IS NULL AND (not_before IS NULL OR not_before <= clock_timestamp())",
        after="AND claimed_by IS NULL",
        killed_by=tests(
            "integration/test_engine_chain",
            "test_a_message_that_comes_before_its_time_is_dropped",
        ),
    ),
    _queries(
        name="a frozen worker keeps its row locked",
        guard="row lock",
        before="set_config('idle_in_transaction_session_timeout', %(idle_limit)s, true)",
        after="%(idle_limit)s",
        killed_by=tests(
            "integration/test_queries",
            "test_a_frozen_step_keeps_its_row_for_its_limit_and_no_longer",
        ),
    ),
    _queries(
        name="what is on its way is published again",
        guard="recovery",
        before="wake_at <= statement_timestamp() AND (claimed_by",
        after="wake_at IS NOT NULL AND (claimed_by",
        killed_by=tests("integration/test_recovery", "test_what_is_on_its_way_is_left_alone"),
    ),
    _queries(
        name="a server that came back takes live workers over",
        guard="take-over",
        before="OR clock_timestamp() > pg_postmaster_start_time() + %(lease)s)",
        after="OR %(lease)s IS NOT NULL)",
        killed_by=tests(
            "integration/test_recovery",
            "test_a_server_that_just_came_back_gives_live_workers_one_lease",
        ),
    ),
    _queries(
        name="a lost claim is taken for a settled one",
        guard="late success",
        before=" AND kind <> 'attempt_started' ORDER",
        after=" ORDER",
        killed_by=tests(
            "integration/test_engine_zombies", "test_a_late_success_is_recorded_all_the_same"
        ),
    ),
)
