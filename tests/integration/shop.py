"""A shop's saga whose steps do as a test says."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    CannotTell,
    DidNotHappen,
    Forward,
    Happened,
    IdempotencyKey,
    PollAgain,
    RetryPolicy,
    Saga,
    compensatable,
    external,
    external_compensation,
    on_signal,
    pivot,
    probe,
    retriable,
    skip,
    transactional,
    transactional_compensation,
)
from saga.signals import Received
from tests.integration.by_hand import ByHand

_DID = "CREATE TABLE IF NOT EXISTS did (step text, item text, PRIMARY KEY (step, item))"
SETTLE_AFTER = timedelta(seconds=40)


class Order(BaseModel):
    item: str = "tea"
    notes: list[str] = []

    def noting(self, step: str) -> "Order":
        return self.model_copy(update={"notes": [*self.notes, step]})


class Paid(BaseModel):
    by: str


@on_signal("paid", Paid)
def paid(state: Order, payload: Paid) -> Order:
    if payload.by == "nobody":
        raise ValueError("somebody must pay")
    return state.noting(f"paid by {payload.by}")


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
    script: Script,
    *,
    version: int = 1,
    timeout: timedelta = timedelta(minutes=5),
    skippable: frozenset[str] = frozenset(),
) -> Saga[Order]:
    """reserve (SQL), ship (call) → pay (call, can be asked) → book (SQL), tell (call)."""

    def give_up(name: str) -> Any:
        return skip if name in skippable else None

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
        def run(state: Order, forward: Forward) -> Any:  # noqa: ARG001
            # What a script answers is handed on: only nothing means that it is done.
            return script.play(f"shop.{name}", forward, lambda: script.outside.discard(of))

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
        signals=[paid],
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
            retriable(sql("book"), give_up=give_up("book")),
            retriable(call("tell"), timeout=timedelta(seconds=5), give_up=give_up("tell")),
        ],
    )


class Shop(ByHand):
    """The shop's saga with its script, worked by hand, over an empty database."""

    def __init__(self, database: Database, **options: Any) -> None:
        self.script = Script()
        self.saga = shop(self.script, **options)
        super().__init__(database, self.saga)
        self.execute(_DID)
        self.execute("DELETE FROM saga_state")
        self.execute("DELETE FROM saga_event")
        self.execute("DELETE FROM saga_signal")
        self.execute("DELETE FROM saga_pause")
        self.execute("DELETE FROM did")

    def start(self, **options: Any) -> UUID:
        with Session(self.database) as session, session.begin():
            order = Order(item=str(uuid4()))
            return self.engine.start(session, self.saga, order, **options).saga_id

    def signal(self, saga_id: UUID, by: str = "Ann", **options: Any) -> Received:
        with Session(self.database) as session, session.begin():
            return self.engine.signal(session, saga_id, "paid", Paid(by=by), **options)

    def did(self) -> set[str]:
        with self.database.begin() as connection:
            return set(connection.execute(text("SELECT step FROM did")).scalars())
