# ruff: noqa: ARG001 - a step takes what its kind is given, used or not
"""A Celery app whose sagas wait for signals, and who starts them and sends those.

``start HERE…`` starts a saga for each step named, at which it is to wait, and prints their ids;
``signal ID…`` tells each of them, twice, what it waits for.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from celery import Celery
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    Engine,
    Forward,
    IdempotencyKey,
    Saga,
    Wait,
    compensatable,
    connect,
    external,
    on_signal,
    pivot,
    retriable,
    transactional,
    transactional_compensation,
)
from saga.worker import CeleryPublisher, producer, register
from settings import settings


class Visit(BaseModel):
    """``waits_at`` names the step that waits; ``told`` has what it was told."""

    waits_at: str
    told: list[str] = []

    def is_to_wait(self, step: str) -> bool:
        return self.waits_at == step and not self.told


class Came(BaseModel):
    by: str


@on_signal("came", Came)
def came(state: Visit, payload: Came) -> Visit:
    return state.model_copy(update={"told": [*state.told, payload.by]})


_outside = connect(settings.database_url.get_secret_value(), pool_size=1)
_WAIT = Wait(signal="came", timeout=timedelta(minutes=30))


def _did(session: Session, step: str) -> None:
    sql = text("INSERT INTO visit_did SELECT :step, CAST(pg_current_xact_id() AS text)")
    session.execute(sql, {"step": step})


@transactional("visit.announce")
def announce(state: Visit, session: Session) -> Visit | Wait:
    _did(session, "announce")
    return _WAIT if state.is_to_wait("announce") else state


@transactional_compensation("visit.call_off")
def call_off(state: Visit, session: Session, forward: Forward) -> None:
    _did(session, "call_off")


@external("visit.pay")
def pay(state: Visit, key: IdempotencyKey) -> Visit | Wait:
    waits = state.is_to_wait("pay")
    with _outside.begin() as connection:
        sql = text("INSERT INTO visit_call VALUES (:key, :is_paid)")
        connection.execute(sql, {"key": key, "is_paid": not waits})
    return _WAIT if waits else state


@transactional("visit.serve")
def serve(state: Visit, session: Session) -> Visit | Wait:
    _did(session, "serve")
    return _WAIT if state.is_to_wait("serve") else state


visit = Saga(
    name="visit",
    version=1,
    state=Visit,
    timeout=timedelta(hours=1),
    signals=[came],
    steps=[
        compensatable(announce, compensation=call_off),
        pivot(pay, timeout=timedelta(seconds=5)),
        retriable(serve),
    ],
)

celery = Celery("visits")
celery.config_from_object("celeryconfig")
engine = Engine(
    database=connect(settings.database_url.get_secret_value()),
    sagas=[visit],
    publisher=CeleryPublisher(producer(celery)),
    timing=settings.timing,
)
register(celery, engine)


def start(steps: Sequence[str]) -> None:
    for step in steps:
        with Session(engine.database) as session:
            started = engine.start(session, visit, Visit(waits_at=step))
            session.commit()
        print(started.saga_id)


def tell(saga_ids: Sequence[str]) -> None:
    for saga_id in saga_ids * 2:
        with Session(engine.database) as session:
            engine.signal(session, UUID(saga_id), "came", Came(by="Ann"), signal_id="once")
            session.commit()


if __name__ == "__main__":
    {"start": start, "signal": tell}[sys.argv[1]](sys.argv[2:])
