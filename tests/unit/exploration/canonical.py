"""Rows that act alike are one: what nobody will ever ask for again is forgotten."""

from typing import Any

from saga import Role
from tests.unit.exploration.model import (
    ACTION,
    COMPENSATED,
    COMPENSATING,
    COMPENSATION,
    COMPLETED,
    DONE,
    FAILED,
    POLL,
    PROBE,
    PROBING,
    RUNNING,
    SECOND_LOOK,
    SIGNAL,
    TIMEOUT,
    UNKNOWN,
    Ended,
    Row,
    Small,
)


def canonical(small: Small, row: Row) -> Row:
    """The row that stands for all that act like this one."""
    changes: dict[str, Any] = {}
    reopens = small.operated and row.status == FAILED
    if row.status != RUNNING:
        changes |= {"over_time": False, "overdue": False}
    goes_forward = row.status == RUNNING or (reopens and row.failed_from == RUNNING)
    asks = small.probed[row.step] and row.effects[row.step] in {UNKNOWN, DONE}
    if not goes_forward or not asks:
        # Only what a probe says is weighed against when the call ended.
        changes["ended"] = Ended.NEVER
    if not goes_forward:
        changes["words"] = 0
    probing = row.waiting_for in {PROBE, SECOND_LOOK}
    if row.status in {COMPLETED, FAILED}:
        changes |= {"attempt": 0, "dispatches": 0}
        if not reopens:
            changes |= {"stop_reason": None, "look_at": None, "step": 0, "looks": 0}
            changes["failed_from"] = RUNNING if row.status == FAILED else None
    kind = PROBING if probing else COMPENSATION if row.status == COMPENSATING else ACTION
    most = 1 if small.is_call(kind, row.step) else 2
    if row.status in {COMPENSATED, TIMEOUT} and row.waiting_for is None:
        changes["dispatches"] = 0
    elif row.dispatches > most:
        # How often a call was published matters to nobody; of a transaction, whether it was twice.
        changes["dispatches"] = most
    if row.waiting_for == PROBE and row.attempt > 1:
        # A probe is asked as long as probe_for lasts, however often.
        changes["attempt"] = 1
    return row._replace(**changes) if changes else row


def parked(row: Row) -> Row:
    """A FAILED row about which nobody will decide any more."""
    return row._replace(
        stop_reason=None,
        look_at=None,
        step=0,
        looks=0,
        failed_from=RUNNING,
        ended=Ended.NEVER,
        words=0,
    )


def accepted(small: Small, row: Row) -> bool:
    """Whether the other system took the order, and only its final word is to come."""
    return row.waiting_for in {POLL, SIGNAL} and small.external[row.step]


def can_stop(small: Small, row: Row) -> bool:
    """Whether the end of the saga's time, or a word to stop, ends the step in hand."""
    role = small.steps[row.step].role
    return role is Role.COMPENSATABLE or (role is Role.PIVOT and not accepted(small, row))


def is_time_bound(small: Small, row: Row) -> bool:
    """Whether the end of the saga's time stops the step in hand, so that recovery wakes for it."""
    return row.status == RUNNING and can_stop(small, row)
