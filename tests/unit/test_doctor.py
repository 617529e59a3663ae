"""What the doctor says of what it saw."""

from dataclasses import replace
from datetime import timedelta

from saga import schema
from saga.doctor import Finding, Level
from saga.doctor.checks import examine
from saga.doctor.facts import CeleryFacts, DatabaseFacts, Facts, TaskFacts, WorkerFacts
from saga.doctor.settings import examine_settings

CALL = TaskFacts(
    name="refund.call",
    acks_late=True,
    reject_on_worker_lost=True,
    hard_limit=timedelta(seconds=35),
)
CELERY = CeleryFacts(
    transport="redis",
    acks_late=True,
    reject_on_worker_lost=True,
    cancels_on_connection_loss=False,
    always_eager=False,
    ignores_results=True,
    result_backend=None,
    prefetch_multiplier=1,
    visibility_timeout=timedelta(minutes=15),
    tasks=(CALL,),
)
DATABASE = DatabaseFacts(
    version="18.1",
    version_number=180_001,
    clock_ahead=timedelta(milliseconds=20),
    schema=schema.LATEST,
    last_scan=timedelta(seconds=1),
)
LANES = WorkerFacts(
    name="worker1@here",
    pool="prefork",
    queues=frozenset({"saga.compensation", "saga.continuing", "saga.new"}),
    prefetch=1,
)
RECOVERY = WorkerFacts(
    name="recovery@here", pool="prefork", queues=frozenset({"saga.recovery"}), prefetch=1
)
WELL = Facts(
    celery=CELERY,
    scan=timedelta(seconds=2),
    database=DATABASE,
    workers=(LANES, RECOVERY),
)


def troubles(facts: Facts) -> list[tuple[str, Level]]:
    found = [*examine(facts), *examine_settings(facts.celery)]
    assert all(finding.advice for finding in found if finding.level is not Level.OK)
    return [(finding.name, finding.level) for finding in found if finding.level is not Level.OK]


def of_database(**changes: object) -> list[tuple[str, Level]]:
    return troubles(replace(WELL, database=replace(DATABASE, **changes)))


def of_celery(**changes: object) -> list[tuple[str, Level]]:
    return troubles(replace(WELL, celery=replace(CELERY, **changes)))


def of_workers(*workers: WorkerFacts) -> list[tuple[str, Level]]:
    return troubles(replace(WELL, workers=workers))


def test_a_stack_that_is_well_has_nothing_to_do() -> None:
    assert troubles(WELL) == []


def test_a_database_that_is_away_is_the_only_thing_said_of_it() -> None:
    away = replace(WELL, database=None, database_error="Connection refused")

    assert troubles(away) == [("database", Level.BAD)]


def test_an_old_postgresql_and_a_wrong_clock_are_told() -> None:
    assert of_database(version_number=120_022) == [("database", Level.BAD)]
    assert of_database(version_number=140_000) == []
    assert of_database(clock_ahead=timedelta(seconds=-6)) == [("clock", Level.WARN)]


def test_missing_tables_and_migrations_are_bad_and_newer_ones_only_strange() -> None:
    assert of_database(schema=0, last_scan=None) == [("migrations", Level.BAD)]
    assert of_database(pending_migrations=("0002",)) == [("migrations", Level.BAD)]
    assert of_database(schema=schema.LATEST + 1) == [("migrations", Level.WARN)]


def test_recovery_is_dead_after_five_scans_without_a_sign() -> None:
    assert of_database(last_scan=timedelta(seconds=10)) == []
    assert of_database(last_scan=timedelta(seconds=10.1)) == [("recovery", Level.BAD)]
    assert of_database(last_scan=None) == [("recovery", Level.BAD)]


def test_sagas_in_trouble_are_told_by_what_to_do_about_them() -> None:
    assert of_database(stuck=1) == [("stuck sagas", Level.BAD)]
    assert of_database(unknown=1) == [("unknown sagas", Level.WARN)]
    assert of_database(failed=1) == [("failed sagas", Level.WARN)]
    assert of_database(paused=("sale, by Ann",)) == [("paused", Level.WARN)]


def test_of_a_broker_that_is_away_no_worker_is_asked_for() -> None:
    away = replace(WELL, broker_error="refused", workers=())

    assert troubles(away) == [("broker", Level.BAD)]


def test_a_lane_that_nobody_consumes_is_bad() -> None:
    assert of_workers() == [("workers", Level.BAD)]
    assert of_workers(LANES) == [("lanes", Level.BAD)]
    for lane in LANES.queues:
        part = replace(LANES, queues=LANES.queues - {lane})
        assert of_workers(part, RECOVERY) == [("lanes", Level.BAD)]


def test_recovery_that_shares_its_worker_is_warned_of() -> None:
    both = replace(LANES, queues=LANES.queues | RECOVERY.queues)

    assert of_workers(both) == [("recovery worker", Level.WARN)]


def test_a_pool_without_time_limits_is_bad_and_a_deep_prefetch_is_warned_of() -> None:
    threads = replace(LANES, pool="threads")
    assert of_workers(threads, RECOVERY) == [("pool of worker1@here", Level.BAD)]

    greedy = replace(LANES, prefetch=4)
    assert of_workers(greedy, RECOVERY) == [("prefetch of worker1@here", Level.WARN)]


def test_settings_that_break_the_promise_are_bad() -> None:
    assert of_celery(acks_late=False) == [("task_acks_late", Level.BAD)]
    assert of_celery(reject_on_worker_lost=False) == [("task_reject_on_worker_lost", Level.BAD)]
    assert of_celery(always_eager=True) == [("task_always_eager", Level.BAD)]
    assert of_celery(cancels_on_connection_loss=True) == [
        ("worker_cancel_long_running_tasks_on_connection_loss", Level.BAD)
    ]


def test_one_task_with_settings_of_its_own_is_found() -> None:
    assert of_celery(tasks=(CALL, replace(CALL, acks_late=False))) == [
        ("task_acks_late", Level.BAD)
    ]
    assert of_celery(tasks=(replace(CALL, reject_on_worker_lost=False),)) == [
        ("task_reject_on_worker_lost", Level.BAD)
    ]
    assert of_celery(tasks=(replace(CALL, hard_limit=None),)) == [("time limits", Level.BAD)]


def test_a_step_that_may_outlast_its_messages_invisibility_is_bad() -> None:
    assert of_celery(visibility_timeout=timedelta(seconds=35)) == [
        ("visibility_timeout", Level.BAD)
    ]
    assert of_celery(visibility_timeout=timedelta(seconds=36)) == []
    assert of_celery(visibility_timeout=None) == []


def test_what_only_costs_is_warned_of() -> None:
    assert of_celery(result_backend="redis://here") == [("result_backend", Level.WARN)]
    assert of_celery(ignores_results=False) == [("task_ignore_result", Level.WARN)]
    assert of_celery(prefetch_multiplier=4) == [("worker_prefetch_multiplier", Level.WARN)]
    assert of_celery(transport="memory") == [("broker_url", Level.WARN)]


def test_a_warning_is_ok_for_a_program_and_what_is_bad_is_not() -> None:
    assert Finding.warn("n", "d", "a").as_json() == {
        "name": "n",
        "ok": True,
        "level": "warn",
        "detail": "d",
        "advice": "a",
    }
    assert Finding.bad("n", "d", "a").as_json()["ok"] is False
