"""A shop's saga whose steps do as a test says, and a broker that is worked off by hand."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from saga import (
    CannotTell,
    DidNotHappen,
    Engine,
    Forward,
    Happened,
    IdempotencyKey,
    PollAgain,
    RetryPolicy,
    Saga,
    Timing,
    compensatable,
    external,
    external_compensation,
    pivot,
    probe,
    retriable,
    transactional,
    transactional_compensation,
)
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

_DID = "CREATE TABLE IF NOT EXISTS did (step text, item text, PRIMARY KEY (step, item))"
TIMING = Timing(lease=timedelta(milliseconds=300), grace=timedelta(seconds=1))
SETTLE_AFTER = timedelta(seconds=40)


class Order(BaseModel):
    item: str = "tea"
    notes: list[str] = []

    def noting(self, step: str) -> "Order":
        return self.model_copy(update={"notes": [*self.notes, step]})


class Killed(BaseException):
    """The worker died here: nothing after it ran."""


class Script:
    """What steps do, call by call; once a script is used up, or without one, all goes well.

    A behaviour is an error to raise, a value to answer, or a function to call with what the step
    got; ``calls`` lists what was called with which key.
    """

    def __init__(self) -> None:
        self._acts: dict[str, deque[Any]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.outside: set[str] = set()

    def say(self, step: str, *acts: Any) -> None:
        self._acts.setdefault(f"shop.{step}", deque()).extend(acts)

    def play(self, step: str, given: Any, well: Callable[[], Any]) -> Any:
        self.calls.append((step.removeprefix("shop."), given))
        acts = self._acts.get(step)
        act = acts.popleft() if acts else None
        if isinstance(act, BaseException):
            raise act
        if callable(act):
            act = act(given)
        return well() if act is None else act

    def called(self, step: str) -> list[Any]:
        return [given for name, given in self.calls if name == step]

    def order(self) -> list[str]:
        return [name for name, _ in self.calls]


def shop(
    script: Script, *, version: int = 1, timeout: timedelta = timedelta(minutes=5)
) -> Saga[Order]:
    """reserve (SQL), ship (call) → pay (call, can be asked) → book (SQL), tell (call)."""

    def sql(name: str) -> Any:
        def run(state: Order, session: Session) -> Order:
            did = {"step": name, "item": state.item}
            session.execute(text("INSERT INTO did VALUES (:step, :item)"), did)
            done: Order = script.play(f"shop.{name}", session, lambda: state.noting(name))
            return done

        return transactional(f"shop.{name}")(run)

    def sql_back(name: str, of: str) -> Any:
        def run(state: Order, session: Session, forward: Forward) -> None:
            did = {"step": of, "item": state.item}
            session.execute(text("DELETE FROM did WHERE step = :step AND item = :item"), did)
            script.play(f"shop.{name}", forward, lambda: None)

        return transactional_compensation(f"shop.{name}")(run)

    def call(name: str) -> Any:
        def run(state: Order, key: IdempotencyKey) -> Order | PollAgain:
            def well() -> Order:
                script.outside.add(name)
                return state.noting(name)

            done: Order | PollAgain = script.play(f"shop.{name}", key, well)
            return done

        return external(f"shop.{name}")(run)

    def call_back(name: str, of: str) -> Any:
        def run(state: Order, forward: Forward) -> None:  # noqa: ARG001
            script.play(f"shop.{name}", forward, lambda: script.outside.discard(of))

        return external_compensation(f"shop.{name}")(run)

    def ask(name: str, of: str) -> Any:
        def run(state: Order, key: IdempotencyKey) -> Happened[Order] | DidNotHappen | CannotTell:
            there = Happened(state.noting(of)) if of in script.outside else DidNotHappen()
            found: Happened[Order] | DidNotHappen | CannotTell = script.play(
                f"shop.{name}", key, lambda: there
            )
            return found

        return probe(f"shop.{name}")(run)

    back = RetryPolicy(retries=2)
    return Saga(
        name="shop",
        version=version,
        state=Order,
        timeout=timeout,
        steps=[
            compensatable(
                sql("reserve"), compensation=sql_back("release", "reserve"), compensation_retry=back
            ),
            compensatable(
                call("ship"),
                compensation=call_back("recall", "ship"),
                compensation_retry=back,
                timeout=timedelta(seconds=5),
            ),
            pivot(
                call("pay"),
                probe=ask("find_pay", "pay"),
                timeout=timedelta(seconds=5),
                settle_after=SETTLE_AFTER,
            ),
            retriable(sql("book")),
            retriable(call("tell"), timeout=timedelta(seconds=5)),
        ],
    )


@dataclass(frozen=True)
class Message:
    saga_id: UUID
    epoch: int
    tasks: tuple[str, ...]
    has_link_error: bool
    redelivered: bool = False

    @property
    def step(self) -> str:
        return self.tasks[0].removeprefix("shop.")


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


class Shop:
    """One engine with its script, its broker and its recovery, over one database."""

    def __init__(self, database: Database, **options: Any) -> None:
        self.database = database
        self.script = Script()
        self.broker = Broker()
        self.saga = shop(self.script, **options)
        self.engine = self.engine_for(self.saga)
        with database.begin() as connection:
            connection.execute(text(_DID))
            connection.execute(text("DELETE FROM saga_state"))
            connection.execute(text("DELETE FROM saga_event"))
            connection.execute(text("DELETE FROM did"))

    def engine_for(self, *sagas: Saga[Any], timing: Timing = TIMING) -> Engine:
        return Engine(database=self.database, sagas=sagas, publisher=self.broker, timing=timing)

    def start(self, **options: Any) -> UUID:
        with Session(self.database) as session, session.begin():
            order = Order(item=str(uuid4()))
            return self.engine.start(session, self.saga, order, **options).saga_id

    def deliver(self, message: Message | None = None, **changes: Any) -> Followup:
        """One delivery, and what Celery makes of it."""
        message = replace(message or self.broker.queue.popleft(), **changes)
        followup = self.engine.run(
            message.tasks[0],
            message.saga_id,
            epoch=message.epoch,
            delivery=Delivery(task_id="task", worker="worker", redelivered=message.redelivered),
        )
        match followup:
            case Next() if len(message.tasks) > 1:
                self.broker.queue.append(
                    replace(message, tasks=message.tasks[1:], redelivered=False)
                )
            case Publish(publication):
                self.broker.publish(publication)
            case RetryIn(wait, _):
                self.broker.held.append((wait, replace(message, redelivered=False)))
            case Raise() if message.has_link_error:
                sent = self.engine.send_compensations(message.saga_id)
                if isinstance(sent, Publish):
                    self.broker.publish(sent.publication)
            case Next() | Park() | Drop() | Raise():
                pass
        return followup

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
            *("timeout_at", "started_at", "completed_at", "created_at", "updated_at"),
        ]
        moved = ", ".join(f"{name} = {name} - :time" for name in instants)
        with self.database.begin() as connection:
            connection.execute(text(f"UPDATE saga_state SET {moved}"), {"time": time})

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

    def did(self) -> set[str]:
        with self.database.begin() as connection:
            return set(connection.execute(text("SELECT step FROM did")).scalars())


def row(connection: Connection, saga_id: UUID) -> dict[str, Any]:
    sql = text("SELECT * FROM saga_state WHERE saga_id = :saga_id")
    return dict(connection.execute(sql, {"saga_id": saga_id}).mappings().one())
