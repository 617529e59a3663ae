"""What a running task needs: the database, the definitions, the clockwork, and its own identity."""

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from saga import queries
from saga.circumstances import Circumstances
from saga.decide import decide
from saga.definition import Role, Saga, Work
from saga.errors import Refused, StepMisbehaved, TryAgain
from saga.followup import Drop, Followup, RetryIn
from saga.position import AttemptFailed, Event, RefusedFinally, WaitingFor
from saga.registry import Kind, Place, Registry
from saga.row import Row
from saga.settlement import apply
from saga.task import Effect, Forward, IdempotencyKey
from saga.timing import Timing

# While the database is away, its message waits about this long in the broker.
_HOLD = timedelta(seconds=1)
_LONGEST_HOLD = 5


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One delivery of a message: which task, by which worker, and whether it came before."""

    task_id: str
    worker: str
    redelivered: bool = False


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What every task of an engine shares."""

    database: Database
    registry: Registry
    timing: Timing

    def admit(
        self, connection: Connection, place: Place, saga_id: UUID, epoch: int
    ) -> tuple[Saga[Any], Row] | Drop:
        """Lock the saga for a message that may act on it now; else say why it may not."""
        idle_limit = place.limit + self.timing.grace
        row = queries.lock_for(connection, place, saga_id, epoch=epoch, idle_limit=idle_limit)
        if row is None:
            return Drop(queries.why_not(connection, place, saga_id, epoch=epoch))
        saga = self.registry.find(row.saga_type, row.definition_version)
        if saga is None or row.step not in {step.name for step in saga.steps}:
            return Drop("unknown definition")
        if place.kind is Kind.ACTION and _must_stop(saga, row):
            return Drop("its time is over")
        return saga, row

    def settle(
        self, connection: Connection, saga: Saga[Any], row: Row, event: Event, by: Circumstances
    ) -> Followup:
        """Decide what comes of an event, and carry it out."""
        move = decide(saga, row, event, jitter=random.random())  # noqa: S311 - spreads load
        return apply(connection, saga, row, move, by)


def _must_stop(saga: Saga[Any], row: Row) -> bool:
    """Whether recovery, not another attempt, has the word: the saga's time before the pivot."""
    step = saga.step(row.step)
    if step.role is Role.RETRIABLE or row.waiting_for is WaitingFor.POLL:
        return False
    return row.stop_reason is not None or row.is_over_time


def failure(error: Exception, *, external: bool) -> AttemptFailed | RefusedFinally:
    """What an error of a step or compensation means."""
    match error:
        case Refused():
            return RefusedFinally()
        case TryAgain():
            return AttemptFailed(Effect.NOT_STARTED, error.after)
    return AttemptFailed(Effect.UNKNOWN if external else Effect.NOT_STARTED)


def returned(model: type[BaseModel], work: Work, state: object) -> dict[str, Any]:
    """The JSON of the state that a step returned. Raises StepMisbehaved for anything else."""
    if not isinstance(state, model):
        what = "nothing" if state is None else f"a {type(state).__name__}"
        raise StepMisbehaved(f"{work.name} must return its {model.__name__}, and returned {what}")
    return state.model_dump(mode="json")


def hold(error: Exception) -> RetryIn:
    """Trouble of our own costs no attempt: the message waits and comes again."""
    return RetryIn(_HOLD * random.randint(1, _LONGEST_HOLD), error)  # noqa: S311 - spreads load


def counted(row: Row) -> Row:
    """The row with the attempt that is under way counted in, for the decision and the event."""
    return replace(row, attempt=row.attempt + 1)


def forward(row: Row) -> Forward:
    """What a compensation may know of its step."""
    key = IdempotencyKey.of(row.saga_id, row.step)
    if row.effect(row.step) is Effect.DONE:
        return Forward(key, Effect.DONE)
    return Forward(key, Effect.UNKNOWN)
