"""The application, of which every process dies of SIGKILL where an order tells it to.

``celery -A mortal`` is the worker or beat, ``python mortal.py`` the producer. Crash points are the
engine's own, those around every message that is sent, and in a worker's main process the receipt
of a message and its acknowledgement or rejection.
"""

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from celery import current_task, signals
from celery.worker.request import Request
from kombu import Producer
from redis import Redis
from sqlalchemy.orm import Session

from app import celery, engine
from saga.crashpoints import armed, around
from saga.recovery import Recovery
from settings import settings
from tests.acceptance.deaths import NOBODY, SENT_TWICE, Death, Deaths, Then
from workflows import RefundInput, request_refund

__all__ = ["celery"]

FOLDER = Path(os.environ["MORTAL_FOLDER"])
deaths = Deaths(FOLDER)


class Self:
    """What this process is, and what it is at."""

    name = "beat"
    process = ""
    place = ""
    subject = ""

    @property
    def who(self) -> str:
        return " ".join(part for part in (self.name, self.process, self.place) if part)

    @contextmanager
    def at(self, place: str, subject: str) -> Iterator[None]:
        before = self.place, self.subject
        self.place, self.subject = place, subject
        try:
            yield
        finally:
            self.place, self.subject = before


me = Self()


def stand(subject: str, who: str, what: str) -> None:
    """Be at a point; it may be the last one."""
    if not subject:
        return
    number = 0 if subject == NOBODY else deaths.reach(subject, who, what)
    death = deaths.take(subject, who, what, number)
    if death is not None:
        _die(death, subject)


def _die(death: Death, subject: str) -> None:
    if death.then is Then.WITH_ITS_MESSAGES:
        _lose_messages(subject)
    if death.then is Then.WITH_ITS_WORKER:
        os.killpg(os.getpgrp(), signal.SIGKILL)  # each worker leads a group of its own
    os.kill(os.getpid(), signal.SIGKILL)


def _lose_messages(subject: str) -> None:
    with Redis.from_url(settings.celery_broker_url.get_secret_value()) as broker:
        for queue in broker.scan_iter(match="saga.*", _type="list"):
            for message in broker.lrange(queue, 0, -1):
                if subject.encode() in message:
                    broker.lrem(queue, 0, message)
        for tag, message in broker.hgetall("unacked").items():
            if subject.encode() in message:
                broker.hdel("unacked", tag)
                broker.zrem("unacked_index", tag)


# The engine's own points


def _reach(what: str) -> None:
    thread = threading.current_thread().name
    if thread.startswith("heartbeat-"):
        stand(thread.removeprefix("heartbeat-"), f"{me.name} heartbeat", what)
    elif me.subject:
        stand(me.subject, me.who, what)
    elif current_task and current_task.request.args:
        stand(current_task.request.args[0], f"{me.who} {current_task.name}", what)


# Celery's


def _subject(arguments: str) -> str:
    """The saga of a message, told by the text of its arguments."""
    found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", arguments)
    return found[0] if found else NOBODY


def _mortal_send(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def publish(self: Producer, body: Any, *args: Any, **kwargs: Any) -> Any:
        headers = kwargs.get("headers") or {}
        if "task" not in headers:
            return send(self, body, *args, **kwargs)
        task, subject = headers["task"], me.subject or _subject(headers["argsrepr"])
        who = f"{me.who} {current_task.name}" if current_task and not me.place else me.who
        stand(subject, who, f"before send {task}")
        if (FOLDER / SENT_TWICE).exists():
            send(self, body, *args, **kwargs)
        sent = send(self, body, *args, **kwargs)
        stand(subject, who, f"after send {task}")
        return sent

    return publish


def _mortal_answer(name: str, answer: Callable[..., None]) -> Callable[..., None]:
    @wraps(answer)
    def act(self: Request, *args: Any, **kwargs: Any) -> None:
        if self.acknowledged:
            return
        subject, who = _subject(self.argsrepr), f"{me.who} {self.name}"
        stand(subject, who, f"before {name}")
        answer(self, *args, **kwargs)
        stand(subject, who, f"after {name}")

    return act


def _received(request: Request, **_: Any) -> None:
    stand(_subject(request.argsrepr), f"{me.who} {request.name}", "received")


def _am_main(sender: str, **_: Any) -> None:
    me.name, me.process = "recovery" if sender.startswith("recovery") else "worker", "main"


def _am_child(**_: Any) -> None:
    me.process = "child"


# Recovery's, for a saga or for none


def _in(place: str, work: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(work)
    def run(self: Recovery, *args: Any) -> Any:
        with me.at(place, str(args[0]) if place == "looks" else NOBODY):
            return work(self, *args)

    return run


Producer.publish = _mortal_send(Producer.publish)
Request.acknowledge = _mortal_answer("acknowledgement", Request.acknowledge)
Request.reject = _mortal_answer("rejection", Request.reject)
Recovery.scan = _in("scans", Recovery.scan)  # type: ignore[method-assign]
Recovery._look_at = _in("looks", Recovery._look_at)  # type: ignore[method-assign]
Recovery._report = _in("reports", Recovery._report)  # type: ignore[method-assign]
signals.task_received.connect(_received)
signals.celeryd_init.connect(_am_main)
signals.worker_process_init.connect(_am_child)
ALWAYS = ExitStack()
ALWAYS.enter_context(armed(_reach))


def main() -> None:
    """Start the refunds of standard input, one JSON object a line, each under its orders.

    A second call with the same lines starts what was not started yet.
    """
    me.name = "producer"
    with Session(engine.database) as session:
        for line in sys.stdin:
            wanted = json.loads(line)
            payment = wanted["payment"]
            asked = RefundInput(payment_id=payment, amount=wanted["amount"], reason="test")
            with me.at("", payment):
                started = request_refund(engine, session, asked, payment)
                if started.is_new:
                    # Before anybody can know of the saga.
                    wanted_deaths = [Death.read(death) for death in wanted["deaths"]]
                    deaths.order(str(started.saga_id), wanted_deaths)
                with around("commit"):
                    session.commit()


if __name__ == "__main__":
    main()
