"""Refunds that are done, waited for, refused, and cut off."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from commands.narrator import Hear, Narrator
from commands.payments import make_payments
from gateways.payments.money import to_minor
from models import PaymentMethod, PaymentView
from saga import Status

_PIVOT = "payment_refund.call_provider_refund"
_SLOW_SECONDS = 5
_FINAL_SECONDS = 2
_SIGNALS = {"signalled", "signal_received"}


@dataclass(frozen=True, kw_only=True)
class Refund:
    """One refund of the story, and how it must end."""

    name: str
    payment: PaymentView
    amount: str
    end: Status = Status.COMPLETED


class RefundStory:
    """Runs refunds on a stage, and tells about each."""

    def __init__(self, narrator: Narrator) -> None:
        facts = narrator.stage.stack().facts
        self._narrator = narrator
        self._sandbox_url: str = facts["sandboxUrl"]
        self._api_url: str = facts["apiUrl"]

    def tell(self) -> None:
        self._three_at_once()
        self._one_called_back()
        self._one_refused()
        self._one_killed()

    def _three_at_once(self) -> None:
        self._narrator.title(
            "1. Three refunds at once: all of it, a part of it, and one to a wallet"
        )
        paid = self._paid
        self._run(
            Refund(name="all", payment=paid("100.00", PaymentMethod.WECHAT), amount="100.00"),
            Refund(name="part", payment=paid("250.00", PaymentMethod.ALIPAY), amount="80.00"),
            Refund(name="wallet", payment=paid("60.00", PaymentMethod.BALANCE), amount="25.50"),
        )

    def _one_called_back(self) -> None:
        self._narrator.title(
            "2. Alipay takes its time: the saga waits, at no cost, until Alipay calls back"
        )
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
            self._narrator.wrong.append("no callback was heard: the refund was asked after instead")

    def _one_refused(self) -> None:
        self._narrator.title("3. The provider refuses: what was done is compensated, step by step")
        payment = self._paid("75.00", PaymentMethod.WECHAT)
        self._order_fault({"kind": "refuse", "paymentNo": payment.payment_no})
        self._run(
            Refund(name="refused", payment=payment, amount="75.00", end=Status.COMPENSATED),
        )

    def _one_killed(self) -> None:
        self._narrator.title(
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
            killed.extend(self._narrator.stage.kill_worker(event["worker"]))
            numbers = ", ".join(str(pid) for pid in killed)
            self._narrator.line(
                f"[bold red]kill -9[/] {numbers}: {event['worker']} and its children are gone"
            )

        self._run(
            Refund(name="killed", payment=payment, amount="320.00"),
            on_event=kill_once,
        )
        if not killed:
            self._narrator.wrong.append("no worker was killed: nobody called the provider")

    def _paid(self, amount: str, method: PaymentMethod) -> PaymentView:
        [payment] = make_payments(
            self._narrator.database,
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

    def _run(self, *refunds: Refund, on_event: Hear | None = None) -> None:
        """Start refunds and tell how they go, until all rest."""
        narrator = self._narrator
        inputs = [
            {"paymentId": refund.payment.id, "amount": refund.amount, "reason": refund.name}
            for refund in refunds
        ]
        for refund in refunds:
            payment = refund.payment
            narrator.line(
                f"refund {refund.amount} of {payment.amount} {payment.currency}, "
                f"{payment.method} payment {payment.payment_no}"
            )
        with narrator.busy("saga start payment_refund"):
            said = narrator.stage.saga(
                *("start", "payment_refund", "--input", "@-", "--json"),
                given="\n".join(json.dumps(asked) for asked in inputs),
            )
        ids = [json.loads(line)["sagaId"] for line in said.splitlines()]
        if len(ids) > 1:
            narrator.let_rest(ids)
        for refund, saga_id in zip(refunds, ids, strict=True):
            narrator.follow(refund.name, saga_id, end=refund.end, on_event=on_event)
