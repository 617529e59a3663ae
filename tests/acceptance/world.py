"""A small world of real processes that tests may kill: database, broker, provider, workers.

Every process is a child of the test and is ended by its pid. Clocks are shortened by settings.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psutil
from celery import Celery
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from gateways.payments.sandbox.merchant import environment
from models import Order, Payment
from saga import connect
from saga.embedded import PostgresServer, RedisServer
from tests import nursery

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "SAGA_LEASE_SECONDS": "2",
    "SAGA_GRACE_SECONDS": "1",
    "SAGA_PATIENCE_SECONDS": "2",
    "SAGA_SCAN_SECONDS": "0.5",
    "PAYMENT_REFUND_CALL_TIMEOUT_SECONDS": "5",
    "PAYMENT_REFUND_SETTLE_AFTER_SECONDS": "1",
    "PAYMENT_REFUND_FIRST_RETRY_SECONDS": "1",
    "PAYMENT_REFUND_POLL_SECONDS": "1",
}
API_KEY = "a key for tests"
LANES = "saga.compensation,saga.continuing,saga.new"

T = TypeVar("T")


@dataclass
class World:
    """Where a test lives. ``settings`` go into every process's environment."""

    folder: Path
    postgres: PostgresServer | None
    database_url: str
    settings: Mapping[str, str] = field(default_factory=lambda: QUICK)
    processes: dict[str, nursery.Process] = field(default_factory=dict)
    orphaned: list[int] = field(default_factory=list)
    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.redis = RedisServer(self.folder / "redis")
        self.redis.start()
        self.database = connect(self.database_url)
        self.sandbox_url = self.api_url = ""
        self.keys = self.folder / "keys"

    # What runs

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.settings,
            "DATABASE_URL": self.database_url,
            "CELERY_BROKER_URL": self.redis.url,
            "SANDBOX_URL": self.sandbox_url,
            **environment(self.sandbox_url, self.keys),
            "SAGA_API_URL": self.api_url,
            "SAGA_API_KEY": API_KEY,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
        }

    def spawn(self, name: str, *arguments: str) -> nursery.Process:
        log = self.folder / f"{name}.log"
        with log.open("ab") as out, Path(os.devnull).open() as nothing:
            process = nursery.spawn(
                *arguments, cwd=ROOT, env=self.environment, out=out, err=out, stdin=nothing
            )
        self.processes[name] = process
        self.commands[name] = arguments
        return process

    def start_sandbox(self, port: int) -> None:
        self.sandbox_url = f"http://127.0.0.1:{port}"
        self.spawn(
            "sandbox",
            *("-m", "gateways.payments.sandbox", "--port", str(port)),
            *("--books", str(self.folder / "books.sqlite"), "--keys", str(self.keys)),
        )
        self.until(lambda: _answers(f"{self.sandbox_url}/healthz"), "the sandbox answers")

    def start_api(self, port: int) -> None:
        """Serve HTTP. Who starts before it does not know where providers are to call back."""
        self.api_url = f"http://127.0.0.1:{port}"
        self.spawn("api", *("-m", "uvicorn", "--factory", "app:create_api"), *("--port", str(port)))

    def await_api(self) -> None:
        self.until(lambda: _answers(f"{self.api_url}/readyz"), "the API is ready")

    def start_all(self, workers: list[str], *, concurrency: int = 1, app: str = "app") -> None:
        """Workers and the recovery worker, side by side."""
        for name in workers:
            self._spawn_worker(name, concurrency=concurrency, queues=LANES, app=app)
        self._spawn_worker("recovery", concurrency=1, queues="saga.recovery", app=app)
        for name in (*workers, "recovery"):
            self._await_worker(name)

    def start_worker(
        self,
        name: str = "worker1",
        *,
        concurrency: int = 1,
        app: str = "app",
        queues: str | None = None,
    ) -> None:
        queues = queues or ("saga.recovery" if name == "recovery" else LANES)
        self._spawn_worker(name, concurrency=concurrency, queues=queues, app=app)
        self._await_worker(name)

    def _spawn_worker(self, name: str, *, concurrency: int, queues: str, app: str) -> None:
        (self.folder / f"{name}.log").unlink(missing_ok=True)
        self.spawn(
            name,
            *("-m", "celery", "-A", app, "worker", "-n", f"{name}@test", "-Q", queues),
            *("--concurrency", str(concurrency), "--without-mingle", "--without-gossip"),
            *("--loglevel", "INFO"),
        )

    def _await_worker(self, name: str) -> None:
        self.until(lambda: " ready." in self.log(name), f"{name} is ready")

    def start_beat(self, app: str = "app") -> None:
        schedule = str(self.folder / "beat-schedule")
        self.spawn("beat", "-m", "celery", "-A", app, "beat", "--schedule", schedule)

    def start_what_died(self) -> None:
        """Do what a supervisor does; where no child dies with its parent, those may live on."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                self.orphaned.append(process.pid)
                self.spawn(name, *self.commands[name])

    def start_what_was_killed(self) -> None:
        for name in self.commands.keys() - self.processes.keys():
            self.spawn(name, *self.commands[name])

    def end_orphans(self) -> None:
        """Kill -9 what main processes that died alone left, where their children live on."""
        while self.orphaned:
            with suppress(ProcessLookupError):
                os.killpg(self.orphaned.pop(), signal.SIGKILL)

    def kill(self, name: str) -> None:
        """Kill -9 a process and all its children."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # each leads a group of its own
        process.wait(10)

    def kill_main(self, name: str) -> None:
        """Kill -9 the main process alone; on Linux its children die with it, by Celery's wish."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)
        self.orphaned.append(process.pid)

    def kill_child(self, name: str) -> None:
        """Kill -9 the process in which the worker's steps run."""
        for child in self.children(self.processes[name].pid):
            _send(child.pid, signal.SIGKILL)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            self.processes[name] = process
            self.kill(name)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """SIGSTOP a worker and its children, and SIGCONT them at the end."""
        pids = [self.processes[name].pid]
        pids += [child.pid for child in self.children(pids[0])]
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                _send(pid, signal.SIGCONT)

    @staticmethod
    def children(pid: int) -> list[psutil.Process]:
        return psutil.Process(pid).children(recursive=True)

    def log(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def empty_redis(self) -> None:
        """Lose every message."""
        self.redis.kill()
        for file in (self.folder / "redis").rglob("*"):
            if file.is_file() and file.suffix in {".aof", ".rdb", ".manifest"}:
                file.unlink()

    def restart_postgres(self) -> None:
        assert self.postgres is not None, "ask for a world with own_postgres"
        self.postgres.restart()
        self.database.dispose()

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.end_orphans()
        self.redis.kill()
        self.database.dispose()
        if self.postgres is not None:
            self.postgres.kill()

    # What is done

    def payments(
        self, count: int = 1, *, amount: str = "100.00", method: str = "wechat"
    ) -> list[str]:
        """Successful payments of ``amount``, known to the sandbox; their ids."""
        minor = int(float(amount) * 100)
        stamp = time.time_ns()
        with Session(self.database) as session:
            made = []
            for number in range(count):
                order = Order(user_id="user", amount_minor=minor, status="paid")
                session.add(order)
                session.flush()
                payment = Payment(
                    payment_no=f"PAY{stamp}{number:05}",
                    order_id=order.id,
                    user_id="user",
                    method=method,
                    amount_minor=minor,
                    refunded_minor=0,
                    status="success",
                )
                session.add(payment)
                made.append(payment)
            session.commit()
            known = [
                {"paymentNo": payment.payment_no, "amount": amount, "method": method}
                | ({"notifyUrl": f"{self.api_url}/api/webhooks/{method}"} if self.api_url else {})
                for payment in made
            ]
            if method != "balance":
                httpx.post(
                    f"{self.sandbox_url}/control/payments", json={"payments": known}, timeout=30
                ).raise_for_status()
            return [payment.id for payment in made]

    def refund(self, *payment_ids: str, amount: str = "100.00") -> list[UUID]:
        """Start refunds as a producer's process does, with this world's settings; their ids."""
        script = str(Path(__file__).with_name("producer.py"))
        done = nursery.run(script, amount, *payment_ids, cwd=ROOT, env=self.environment)
        assert done.returncode == 0, done.stderr
        return [UUID(line) for line in done.stdout.split()]

    def ask(self, verb: str, path: str, **body: Any) -> Any:
        """Ask the HTTP API, as an operator's program does; its answer."""
        answer = httpx.request(
            verb,
            f"{self.api_url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json()

    def send(self, task: str, *arguments: Any, times: int = 1, queue: str = "saga.new") -> None:
        """Put bare messages into a queue, as a broken or late broker would."""
        with Celery("test", broker=self.redis.url, set_as_current=False) as celery:
            for _ in range(times):
                celery.send_task(task, args=arguments, queue=queue, ignore_result=True)

    def fault(self, operation: str, kind: str, **more: Any) -> None:
        body = {"operation": operation, "kind": kind, **more}
        httpx.post(f"{self.sandbox_url}/control/faults", json=body).raise_for_status()

    def forget_faults(self) -> None:
        httpx.delete(f"{self.sandbox_url}/control/faults").raise_for_status()

    # What is seen

    def rows(self, sql: str, **params: Any) -> list[Any]:
        with self.database.connect() as connection:
            return list(connection.execute(text(sql), params).all())

    def status(self, saga_id: UUID) -> str:
        [found] = self.rows("SELECT status FROM saga_state WHERE saga_id = :id", id=saga_id)
        return str(found.status)

    def kinds(self, saga_id: UUID) -> list[str]:
        sql = "SELECT kind FROM saga_event WHERE saga_id = :id ORDER BY seq"
        return [found.kind for found in self.rows(sql, id=saga_id)]

    def has(self, saga_id: UUID, kind: str, step: str | None = None) -> bool:
        sql = (
            "SELECT 1 FROM saga_event WHERE saga_id = :id AND kind = :kind "
            "AND (CAST(:step AS text) IS NULL OR step = :step)"
        )
        return bool(self.rows(sql, id=saga_id, kind=kind, step=step))

    def story(self, saga_id: UUID) -> str:
        """The timeline, for the message of a test that failed."""
        sql = "SELECT * FROM saga_event WHERE saga_id = :id ORDER BY seq"
        events = [
            f"{event.seq} {event.at:%H:%M:%S.%f} {event.kind} {event.step} "
            f"attempt {event.attempt} epoch {event.epoch} {event.worker} {event.detail}"
            for event in self.rows(sql, id=saga_id)
        ]
        row = self.rows("SELECT * FROM saga_state WHERE saga_id = :id", id=saga_id)
        return "\n".join([*events, str(row)])

    def books(self) -> dict[str, dict[str, Any]]:
        found = httpx.get(f"{self.sandbox_url}/control/books", timeout=30).json()
        return {refund["refundNo"]: refund for refund in found["refunds"]}

    def until(self, is_so: Callable[[], T], what: str, *, within: float = 60) -> T:
        """Wait for something to be so; fail with the logs' tails when it never is."""
        end = time.monotonic() + within
        while not (found := is_so()):
            if time.monotonic() > end:
                tails = "\n".join(
                    f"--- {name}\n{self.log(name)[-2000:]}" for name in self.processes
                )
                raise AssertionError(f"in {within} s it never came that {what}\n{tails}")
            time.sleep(0.05)
        return found

    def until_status(self, saga_id: UUID, *statuses: str, within: float = 60) -> str:
        try:
            self.until(
                lambda: self.status(saga_id) in statuses, f"{saga_id} is {statuses}", within=within
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story(saga_id)}") from None
        return self.status(saga_id)

    def until_all_rest(self, within: float = 120) -> None:
        sql = (
            "SELECT saga_id FROM saga_state "
            "WHERE status NOT IN ('COMPLETED', 'COMPENSATED', 'TIMEOUT', 'FAILED')"
        )
        try:
            self.until(lambda: not self.rows(sql), "all sagas rest", within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story(self.rows(sql)[0][0])}") from None

    @contextmanager
    def holding(self, sql: str, **params: Any) -> Iterator[Connection]:
        """Hold a lock that stops a step where it stands."""
        with self.database.connect() as connection:
            connection.execute(text(sql), params)
            yield connection
            connection.rollback()

    def blocked(self) -> int:
        """How many sessions of workers wait for a lock."""
        sql = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
        return int(self.rows(sql)[0][0])

    def audit(self) -> None:
        """Books, payments, orders and sagas agree to the cent; nothing was refunded twice."""
        books = [refund for refund in self.books().values() if refund["status"] == "SUCCESS"]
        by_payment: dict[str, int] = {}
        for refund in books:
            minor = round(float(refund["amount"]) * 100)
            by_payment[refund["paymentNo"]] = by_payment.get(refund["paymentNo"], 0) + minor
        sql = (
            "SELECT p.*, o.status AS order_status, (SELECT coalesce(sum(amount_minor), 0) "
            "FROM refunds r WHERE r.payment_id = p.id) AS booked FROM payments p "
            "JOIN orders o ON o.id = p.order_id WHERE p.method <> 'balance'"
        )
        wrong = []
        for payment in self.rows(sql):
            there = by_payment.get(payment.payment_no, 0)
            is_refunded = payment.refunded_minor == payment.amount_minor
            expected = ("refunded", "refunded") if is_refunded else ("success", "paid")
            if not there == payment.refunded_minor == payment.booked:
                wrong.append(f"{payment.payment_no}: provider {there}, ours {payment}")
            if (payment.status, payment.order_status) != expected:
                wrong.append(f"{payment.payment_no}: {payment.status}, {payment.order_status}")
        assert not wrong, "\n".join(wrong)

    def statuses(self) -> dict[str, int]:
        sql = "SELECT status, count(*) AS n FROM saga_state GROUP BY status"
        return {found.status: found.n for found in self.rows(sql)}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
