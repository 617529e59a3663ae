"""What may still stop a saga: its own time, or what somebody said about it."""

from typing import Any

from saga.definition import Role, Saga
from saga.position import Position, StopReason, WaitingFor

_ACCEPTED = frozenset({WaitingFor.POLL, WaitingFor.SIGNAL})


def stop_reason(at: Position) -> StopReason | None:
    """Why the saga must not go on, if it must not: what was said first, else its time."""
    return at.stop_reason or (StopReason.TIMEOUT if at.is_over_time else None)


def can_stop(saga: Saga[Any], at: Position) -> bool:
    """Whether a reason to stop ends the step in hand; past the point of no return none does."""
    role = saga.step(at.step).role
    return role is Role.COMPENSATABLE or (role is Role.PIVOT and not is_accepted(saga, at))


def is_accepted(saga: Saga[Any], at: Position) -> bool:
    """Whether the other system took the order, so that only its final word decides."""
    return at.waiting_for in _ACCEPTED and saga.step(at.step).is_external
