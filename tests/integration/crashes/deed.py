"""What people, and other systems, do to a saga from outside while it is under way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from saga.position import Outcome

Row = Mapping[str, Any]
When = Callable[[Row], bool]


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One deed, done once: as soon as the saga's row is as ``when`` says, or ``during`` a call.

    A ``patient`` one is not done before all messages are worked off.
    """

    do: Callable[[Any], None]
    when: When | None = None
    during: str | None = None
    patient: bool = False

    def is_due(self, row: Row, *, idle: bool) -> bool:
        return self.when is not None and self.patient <= idle and self.when(row)


def at_once(_: Row) -> bool:
    return True


def waits(row: Row) -> bool:
    return row["not_before"] is not None and row["waiting_for"] in {"signal", "poll", "sleep"}


def overdue(row: Row) -> bool:
    return bool(row["overdue"])


def failed(row: Row) -> bool:
    return bool(row["status"] == "FAILED")


def paused(row: Row) -> bool:
    return row["paused"] is not None and row["wake_at"] is None


def at(step: str) -> When:
    return lambda row: row["current_step"] == f"shop.{step}" and row["claimed_by"] is None


def goes_back(row: Row) -> bool:
    return bool(row["status"] == "COMPENSATING")


def tries_again(row: Row) -> bool:
    return bool(row["attempt"]) and row["not_before"] is not None


def signal(signal_id: str, *, by: str | None = None, **when: Any) -> Deed:
    return Deed(do=lambda desk: desk.signal(by or signal_id, signal_id), **when)


def operate(what: str, *, again: int = 1, mends: bool = False, **when: Any) -> Deed:
    """Ann does it to the saga; ``mends``: she has done away with what stood in its way before."""
    reason = f"{what} {again}"

    def do(desk: Any) -> None:
        desk.mended = desk.mended or mends
        desk.operate(reason, getattr(desk.ann, what))

    return Deed(do=do, **when)


def resolve(outcome: Outcome, step: str | None = None, **when: Any) -> Deed:
    """Ann found out what became of a step, or of all, and vouches for it."""
    found = {"outcome": outcome, "evidence": "their list", "step": step and f"shop.{step}"}

    def do(desk: Any) -> None:
        desk.operate("resolve", lambda saga_id, **said: desk.ann.resolve(saga_id, **found, **said))

    return Deed(do=do, **when)


def pause_type(step: str | None = None, **when: Any) -> Deed:
    return Deed(do=lambda desk: desk.pause_type("down", step and f"shop.{step}"), **when)


def resume_type(step: str | None = None, *, after: timedelta, **when: Any) -> Deed:
    """Time passes before it is resumed."""

    def do(desk: Any) -> None:
        if not desk.waited:
            desk.waited = True
            desk.let_pass(after)
        desk.resume_type("up again", step and f"shop.{step}")

    return Deed(do=do, **when)
