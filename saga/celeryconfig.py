"""The settings of Celery that the promises rest on: ``config_from_object("saga.celeryconfig")``.

Settings of your own may follow; `saga doctor` tells when one of them breaks a promise. Why each
stands here: docs/explanation/celery.md.
"""

from kombu.entity import Exchange, Queue

from saga.followup import Lane
from saga.timing import Timing
from saga.worker import COMPENSATE, RECOVER, RECOVERY_QUEUE, scans

broker_connection_retry_on_startup = True

# Workers take from the first queue that has something: going back goes before going on, and
# both go before what is new.
task_queues = [
    Queue(name, Exchange(name), routing_key=name)  # type: ignore[no-untyped-call]
    for name in (*Lane, RECOVERY_QUEUE)
]
task_default_queue = Lane.NEW.value
task_routes = {
    COMPENSATE: {"queue": Lane.COMPENSATION.value},
    RECOVER: {"queue": RECOVERY_QUEUE},
}
broker_transport_options = {
    # Far above every step's hard limit: a shorter one would run healthy steps twice.
    "visibility_timeout": 900,
    "queue_order_strategy": "priority",
}

# A message is acknowledged when its step is recorded, never before.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False

# The truth is saga_state, so nobody needs results.
result_backend = None
task_ignore_result = True

# What Flower shows.
worker_send_task_events = True
task_send_sent_event = True

enable_utc = True
timezone = "UTC"

beat_schedule = scans(Timing().scan)
beat_max_loop_interval = 1
