"""Many of the shop's sagas at once: workers freeze and die, and the provider keeps its own books.

Time stands still unless it is moved by hand: the database's ``clock_timestamp()`` is ours here, so
that no history depends on how fast the machine is.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extras import RealDictCursor, register_uuid
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from saga import Timing, connect
from saga.crashpoints import armed
from saga.database import committing
from saga.engine import Started
from saga.errors import Conflict
from saga.followup import Followup, Next, Raise, RetryIn
from saga.operator import Operator
from saga.recovery import Pass
from saga.store import renew_lease
from tests.integration.by_hand import ByHand, Killed, Message
from tests.integration.provider import Act, Part, Provider, Worker
from tests.integration.shop import Order, Paid, shop

# A lease is shorter than a call's hard limit (6 s), and no heartbeat comes unless by hand.
TIMING = Timing(lease=timedelta(seconds=3), grace=timedelta(seconds=1))
TIMEOUT = timedelta(minutes=30)
LINK_ERROR = "saga.compensate"

_SETUP = """
CREATE SCHEMA clock;
CREATE TABLE clock.hand AS SELECT pg_catalog.clock_timestamp() + interval '1 hour' AS at;
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz
    LANGUAGE sql AS 'SELECT at FROM clock.hand';
CREATE FUNCTION clock.statement_timestamp() RETURNS timestamptz
    LANGUAGE sql AS 'SELECT at FROM clock.hand';
CREATE TABLE did (step text, item text);
CREATE TABLE movement (id bigint GENERATED ALWAYS AS IDENTITY, before jsonb, after jsonb);
CREATE FUNCTION record_movement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO movement (before, after) VALUES (to_jsonb(OLD), to_jsonb(NEW));
    RETURN NULL;
END $$;
CREATE TRIGGER record_movement AFTER UPDATE ON saga_state
    FOR EACH ROW EXECUTE FUNCTION record_movement();
CREATE TRIGGER record_event AFTER INSERT ON saga_event
    FOR EACH ROW EXECUTE FUNCTION record_movement();
