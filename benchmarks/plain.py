"""The same refund without sagas: a plain Celery chain of the same four steps.

The steps call the same functions in transactions of their own, with the settings, limits, retries
and serializer that the saga's tasks have, so that nothing but durability makes the difference.
Nobody watches over it: a chain whose worker or broker dies stops where it is.
"""

import math
from typing import Any
from uuid import uuid4

import httpx
from celery import Celery, Task, chain, signals
from kombu.entity import Exchange, Queue
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from gateways.payments import UnexpectedAnswer
from models import Order, Payment, PaymentStatus, RefundState
from saga import IdempotencyKey, PollAgain, TryAgain, connect
from settings import settings
from tasks import payment_refund as steps
from workflows import refund

QUEUE = "plain"

celery = Celery("plain")
celery.config_from_object("celeryconfig")
celery.conf.task_queues = [Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE)]  # type: ignore[no-untyped-call]
celery.conf.task_default_queue = QUEUE
celery.conf.task_routes = {}
celery.conf.beat_schedule = {}

database = connect(settings.database_url.get_secret_value())
signals.worker_process_init.connect(lambda **_: database.dispose(close=False), weak=False)


def _options(step: int) -> dict[str, Any]:
    limit = refund.steps[step].timeout.total_seconds()
    return {
        "autoretry_for": (OperationalError, TryAgain, UnexpectedAnswer, httpx.TransportError),
        "max_retries": refund.steps[step].retry.retries,
        "retry_backoff": 2,
        "soft_time_limit": limit,
        "time_limit": limit + 5,
    }


@celery.task(name="plain.set_refunding_status", **_options(0))  # type: ignore[untyped-decorator]
def set_refunding_status(state: dict[str, Any]) -> dict[str, Any]:
    with Session(database) as session, session.begin():
        return _json(steps.set_refunding_status(_model(state), session))


@celery.task(name="plain.call_provider_refund", bind=True, **_options(1))  # type: ignore[untyped-decorator]
def call_provider_refund(task: Task, state: dict[str, Any], key: str) -> dict[str, Any]:
    answer = steps.call_provider_refund(_model(state), IdempotencyKey(key))
    if isinstance(answer, PollAgain) and answer.after is not None:
        raise task.retry(countdown=math.ceil(answer.after.total_seconds()), max_retries=None)
    return _json(answer)


@celery.task(name="plain.update_payment_status", **_options(2))  # type: ignore[untyped-decorator]
def update_payment_status(state: dict[str, Any]) -> dict[str, Any]:
    with Session(database) as session, session.begin():
        return _json(steps.update_payment_status(_model(state), session))


@celery.task(name="plain.update_order_status", **_options(3))  # type: ignore[untyped-decorator]
def update_order_status(state: dict[str, Any]) -> None:
    with Session(database) as session, session.begin():
        steps.update_order_status(_model(state), session)


def start(payment_id: str, reason: str) -> None:
    """Look at the payment and its order as a saga's producer does, and publish the chain."""
    with Session(database) as session:
        payment = session.get(Payment, payment_id)
        if payment is None or payment.status != PaymentStatus.SUCCESS:
            raise ValueError(f"payment {payment_id} cannot be refunded")
        if session.scalar(select(Order.id).where(Order.id == payment.order_id)) is None:
            raise ValueError(f"payment {payment_id} has no order")
        state = RefundState(
            payment_id=payment.id,
            payment_no=payment.payment_no,
            order_id=payment.order_id,
            user_id=payment.user_id,
            method=payment.method,
            currency=payment.currency,
            payment_minor=payment.amount_minor,
            amount_minor=payment.left_minor,
            reason=reason,
        )
    # The key is made once, here: a step that is tried again sends the same.
    key = uuid4().hex
    chain(
        set_refunding_status.s(_json(state)),
        call_provider_refund.s(key),
        update_payment_status.s(),
        update_order_status.s(),
    ).apply_async()


def _model(state: dict[str, Any]) -> RefundState:
    return RefundState.model_validate(state)


def _json(state: object) -> dict[str, Any]:
    assert isinstance(state, RefundState), "a refund's own steps wait for nothing"
    return state.model_dump(mode="json")
