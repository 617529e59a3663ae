"""Celery's settings, and only those: the engine's, and what this application adds."""

from datetime import timedelta
from typing import Any

from saga.celeryconfig import *  # noqa: F403 - Celery reads a module's names
from saga.followup import Lane
from saga.worker import scans
from settings import settings
from workflows.reconciliation import RECONCILE
from workflows.sweeping import SWEEP, TIDY, TIDY_CONTAINERS


def _pass(task: str, every: timedelta) -> dict[str, Any]:
    # One that waited for a whole interval has a successor.
    options = {"queue": Lane.NEW.value, "expires": every.total_seconds()}
    return {"task": task, "schedule": every, "options": options}


broker_url = settings.celery_broker_url.get_secret_value()
worker_hijack_root_logger = False
beat_schedule = {
    **scans(settings.timing.scan),
    "reconcile": _pass(RECONCILE, settings.reconcile_every),
    "sweep": _pass(SWEEP, timedelta(seconds=settings.sweep_seconds)),
    "tidy_staging": _pass(TIDY, timedelta(seconds=settings.app_tidy_seconds)),
    "tidy_containers": _pass(TIDY_CONTAINERS, timedelta(seconds=settings.device_tidy_seconds)),
}
