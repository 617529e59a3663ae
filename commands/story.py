"""What the demonstration tells: refunds that are done, waited for, refused, and cut off."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from rich.console import Console

from commands.audit import Line, audit, problems
from commands.payments import make_payments
from commands.stage import Stage
from gateways.payments.money import to_minor
from models import PaymentMethod, PaymentView
from saga import Status, connect
from saga.cli.sagas import colored
from saga.cli.timeline import Entry, entries, took
from saga.registry import Registry
from saga.views import show

_PIVOT = "payment_refund.call_provider_refund"
_SLOW_SECONDS = 5
_FINAL_SECONDS = 2
_SIGNALS = {"signalled", "signal_received"}
_REST_WITHIN = timedelta(seconds=60)
_LOOK_EVERY = timedelta(seconds=0.2)


@dataclass(frozen=True, kw_only=True)
class Refund:
    """One refund of the story, and how it must end."""

    name: str
    payment: PaymentView
    amount: str
    end: Status = Status.COMPLETED


@dataclass(frozen=True)
class Told:
    """What came of the story: its sagas, the audit, and all that is not as it must be."""

    sagas: list[dict[str, Any]]
    lines: list[Line]
    wrong: list[str]


class Story:
    """Runs refunds on a stage, and tells about each on the console."""

    def __init__(self, stage: Stage, registry: Registry, console: Console) -> None:
        facts = stage.stack().facts
        self._stage = stage
        self._registry = registry
        self._console = console
        self._sandbox_url: str = facts["sandboxUrl"]
        self._api_url: str = facts["apiUrl"]
        self._database = connect(facts["databaseUrl"])
        self._sagas: list[dict[str, Any]] = []
        self._wrong: list[str] = []

    def tell(self) -> Told:
        try:
            self._three_at_once()
            self._one_called_back()
            self._one_refused()
            self._one_killed()
            lines = audit(self._database, self._sandbox_url)
        finally:
            self._database.dispose()
        return Told(self._sagas, lines, [*self._wrong, *problems(lines)])

    def _three_at_once(self) -> None:
        self._say("1. Three refunds at once: all of it, a part of it, and one to a wallet")
        paid = self._paid
        self._run(
            Refund(name="all", payment=paid("100.00", PaymentMethod.WECHAT), amount="100.00"),
            Refund(name="part", payment=paid("250.00", PaymentMethod.ALIPAY), amount="80.00"),
            Refund(name="wallet", payment=paid("60.00", PaymentMethod.BALANCE), amount="25.50"),
        )

    def _one_called_back(self) -> None:
        self._say("2. Alipay takes its time: the saga waits, at no cost, until Alipay calls back")
        payment = self._paid("90.00", PaymentMethod.ALIPAY)
        self._order_fault(
            {"kind": "processing", "seconds": _FINAL_SECONDS, "paymentNo": payment.payment_no}
        )
        heard: list[str] = []

        def hear(event: dict[str, Any]) -> None:
            if event["kind"] in _SIGNALS:
                heard.append(event["kind"])

        self._run(
            Refund(name="called back", payment=payment, amount="45.00"),
            on_event=hear,
        )
        if not heard:
            self._wrong.append("no callback was heard: the refund was asked after instead")

    def _one_refused(self) -> None:
        self._say("3. The provider refuses: what was done is compensated, step by step")
        payment = self._paid("75.00", PaymentMethod.WECHAT)
        self._order_fault({"kind": "refuse", "paymentNo": payment.payment_no})
        self._run(
            Refund(name="refused", payment=payment, amount="75.00", end=Status.COMPENSATED),
        )

    def _one_killed(self) -> None:
        self._say(
            "4. kill -9 hits the worker while the provider takes its time; another one goes on"
        )
        payment = self._paid("320.00", PaymentMethod.ALIPAY)
        self._order_fault(
            {"kind": "slow", "seconds": _SLOW_SECONDS, "paymentNo": payment.payment_no}
        )
        killed: list[int] = []

        def kill_once(event: dict[str, Any]) -> None:
            if killed or event["kind"] != "attempt_started" or event["step"] != _PIVOT:
                return
            killed.extend(self._stage.kill_worker(event["worker"]))
            numbers = ", ".join(str(pid) for pid in killed)
            self._console.print(
                f"  [bold red]kill -9[/] {numbers}: {event['worker']} and its children are gone"
            )

        self._run(
            Refund(name="killed", payment=payment, amount="320.00"),
            on_event=kill_once,
        )
        if not killed:
            self._wrong.append("no worker was killed: nobody called the provider")

    def _paid(self, amount: str, method: PaymentMethod) -> PaymentView:
        [payment] = make_payments(
            self._database,
            sandbox_url=self._sandbox_url,
            count=1,
            amount_minor=to_minor(amount),
            method=method,
            api_url=self._api_url,
        )
        return payment

    def _order_fault(self, fault: dict[str, Any]) -> None:
        with httpx.Client(trust_env=False) as client:
            order = {"operation": "refund", "times": 1, **fault}
            client.post(f"{self._sandbox_url}/control/faults", json=order).raise_for_status()

    def _run(
        self, *refunds: Refund, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        """Start refunds and tell how they go, until all rest."""
        inputs = [
            {"paymentId": refund.payment.id, "amount": refund.amount, "reason": refund.name}
            for refund in refunds
        ]
        for refund in refunds:
            payment = refund.payment
            self._console.print(
                f"  refund {refund.amount} of {payment.amount} {payment.currency}, "
                f"{payment.method} payment {payment.payment_no}"
            )
        with busy(self._console, "saga start payment_refund"):
            said = self._stage.saga(
                *("start", "payment_refund", "--input", "@-", "--json"),
                given="\n".join(json.dumps(asked) for asked in inputs),
            )
        ids = [json.loads(line)["sagaId"] for line in said.splitlines()]
        if len(ids) == 1:
            self._follow(refunds[0], ids[0], on_event)
            return
        with busy(self._console, "the workers run the refunds"):
            for saga_id in ids:
                self._await(saga_id)
        for refund, saga_id in zip(refunds, ids, strict=True):
            self._follow(refund, saga_id, on_event)

    def _await(self, saga_id: str) -> None:
        deadline = time.monotonic() + _REST_WITHIN.total_seconds()
        while time.monotonic() < deadline and _is_open(self._look(saga_id)):
            time.sleep(_LOOK_EVERY.total_seconds())

    def _follow(
        self,
        refund: Refund,
        saga_id: str,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Tell line by line what happens to a saga until it rests."""
        self._console.print(f"\n  [bold]{refund.name}[/]  saga {saga_id}")
        deadline = time.monotonic() + _REST_WITHIN.total_seconds()
        told = 0
        with busy(self._console, "waiting for what comes next"):
            while True:
                seen = self._look(saga_id)
                timeline = list(entries(seen["events"], seen["saga"]["sagaType"]))
                for event, entry in list(zip(seen["events"], timeline, strict=True))[told:]:
                    self._console.print(_line(entry))
                    if on_event is not None:
                        on_event(event)
                told = len(timeline)
                if not _is_open(seen) or time.monotonic() > deadline:
                    break
                time.sleep(_LOOK_EVERY.total_seconds())
        self._conclude(refund, seen)

    def _conclude(self, refund: Refund, seen: dict[str, Any]) -> None:
        saga = seen["saga"]
        status = saga["status"]
        self._console.print(f"  {colored(status)}: {seen['why']}")
        self._sagas.append({"name": refund.name, "sagaId": saga["sagaId"], "status": status})
        if status != refund.end:
            told = f"refund {refund.name!r} ({saga['sagaId']}) is {status}, not {refund.end}"
            self._wrong.append(f"{told}: {seen['why']}")

    def _look(self, saga_id: str) -> dict[str, Any]:
        with self._database.connect() as connection:
            return show(connection, self._registry, saga_id)

    def _say(self, title: str) -> None:
        self._console.print(f"\n[bold]{title}[/]")


def _is_open(seen: dict[str, Any]) -> bool:
    return seen["saga"]["status"] in {Status.RUNNING, Status.COMPENSATING}


def _line(entry: Entry) -> str:
    attempt = "" if entry.attempt is None else f"attempt {entry.attempt}"
    by = ", ".join(filter(None, (entry.duration, entry.worker.partition("@")[0])))
    said = entry.outcome.replace("[", r"\[")
    after = took(entry.after_seconds)
    return f"  {after:>7}  {entry.step:<22}{attempt:<11}{said}  [dim]{by}[/]"


def busy(console: Console, what: str) -> AbstractContextManager[Any]:
    """Show that something goes on; where no terminal is, say it once."""
    if console.is_terminal:
        return console.status(f"{what} …")
    return nullcontext()
