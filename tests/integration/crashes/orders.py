"""Orders of the shop worked by hand: what its steps do, however often they are called."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from saga import (
    BusinessKeyTaken,
    Forward,
    Saga,
    Timing,
    external_compensation,
    transactional_compensation,
)
from saga.crashpoints import around
from saga.errors import AlreadySo, MovedSince, NotAllowedNow, SagaIsOver
from saga.operator import Operator
from tests.integration.crashes.desk import Desk
from tests.integration.crashes.order_promises import OrderPromises
from tests.integration.shop import Order, Paid, Script, shop

BUSINESS_KEY = "order:1"
DID = "CREATE TABLE IF NOT EXISTS did (step text, item text, PRIMARY KEY (step, item))"
CALLS = frozenset({"ship", "recall", "pay", "find_pay", "repay", "tell", "untell"})


class Plan(Script):
    """A script that does not run out: a step may be called any number of times.

    A behaviour takes how many calls came before and gives what ``Script.say`` takes. ``done_under``
    has the keys under which each call took effect.
    """

    def __init__(self) -> None:
        super().__init__()
        self.behaviours: dict[str, Callable[[int], Any]] = {}
        self.done_under: dict[str, set[str]] = {}
        self.meanwhile: Callable[[str], None] = lambda _: None

    def play(self, step: str, given: Any, well: Callable[[], Any]) -> Any:
        name = step.removeprefix("shop.")
        before = len(self.called(name))
        self.calls.append((name, given))
        if name in CALLS:
            self.meanwhile(name)
        behaviour = self.behaviours.get(name)
        act = behaviour(before) if behaviour is not None else None
        if callable(act):
            act = act(given)
        if isinstance(act, BaseException):
            raise act
        if act is not None:
            return act
        self.took_effect(name, given)
        return well()

    def took_effect(self, name: str, given: Any) -> None:
        """The other system does it, whatever the caller is told."""
        if name in {"ship", "pay", "tell"}:
            self.outside.add(name)
            self.done_under.setdefault(name, set()).add(str(given))


def orders(plan: Plan) -> Saga[Order]:
    """The shop's saga, with a way back past the pivot for a person to order."""

    @external_compensation("shop.repay")
    def repay(state: Order, forward: Forward) -> None:  # noqa: ARG001
        plan.play("shop.repay", forward, lambda: plan.outside.discard("pay"))

    @transactional_compensation("shop.unbook")
    def unbook(state: Order, session: Session, forward: Forward) -> None:  # noqa: ARG001
        session.execute(text("DELETE FROM did WHERE step = 'book'"))

    @external_compensation("shop.untell")
    def untell(state: Order, forward: Forward) -> None:  # noqa: ARG001
        plan.play("shop.untell", forward, lambda: plan.outside.discard("tell"))

    saga = shop(plan)
    *before, pay, book, tell = saga.steps
    back: list[Any] = [
        replace(pay, compensation=repay),
        replace(book, compensation=unbook),
        replace(tell, compensation=untell),
    ]
    return replace(saga, steps=[*before, *back])


class OrderDesk(Desk):
    """One order, and the people around it.

    ``seen`` has the version at which an operator first acted, by the reason given; ``landed`` the
    reasons of what they were told is written down; ``sent`` the ids of such signals. ``mended``
    is whether a person has done away with what stood in the way, ``waited`` whether a pause lasted.
    """

    def __init__(self, database: Database, *, timing: Timing) -> None:
        self.plan = Plan()
        self.saga = orders(self.plan)
        super().__init__(database, self.saga, timing=timing)
        self.open()
        self.execute(f"{DID}; DELETE FROM did")
        self.ann = Operator(self.engine, actor="Ann")
        self.seen: dict[str, int] = {}
        self.landed: set[str] = set()
        self.sent: set[str] = set()
        self.stood_still: list[list[Any]] = []
        self.mended = False
        self.waited = False

    def start(self) -> None:
        with Session(self.database) as session:
            self.engine.start(
                session, self.saga, Order(), idempotency_key="key", business_key=BUSINESS_KEY
            )
            with around("commit"):
                session.commit()

    def fault(self, fault: Any) -> None:
        raise NotImplementedError("say what a step does")

    def during_calls(self, do: Callable[[str], None]) -> None:
        self.plan.meanwhile = do

    def another_may_start(self) -> bool:
        try:
            with Session(self.database) as session:
                self.engine.earlier(
                    session,
                    self.saga,
                    Order(),
                    idempotency_key="another",
                    business_key=BUSINESS_KEY,
                )
        except BusinessKeyTaken:
            return False
        return True

    def books(self) -> list[Any]:
        return [*sorted(self.plan.outside), self.plan.done_under]

    def paid(self) -> int:
        """How many signals the saga took in."""
        return sum(note.startswith("paid by") for note in self.stands["state"]["notes"])

    def signal(self, by: str, signal_id: str) -> None:
        """What a caller back does: one commit; it is repeated under its id until it is answered."""
        saga_id = self.saga_id()
        assert saga_id is not None
        with Session(self.database) as session:
            try:
                self.engine.signal(session, saga_id, "paid", Paid(by=by), signal_id=signal_id)
            except SagaIsOver:
                return
            with around("commit"):
                session.commit()
        self.sent.add(signal_id)

    def told(self, reason: str) -> list[str]:
        """The kinds of the events that tell of what an operator did for this reason."""
        events = self.events(self.stands["saga_id"])
        return [event["kind"] for event in events if event["detail"].get("because") == reason]

    def operate(self, reason: str, act: Callable[..., object]) -> None:
        """Act on what was seen; when it has moved, look whether that was ourselves, or again."""
        row = self.stands
        version = self.seen.setdefault(reason, row["version"])
        while reason not in self.landed:
            try:
                act(row["saga_id"], reason=reason, version=version)
            except MovedSince as moved:
                if self.told(reason):
                    self.landed.add(reason)
                version = moved.version
            except NotAllowedNow:
                return
            else:
                self.landed.add(reason)

    def pause_type(self, reason: str, step: str | None) -> None:
        with suppress(AlreadySo):
            self.ann.pause_type("shop", step=step, reason=reason)
        # Whoever froze may have been overtaken by who resumed it.
        if self.rows("SELECT FROM saga_pause WHERE resumed_at IS NULL"):
            self.stood_still.append([self.now(), None])

    def resume_type(self, reason: str, step: str | None) -> None:
        for pause in self.stood_still:
            pause[1] = pause[1] or self.now()
        with suppress(AlreadySo):
            self.ann.resume_type("shop", step=step, reason=reason)

    def now(self) -> Any:
        with self.database.begin() as connection:
            return connection.execute(text("SELECT clock_timestamp()")).scalar_one()

    def did(self) -> set[str]:
        with self.database.begin() as connection:
            return set(connection.execute(text("SELECT step FROM did")).scalars())

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with self.database.begin() as connection:
            return [dict(row) for row in connection.execute(text(sql)).mappings()]

    def broken_promises(self) -> list[str]:
        return list(OrderPromises(self).broken())
