"""The only module that knows Celery: tasks, chains, ``link_error``, retries.

Facts it rests on (Celery 5.7): returning normally lets a chain go on, raising Ignore stops it;
``link_error`` is sent as a message of its own, and retried, only for a bound signature; a callback
never proves that a step failed, so it reads the row again.
"""

import math
import threading
from datetime import timedelta
from typing import Any, NoReturn, assert_never
from uuid import UUID

import structlog
from celery import Celery, Task, chain, signals
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from saga.database import is_away
from saga.engine import Engine
from saga.errors import SagaFailed, Said
from saga.followup import (
    BrokerAway,
    Drop,
    Followup,
    Lane,
    Next,
    Park,
    Publication,
    Publish,
    Raise,
    RetryIn,
)
from saga.masks import mask_for_logs
from saga.recovery import Recovery
from saga.runtime import Delivery

COMPENSATE = "saga.compensate"
RECOVER = "saga.recover"
RECOVERY_QUEUE = "saga.recovery"

log = structlog.get_logger("saga")


class CeleryPublisher:
    """Publishes chains through a Celery app."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def publish(self, publication: Publication) -> None:
        """Hand the chain to the broker. Raises BrokerAway."""
        args = (str(publication.saga_id), publication.epoch)
        lanes = [publication.lane] + [_after(publication.lane)] * (len(publication.tasks) - 1)
        tasks = [
            self._celery.signature(task, args=args, immutable=True, queue=lane.value)
            for task, lane in zip(publication.tasks, lanes, strict=True)
        ]
        flow = chain(*tasks, app=self._celery) if len(tasks) > 1 else tasks[0]
        if publication.lane is not Lane.COMPENSATION:
            flow.on_error(
                self._celery.signature(
                    COMPENSATE, args=args[:1], immutable=True, queue=Lane.COMPENSATION.value
                )
            )
        try:
            flow.apply_async()
        except OperationalError as error:
            raise BrokerAway(str(error)) from error

    def waiting(self, lane: Lane) -> int:
        """How many messages wait in the lane. Raises BrokerAway."""
        try:
            with self._celery.connection_for_read() as connection:
                channel = connection.default_channel
                declared = channel.queue_declare(queue=lane.value, passive=True)
                return int(declared.message_count)
        except OperationalError as error:
            raise BrokerAway(str(error)) from error
        except connection.channel_errors:
            return 0  # a queue that nobody declared yet holds nothing


def _after(lane: Lane) -> Lane:
    """The lane of a chain's later tasks: a saga that began goes before new ones."""
    return Lane.CONTINUING if lane is Lane.NEW else lane


def register(celery: Celery, engine: Engine) -> None:
    """Make every step, compensation and probe of the engine a task of the Celery app.

    Adds ``saga.compensate``, which ``link_error`` sends, and ``saga.recover``, which beat sends.
    They are tasks of this app alone: another engine in the process has tasks of its own.
    """
    for name, place in engine.registry.places.items():
        hard = place.limit + engine.timing.grace
        celery.task(
            _step_task(engine, name),
            name=name,
            bind=True,
            shared=False,
            acks_late=True,
            reject_on_worker_lost=True,
            ignore_result=True,
            max_retries=None,
            # What a step says is told by its saga; here it is no error with a traceback.
            throws=(Said, SagaFailed),
            soft_time_limit=place.limit.total_seconds(),
            time_limit=hard.total_seconds(),
        )
    own = {"bind": True, "shared": False, "ignore_result": True}
    celery.task(_compensate_task(engine), name=COMPENSATE, **own)
    recovery = Recovery(engine)
    celery.task(_recover_task(recovery), name=RECOVER, **own)
    signals.worker_process_init.connect(
        lambda **_: engine.database.dispose(close=False), weak=False
    )