"""


class Place:
    """A database whose clock is set by hand and which writes down how every row was moved.

    Its own connection is not the engine's: it sees only what was committed.
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        register_uuid(conn_or_curs=self._connection)
        self.ask(_SETUP)
        name = self._connection.info.dbname
        self.ask(f"ALTER DATABASE {name} SET search_path = public, clock, pg_catalog")
        self.ask(f"ALTER DATABASE {name} SET synchronous_commit = off")
        self.ask("SET synchronous_commit = off")
        self.database = connect(url, pool_size=20, lock_timeout=timedelta(milliseconds=50))
        self.has_disconnected = False
        self.now: datetime = self.ask("SELECT at FROM clock.hand")[0]["at"]

    def ask(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        with self._connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql, params or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def let_pass(self, time: timedelta) -> None:
        self.now += time
        self.ask("UPDATE clock.hand SET at = %s", self.now)

    def empty(self) -> None:
        self.has_disconnected = False
        self.ask(
            "DELETE FROM saga_state; DELETE FROM saga_event; DELETE FROM saga_signal; "
            "DELETE FROM saga_pause; DELETE FROM did; DELETE FROM movement"
        )

    def disconnect_all(self) -> None:
        """End every connection but our own, as a restart of the server does."""
        self.has_disconnected = True
        self.ask(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def disconnect(self, backend: int) -> None:
        self.has_disconnected = True
        self.ask("SELECT pg_terminate_backend(%s, 5000)", backend)

    def close(self) -> None:
        self.database.dispose()
        self._connection.close()


class Market(ByHand):
    """One engine and its sagas, worked by hand, with all that can go wrong."""

    def __init__(self, place: Place) -> None:
        place.empty()
        self.place = place
        self.provider = Provider(place)
        self.saga = shop(self.provider, timeout=TIMEOUT)  # type: ignore[arg-type]
        super().__init__(place.database, self.saga, timing=TIMING)
        self.sagas: dict[UUID, str] = {}
        self.seen: list[Message] = []
        self.frozen: list[Worker] = []
        self.habits: dict[str, Act] = {}
        self.cancelled: set[UUID] = set()
        self.paused: set[str | None] = set()
        self._ann = Operator(self.engine, actor="Ann")
        self._next_id = count(1)

    def start(self, **keys: Any) -> Started:
        saga_id = UUID(int=next(self._next_id))
        with Session(self.database) as session, session.begin():
            order = Order(item=keys.get("idempotency_key") or str(saga_id))
            started = self.engine.start(session, self.saga, order, saga_id=saga_id, **keys)
        if started.is_new:
            self.sagas[started.saga_id] = order.item
        return started

    def signal(self, saga_id: UUID, signal_id: str) -> None:
        """Somebody tells the saga what it may wait for, or does so again."""
        with suppress(Conflict, OperationalError), Session(self.database) as session:
            self.engine.signal(session, saga_id, "paid", Paid(by="Ann"), signal_id=signal_id)
            session.commit()

    def operate(self, what: str, saga_id: UUID) -> None:
        """An operator does it, if it is allowed and nobody has the row."""
        if what == "cancel":
            self.cancelled.add(saga_id)
        with suppress(Conflict, OperationalError):
            getattr(self._ann, what)(saga_id, reason=what)

    def pause(self, step: str | None) -> None:
        """Pause one step, or the type; or resume it, if it is."""
        act = self._ann.resume_type if step in self.paused else self._ann.pause_type
        with suppress(OperationalError):
            act("shop", step=step, reason="the bank is down")
            self.paused ^= {step}

    def work(self, message: Message, act: Act = Act.WELL, *, again: bool | None = None) -> None:
        """A worker works the message; its step does as ``act`` says.

        A worker that dies leaves the message lost (``again`` None), or it comes again, marked as
        redelivered or not.
        """
        if message.tasks[0] == LINK_ERROR:
            with suppress(Killed, OperationalError):  # recovery will do it
                super().link_error(message.saga_id)
            return
        self.seen.append(message)
        if act is Act.WELL:
            act = self.habits.get(message.step, act)
        part = Part(message.saga_id, message.epoch, act, self.place.now)
        worker = Worker(message, part, partial(self._work, message, part))
        worker.go_on()
        self._see(worker, again=again)

    def _work(self, message: Message, part: Part) -> None:
        with self.provider.playing(part):
            self.deliver(message)

    def _see(self, worker: Worker, *, again: bool | None) -> None:
        if worker.is_frozen:
            self.frozen.append(worker)
            self.provider.failed(worker.part, worker.message.step)
        elif worker.has_died:
            self.provider.failed(worker.part, worker.message.step)
            if again is not None:
                self.broker.queue.append(worker.with_message(redelivered=again))

    def wake(self, worker: Worker, act: Act, *, again: bool | None = None) -> None:
        """A frozen worker goes on."""
        self.frozen.remove(worker)
        if not worker.is_in_sql:
            # Its answer would wait for the lock of a frozen transaction; the server ends that.
            self.end_transactions(worker.message.saga_id)
        worker.go_on(act)
        self._see(worker, again=again)

    def end_transactions(self, saga_id: UUID) -> None:
        """The server's ``idle_in_transaction_session_timeout`` ends the saga's frozen steps."""
        for worker in [each for each in self.frozen if each.is_in_sql]:
            if worker.message.saga_id == saga_id:
                self.frozen.remove(worker)
                self.place.disconnect(worker.part.backend)
                worker.go_on(Act.WELL)
                self._see(worker, again=None)

    def beat(self, worker: Worker) -> None:
        """The heartbeat of a worker in a call."""
        if worker.part.claim is not None:
            with suppress(OperationalError), committing(self.database) as connection:
                saga_id, lease = worker.message.saga_id, TIMING.lease
                renew_lease(connection, saga_id, token=worker.part.claim, lease=lease)

    @contextmanager
    def at_point(self, number: int, do: Callable[[str], None]) -> Iterator[None]:
        """Do something at that point of what is written, committed, called and published."""
        left = [number]

        def hook(point: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                do(point)

        with armed(hook):
            yield

    def recover(self) -> Pass:
        before = len(self.broker.queue)
        try:
            return self._recover()
        finally:
            # Time stands still, so that many sagas are as old: the same history must come again.
            self._sort(len(self.broker.queue) - before)

    def _recover(self) -> Pass:
        try:
            return super().recover()
        except OperationalError:
            return Pass()  # the next scan tries again

    def _sort(self, new: int) -> None:
        """Put the newest messages in one order, whoever sent which first."""
        queue = self.broker.queue
        queue.extend(sorted((queue.pop() for _ in range(new)), key=lambda sent: sent.saga_id))

    def recover_twice_at_once(self) -> None:
        """Two beats; whatever wins, what both published comes in one order."""
        before = len(self.broker.queue)
        with ThreadPoolExecutor(2) as pool:
            for scan in [pool.submit(self._recover) for _ in range(2)]:
                scan.result()
        self._sort(len(self.broker.queue) - before)

    def link_error(self, saga_id: UUID) -> None:
        """A message of its own: it may come twice, late or never."""
        self.broker.queue.append(Message(saga_id, 0, (LINK_ERROR,), has_link_error=False))

    def _follow(self, message: Message, followup: Followup) -> None:
        if self.broker.is_away and isinstance(followup, Next | RetryIn | Raise):
            return  # what Celery sends is lost with its broker
        super()._follow(message, followup)

    def let_pass(self, time: timedelta) -> None:
        """Time passes, and messages come whose wait is over."""
        self.place.let_pass(time)
        waiting = [(wait - time, message) for wait, message in self.broker.held]
        self.broker.held = [held for held in waiting if held[0] > timedelta(0)]
        self.broker.queue.extend(message for wait, message in waiting if wait <= timedelta(0))

    def mend(self) -> None:
        """All is well from now on: who froze comes back, what was ordered is done."""
        self.broker.is_away = False
        self.habits.clear()
        for worker in list(self.frozen):
            if worker in self.frozen:
                self.wake(worker, Act.WELL)
        for order in list(self.provider.orders):
            self.provider.carry_out(order)
        # A person who is told that the database was away does it again.
        self.database.dispose()
        for step in list(self.paused):
            self.pause(step)
        for saga_id in self.sagas:
            self.operate("resume", saga_id)

    def work_off(self, *, until: str | None = None, most: int = 400) -> None:  # noqa: ARG002
        for _ in range(most):
            if not self.broker.queue:
                return
            self.work(self.broker.queue.popleft())
        raise AssertionError("messages without end")

    def close(self) -> None:
        """Let every frozen thread end, and leave no connection that is dead."""
        for worker in list(self.frozen):
            self.frozen.remove(worker)
            worker.go_on(Act.DIES_BEFORE)
        if self.place.has_disconnected:
            self.database.dispose()
