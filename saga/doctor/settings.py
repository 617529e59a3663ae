"""Which of Celery's settings would break the promise: pure judgements."""

from collections.abc import Iterator

from saga.doctor.facts import CeleryFacts
from saga.doctor.finding import Finding

_LOSING = frozenset({"memory", "filesystem", "sqla", "sqlalchemy"})


def examine_settings(seen: CeleryFacts) -> Iterator[Finding]:
    """Judge Celery's settings; one finding says that all are well."""
    faults = [*_delivery(seen), *_time(seen), *_results(seen)]
    yield from faults
    if not faults:
        yield Finding.ok("celery settings", "acknowledged late, limited, nothing kept twice")


def _delivery(seen: CeleryFacts) -> Iterator[Finding]:
    if seen.always_eager:
        yield Finding.bad(
            "task_always_eager",
            "tasks run inside the process that starts them: no worker, no retry, no limit",
            "remove task_always_eager",
        )
    early = [task.name for task in seen.tasks if not task.acks_late]
    if early or not seen.acks_late:
        yield Finding.bad(
            "task_acks_late",
            "messages are acknowledged before their step ran: a crash loses them",
            "set task_acks_late = True" + (f", also for {', '.join(early)}" if early else ""),
        )
    kept = [task.name for task in seen.tasks if not task.reject_on_worker_lost]
    if kept or not seen.reject_on_worker_lost:
        yield Finding.bad(
            "task_reject_on_worker_lost",
            "a message whose process was killed is dropped",
            "set task_reject_on_worker_lost = True"
            + (f", also for {', '.join(kept)}" if kept else ""),
        )
    if seen.cancels_on_connection_loss:
        yield Finding.bad(
            "worker_cancel_long_running_tasks_on_connection_loss",
            "a broken connection cancels steps that run; with Redis they were seen to stall",
            "set it to False: claims and epochs already keep a second run harmless",
        )
    if seen.transport in _LOSING:
        yield Finding.warn(
            "broker_url",
            f"the {seen.transport} transport loses messages that a killed worker had",
            "use Redis or RabbitMQ; with this one every such saga waits for recovery",
        )
    if seen.prefetch_multiplier != 1:
        yield Finding.warn(
            "worker_prefetch_multiplier",
            f"it is {seen.prefetch_multiplier}: messages wait behind slow steps",
            "set it to 1, unless all steps are short",
        )


def _time(seen: CeleryFacts) -> Iterator[Finding]:
    unlimited = [task.name for task in seen.tasks if task.hard_limit is None]
    if unlimited:
        yield Finding.bad(
            "time limits",
            f"{', '.join(unlimited)} may run for ever",
            "give each step's task a time_limit; saga.worker.register does",
        )
    if seen.visibility_timeout is None:
        return
    for task in seen.tasks:
        if task.hard_limit is not None and task.hard_limit >= seen.visibility_timeout:
            yield Finding.bad(
                "visibility_timeout",
                f"{task.name} may run for {task.hard_limit.total_seconds():g} s, and after "
                f"{seen.visibility_timeout.total_seconds():g} s its message is given to another",
                "raise broker_transport_options['visibility_timeout'] above every hard limit",
            )


def _results(seen: CeleryFacts) -> Iterator[Finding]:
    if seen.result_backend is not None:
        yield Finding.warn(
            "result_backend",
            f"results are kept in {seen.result_backend}: nobody reads them, and each costs a write",
            "set result_backend = None; the truth is saga_state",
        )
    if not seen.ignores_results:
        yield Finding.warn(
            "task_ignore_result",
            "every task publishes a result that nobody reads",
            "set task_ignore_result = True",
        )