def _step_task(engine: Engine, name: str) -> Any:
    is_sensitive = any(
        saga.sensitive
        for saga in engine.registry
        if any(work.name == name for step in saga.steps for work in step.works())
    )

    def run(self: Task, saga_id: str, epoch: int) -> None:
        try:
            followup = engine.run(name, UUID(saga_id), epoch=epoch, delivery=_delivery(self))
        except Exception as error:
            if not is_sensitive:
                raise
            # Trouble of ours, which no followup tells of; Celery logs it, and sends it as an event.
            mask = mask_for_logs(engine.database, engine.registry, UUID(saga_id))
            raise mask.error(error) from None
        _follow(self, engine, saga_id, followup)

    return run


def _delivery(task: Task) -> Delivery:
    info = task.request.delivery_info or {}
    return Delivery(
        task_id=str(task.request.id),
        worker=str(task.request.hostname),
        redelivered=bool(info.get("redelivered")),
    )


def _follow(task: Task, engine: Engine, saga_id: str, followup: Followup) -> None:
    match followup:
        case Next():
            return
        case RetryIn(wait, error):
            raise task.retry(exc=error, countdown=max(1, math.ceil(wait.total_seconds())))
        case Raise(error):
            raise error
        case Publish(publication):
            _publish(engine, publication)
            _stop()
        case Drop(reason):
            DROPPED.count(reason)
            log.info("message dropped", saga_id=saga_id, task=task.name, reason=reason)
            _stop()
        case Park():
            _stop()
        case _:
            assert_never(followup)


def _stop() -> NoReturn:
    raise Ignore


def _publish(engine: Engine, publication: Publication) -> None:
    try:
        engine.publish(publication)
    except BrokerAway as away:
        log.warning("broker away", saga_id=str(publication.saga_id), why=str(away))


class Dropped:
    """Counts, in this process, the messages that were not ours to act on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reasons: dict[str, int] = {}

    def count(self, reason: str) -> None:
        with self._lock:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


DROPPED = Dropped()


def _compensate_task(engine: Engine) -> Any:
    def run(self: Task, saga_id: str) -> None:
        _follow(self, engine, saga_id, engine.send_compensations(UUID(saga_id)))

    return run


def scans(every: timedelta) -> dict[str, Any]:
    """The ``beat_schedule`` that runs recovery; ``every`` is the engine's ``timing.scan``."""
    # A scan that waited for a whole interval has a successor.
    options = {"expires": every.total_seconds()}
    return {"recover": {"task": RECOVER, "schedule": every, "options": options}}


def _recover_task(recovery: Recovery) -> Any:
    def run(self: Task) -> None:  # noqa: ARG001 - bound, as Celery hands it
        try:
            recovery.scan()
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            log.warning("database away, the next scan tries again", why=type(error).__name__)

    return run


def producer(celery: Celery) -> Celery:
    """A copy of the app that gives up within half a second when the broker is away.

    For processes that start sagas: a start must not wait for a broker that is down. All of these
    settings are needed together.
    """
    conf = celery.conf
    quick = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    scheme = str(conf.broker_url).partition(":")[0]
    timeouts = _AMQP_TIMEOUTS if scheme.startswith(("amqp", "pyamqp")) else _REDIS_TIMEOUTS
    fast = Celery(f"{celery.main}-producer", set_as_current=False, broker=conf.broker_url)
    fast.conf.update(
        task_queues=conf.task_queues,
        task_create_missing_queues=conf.task_create_missing_queues,
        task_send_sent_event=conf.task_send_sent_event,
        task_ignore_result=True,
        broker_transport_options={**conf.broker_transport_options, **quick, **timeouts},
        broker_connection_timeout=_PATIENCE,
        task_publish_retry_policy=quick,
    )
    return fast


_PATIENCE = 0.25
_REDIS_TIMEOUTS = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
_AMQP_TIMEOUTS = {"connect_timeout": _PATIENCE, "read_timeout": 0.5, "write_timeout": 0.5}
