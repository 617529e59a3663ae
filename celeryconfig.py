"""Celery's settings, and only those: the engine's, and what this application adds."""

from saga.celeryconfig import *  # noqa: F403 - Celery reads a module's names
from saga.worker import scans
from settings import settings

broker_url = settings.celery_broker_url.get_secret_value()
worker_hijack_root_logger = False
beat_schedule = scans(settings.timing.scan)
