"""Celery's settings, and only those: the engine's, and what this application adds."""

from saga.celeryconfig import *  # noqa: F403 - Celery reads a module's names
from saga.followup import Lane
from saga.worker import scans
from settings import settings
from workflows.reconciliation import RECONCILE

broker_url = settings.celery_broker_url.get_secret_value()
worker_hijack_root_logger = False
beat_schedule = {
    **scans(settings.timing.scan),
    "reconcile": {
        "task": RECONCILE,
        "schedule": settings.reconcile_every,
        # One that waited for a whole interval has a successor.
        "options": {
            "queue": Lane.NEW.value,
            "expires": settings.reconcile_every.total_seconds(),
        },
    },
}
