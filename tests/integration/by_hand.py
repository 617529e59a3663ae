"""An engine whose broker, workers and clock are worked by hand, over a real PostgreSQL."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database

from saga import Engine, Saga, Timing
from saga.crashpoints import around
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
from saga.recovery import Pass, Recovery
from saga.runtime import Delivery

TIMING = Timing(lease=timedelta(milliseconds=300), grace=timedelta(seconds=1))


class Killed(BaseException):
    """The worker died here: nothing after it ran."""


@dataclass(frozen=True)
class Message:
    saga_id: UUID
    epoch: int
    tasks: tuple[str, ...]
    has_link_error: bool
    redelivered: bool = False

    @property
    def step(self) -> str:
        return self.tasks[0].partition(".")[2]


@dataclass
class Broker:
    """Keeps messages until they are worked off. ``lengths`` is what it says of its queues."""

    queue: deque[Message] = field(default_factory=deque)
    held: list[tuple[timedelta, Message]] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    lengths: dict[Lane, int] = field(default_factory=dict)
    is_away: bool = False
    asked: int = 0

    def publish(self, publication: Publication) -> None:
        if self.is_away:
            raise BrokerAway("nobody listens")
        self.published.append(publication)
        message = Message(
            publication.saga_id,
            publication.epoch,
            tuple(publication.tasks),
            publication.lane is not Lane.COMPENSATION,
        )
        self.queue.append(message)

    def waiting(self, lane: Lane) -> int:
        if self.is_away:
            raise BrokerAway("nobody listens")
        self.asked += 1
        return self.lengths.get(lane, 0)

    def lose_all(self) -> None:
        self.queue.clear()
        self.held.clear()


class ByHand:
    """One engine with its broker and its recovery, over one database.

    ``in_hand`` is the message that is delivered and not acknowledged.
    """

    def __init__(self, database: Database, *sagas: Saga[Any], timing: Timing = TIMING) -> None:
        self.database = database
        self.broker = Broker()
        self.in_hand: Message | None = None
        self.engine = self.engine_for(*sagas, timing=timing)

    def engine_for(self, *sagas: Saga[Any], timing: Timing = TIMING) -> Engine:
        return Engine(database=self.database, sagas=sagas, publisher=self.broker, timing=timing)

    def deliver(self, message: Message | None = None, **changes: Any) -> Followup:
        """One delivery, what Celery makes of it, and its acknowledgement."""
        message = replace(message or self.broker.queue.popleft(), **changes)
        self.in_hand = message
        followup = self.engine.run(
            message.tasks[0],
            message.saga_id,
            epoch=message.epoch,
            delivery=Delivery(task_id="task", worker="worker", redelivered=message.redelivered),
        )
        self._follow(message, followup)
        with around("acknowledgement"):
            self.in_hand = None
        return followup

    def _follow(self, message: Message, followup: Followup) -> None:
        match followup:
            case Next() if len(message.tasks) > 1:
                with around("publish"):
                    self.broker.queue.append(
                        replace(message, tasks=message.tasks[1:], redelivered=False)
                    )
            case Publish(publication):
                self.publish(publication)
            case RetryIn(wait, _):
                with around("publish"):
                    self.broker.held.append((wait, replace(message, redelivered=False)))
            case Raise() if message.has_link_error:
                self.link_error(message.saga_id)
            case Next() | Park() | Drop() | Raise():
                pass

    def link_error(self, saga_id: UUID) -> None:
        """What Celery's callback does, here in one go with the step that failed."""
        sent = self.engine.send_compensations(saga_id)
        if isinstance(sent, Publish):
            self.publish(sent.publication)

    def publish(self, publication: Publication) -> None:
        """Hand a chain to the broker, as a worker does: one that is away is no error."""
        try:
            self.engine.publish(publication)
        except BrokerAway:
            return

    def kill(self, message: Message | None = None, **changes: Any) -> None:
        """A delivery in which the worker dies."""
        try:
            self.deliver(message, **changes)
        except Killed:
            return
        raise AssertionError("the worker lived on")

    def work_off(self, *, until: str | None = None, most: int = 60) -> None:
        """Deliver all messages, held ones after their wait, until none is left (or a step)."""
        for _ in range(most):
            if self.broker.queue:
                if self.broker.queue[0].step == until:
                    return
                self.deliver()
            elif self.broker.held:
                wait, message = self.broker.held.pop(0)
                self.let_pass(wait)
                self.broker.queue.append(message)
            else:
                return
        raise AssertionError("messages without end")

    def recover(self) -> Pass:
        return Recovery(self.engine).scan()

    def recover_until_rest(self, saga_id: UUID, *, step: timedelta, most: int = 60) -> str:
        """Let time pass, recover and work off, until the saga rests or has failed."""
        for _ in range(most):
            status: str = self.row(saga_id)["status"]
            if status not in {"RUNNING", "COMPENSATING"}:
                return status
            self.let_pass(step)
            self.recover()
            self.work_off()
        raise AssertionError(f"no rest: {self.row(saga_id)}")

    def let_pass(self, time: timedelta) -> None:
        """Time passes: what was, was longer ago, and what comes, comes sooner."""
        instants = [
            *("claim_deadline", "call_ended_at", "wake_at", "not_before", "unknown_since"),
            *("timeout_at", "started_at", "completed_at", "created_at", "updated_at", "paused_at"),
        ]
        moved = ", ".join(f"{name} = {name} - :time" for name in instants)
        with self.database.begin() as connection:
            connection.execute(text(f"UPDATE saga_state SET {moved}"), {"time": time})
            # What happened stays, but for time itself.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text("UPDATE saga_event SET at = at - :time"), {"time": time})
            sooner = "UPDATE saga_pause SET at = at - :time, resumed_at = resumed_at - :time"
            connection.execute(text(sooner), {"time": time})

    def row(self, saga_id: UUID) -> dict[str, Any]:
        with self.database.begin() as connection:
            return row(connection, saga_id)

    def status(self, saga_id: UUID) -> str:
        found: str = self.row(saga_id)["status"]
        return found

    def kinds(self, saga_id: UUID) -> list[str]:
        return [event["kind"] for event in self.events(saga_id)]

    def events(self, saga_id: UUID) -> list[dict[str, Any]]:
        sql = text("SELECT * FROM saga_event WHERE saga_id = :saga_id ORDER BY seq")
        with self.database.begin() as connection:
            found = connection.execute(sql, {"saga_id": saga_id}).mappings()
            return [dict(event) for event in found]

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        with self.database.begin() as connection:
            connection.execute(text(sql), params or {})


def row(connection: Connection, saga_id: UUID) -> dict[str, Any]:
    sql = text("SELECT * FROM saga_state WHERE saga_id = :saga_id")
    return dict(connection.execute(sql, {"saga_id": saga_id}).mappings().one())
