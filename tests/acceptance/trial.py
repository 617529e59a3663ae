# ruff: noqa: ARG001 - a step takes what its kind is given, used or not
"""A Celery app with a saga of which one step misbehaves, every time."""

import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    Engine,
    Forward,
    IdempotencyKey,
    RetryPolicy,
    Saga,
    compensatable,
    connect,
    external,
    external_compensation,
    pivot,
    retriable,
    transactional,
    transactional_compensation,
)
from saga.worker import CeleryPublisher, producer, register
from settings import settings


class Trial(BaseModel):
    """``deadly`` names the step that misbehaves, ``manner`` says how."""

    deadly: str
    manner: str = "kill"


_outside = connect(settings.database_url.get_secret_value(), pool_size=1)


def _run(name: str, state: Trial) -> None:
    """Leave a trace that no rollback removes, then live or die."""
    with _outside.begin() as connection:
        connection.execute(text("INSERT INTO trial_run VALUES (:name)"), {"name": name})
    if state.deadly != name:
        return
    match state.manner:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "oversleep":
            time.sleep(60)
        case "ignore the soft limit":
            with suppress(SoftTimeLimitExceeded):
                time.sleep(60)
            time.sleep(60)


@transactional("trial.first")
def first(state: Trial, session: Session) -> Trial:
    _run("first", state)
    return state


@transactional_compensation("trial.compensate_first")
def compensate_first(state: Trial, session: Session, forward: Forward) -> None:
    _run("compensate_first", state)


@external("trial.second")
def second(state: Trial, key: IdempotencyKey) -> Trial:
    _run("second", state)
    return state


@external_compensation("trial.compensate_second")
def compensate_second(state: Trial, forward: Forward) -> None:
    _run("compensate_second", state)


@transactional("trial.third")
def third(state: Trial, session: Session) -> Trial:
    _run("third", state)
    return state


@transactional("trial.fourth")
def fourth(state: Trial, session: Session) -> Trial:
    _run("fourth", state)
    return state


QUICKLY = RetryPolicy(retries=3, first=timedelta(seconds=1), longest=timedelta(seconds=1))
LIMIT = timedelta(seconds=2)

trial = Saga(
    name="trial",
    version=1,
    state=Trial,
    timeout=timedelta(minutes=5),
    steps=[
        compensatable(
            first,
            compensation=compensate_first,
            retry=QUICKLY,
            timeout=LIMIT,
            compensation_retry=QUICKLY,
        ),
        compensatable(
            second,
            compensation=compensate_second,
            retry=QUICKLY,
            timeout=LIMIT,
        ),
        pivot(third, retry=QUICKLY, timeout=LIMIT),
        retriable(fourth, retry=QUICKLY, timeout=LIMIT),
    ],
)

celery = Celery("trial")
celery.config_from_object("celeryconfig")
engine = Engine(
    database=connect(settings.database_url.get_secret_value()),
    sagas=[trial],
    publisher=CeleryPublisher(producer(celery)),
    timing=settings.timing,
)
register(celery, engine)


def start(deadly: str, manner: str) -> Any:
    with Session(engine.database) as session:
        started = engine.start(session, trial, Trial(deadly=deadly, manner=manner))
        session.commit()
    return started.saga_id


if __name__ == "__main__":
    import sys

    print(start(*sys.argv[1:]))
