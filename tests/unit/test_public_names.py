"""Every name ever shipped. What stands here stays: add to it, never change or remove a line."""

import ast
from pathlib import Path

import pytest

import saga
from models import Difference
from saga.followup import Lane
from saga.position import Intervention, Outcome, Paused, Status, StopReason, WaitingFor
from saga.registry import Registry
from saga.task import Effect
from tests.unit.kinds import kinds_of
from workflows import creation, deletion, refund, upload
from workflows.reconciliation import RECONCILE
from workflows.sweeping import SWEEP, TIDY, TIDY_CONTAINERS, Kind

pytestmark = pytest.mark.unit

PUBLIC = {
    *("BusinessKeyTaken", "CannotTell", "Conflict", "DefinitionError", "DidNotHappen", "Effect"),
    *("Engine", "ExtraProcess", "Forward", "Happened", "IdempotencyKey", "IdempotencyKeyReused"),
    *("InvalidInput", "NotFound", "PollAgain", "Producer", "Refused", "RetryPolicy", "Role"),
    *("Saga", "SagaApp", "SagaError", "SagaNotFound", "StartError", "Started", "Status", "Step"),
    *("StepMisbehaved", "Timing", "TryAgain", "compensatable", "connect", "external"),
    *(
        "Acted",
        "NeedsPerson",
        "Operator",
        "Outcome",
        "PollPolicy",
        "Signal",
        "SleepUntil",
        "Wait",
        "on_signal",
        "sleep_until",
    ),
    *("external_compensation", "manual", "nothing_to_compensate", "pivot", "probe", "retriable"),
    *("skip", "progress", "ClaimLost"),
    *("transactional", "transactional_compensation"),
    *("CeleryPublisher", "LoanError", "borrowed", "producer", "register"),
    *("BadSignal", "NotAllowedNow", "Received", "SagaBusy", "SagaIsOver"),
}

TASKS = {
    "payment_refund.set_refunding_status",
    "payment_refund.restore_payment_status",
    "payment_refund.call_provider_refund",
    "payment_refund.find_provider_refund",
    "payment_refund.update_payment_status",
    "payment_refund.reopen_payment",
    "payment_refund.update_order_status",
    "payment_refund.reopen_order",
    "app_upload.create_app_record",
    "app_upload.remove_app_record",
    "app_upload.upload_to_object_store",
    "app_upload.remove_from_object_store",
    "app_upload.update_app_status",
    "app_upload.withdraw_app",
    "app_upload.update_latest_version",
    "app_upload.leave_latest_version",
    "app_upload.send_notification",
    "device_creation.check_quota",
    "device_creation.release_quota",
    "device_creation.create_container",
    "device_creation.remove_container",
    "device_creation.create_device_record",
    "device_creation.remove_device_record",
    "device_creation.initialize_device",
    "device_creation.update_quota_usage",
    "device_deletion.stop_container",
    "device_deletion.remove_container",
    "device_deletion.release_ports",
    "device_deletion.release_quota",
    "device_deletion.delete_record",
}

EVENT_KINDS = {
    *("started", "attempt_started", "attempt_counted", "attempt_failed", "step_done"),
    *("completed", "accepted", "probe_planned", "compensating", "step_compensated"),
    *("compensated", "timed_out", "failed", "dispatched", "taken_over", "overdue"),
    *("looked_again", "late_success", "unknown_definition", "waiting", "sleeping", "signalled"),
    *("signal_received", "stopping", "retried", "compensation_ordered", "resolved", "paused"),
    *("resumed", "step_skipped", "progress"),
}


def test_what_authors_import_stays() -> None:
    exported = set(saga.__all__)

    assert exported >= PUBLIC, f"gone: {PUBLIC - exported}"
    assert exported <= PUBLIC, f"new, to be listed here: {exported - PUBLIC}"
    assert all(hasattr(saga, name) for name in exported)


def test_exported_names_are_sorted_and_listed_once() -> None:
    assert sorted(set(saga.__all__)) == saga.__all__


def test_the_names_of_tasks_stay() -> None:
    assert set(Registry([refund, upload, creation, deletion]).places) == TASKS


def test_the_engines_own_tasks_and_queues_stay() -> None:
    from saga import worker  # noqa: PLC0415 - knows Celery, which nothing else here does

    assert (worker.COMPENSATE, worker.RECOVER) == ("saga.compensate", "saga.recover")
    assert [*Lane, worker.RECOVERY_QUEUE] == [
        *("saga.compensation", "saga.continuing", "saga.new", "saga.recovery"),
    ]


def test_statuses_stay() -> None:
    assert set(Status) == {
        *("RUNNING", "COMPLETED", "COMPENSATING", "COMPENSATED", "TIMEOUT", "FAILED"),
    }


def test_what_is_stored_of_effects_and_reasons_stays() -> None:
    assert set(Effect) == {
        *("not_started", "done", "not_done", "unknown", "compensated", "compensation_failed"),
    }
    assert set(WaitingFor) == {"probe", "poll", "signal", "sleep", "second_look"}
    assert set(StopReason) == {"refused", "gave_up", "timeout", "cancelled", "ordered"}
    assert set(Paused) == {"saga", "type", "step"}
    assert set(Intervention) == {"retry", "compensate", "cancel", "pause", "resume", "resolve"}
    assert set(Outcome) == {"done", "not_done"}


def test_what_is_stored_of_a_reconciliation_stays() -> None:
    assert RECONCILE == "payment_refund.reconcile"
    assert set(Difference) == {
        *("not_booked", "refunded_twice", "not_refunded", "not_final", "may_still_happen"),
        *("other_amount", "number_reused", "over_the_payment", "payment_differs"),
    }


def test_what_is_stored_of_a_sweep_stays() -> None:
    assert (SWEEP, TIDY) == ("sweeping.sweep", "app_upload.tidy_staging")
    assert TIDY_CONTAINERS == "device_creation.tidy_containers"
    assert set(Kind) == {
        *("staged_file", "upload", "object", "record"),
        *("container", "port", "share"),
    }


def test_the_kinds_of_events_stay() -> None:
    package = Path(saga.__file__).parent
    modules = [ast.parse(path.read_text()) for path in package.rglob("*.py")]
    written = {kind for module in modules for kind in kinds_of(module)}

    assert written >= EVENT_KINDS, f"gone: {EVENT_KINDS - written}"
    assert written <= EVENT_KINDS, f"new, to be listed here: {written - EVENT_KINDS}"
