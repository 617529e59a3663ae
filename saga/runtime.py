"""What a running task needs: the database, the definitions, the clockwork, and its own identity."""

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, assert_never
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from saga import queries
from saga.circumstances import Circumstances, gist, plain
from saga.decide import can_stop, decide, stop_reason
from saga.definition import Saga, Work
from saga.errors import NeedsPerson, Refused, StepMisbehaved, TryAgain
from saga.followup import Drop, Followup, RetryIn
from saga.position import (
    Accepted,
    AttemptFailed,
    Event,
    PersonNeeded,
    RefusedFinally,
    Sleeps,
    WaitsForSignal,
)
from saga.registry import Kind, Place, Registry
from saga.row import Row
from saga.settlement import apply
from saga.task import Effect, Forward
from saga.timing import Timing
from saga.waiting import PollAgain, SleepUntil, Wait, Waits

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
        if row.paused is not None or row.pause is not None:
            return Drop("paused")
        saga = self.registry.find(row.saga_type, row.definition_version)
        if saga is None or row.step not in {step.name for step in saga.steps}:
            return Drop("unknown definition")
        if place.kind is Kind.ACTION and can_stop(saga, row) and stop_reason(row) is not None:
            return Drop("its time is over")
        return saga, row

    def settle(
        self, connection: Connection, saga: Saga[Any], row: Row, event: Event, by: Circumstances
    ) -> Followup:
        """Decide what comes of an event, and carry it out."""
        move = decide(saga, row, event, jitter=random.random())  # noqa: S311 - spreads load
        return apply(connection, saga, row, move, by)


def told_nothing(work: Work, answer: object) -> None:
    """A compensation says that it is done by returning nothing. Raises StepMisbehaved."""
    if answer is not None:
        what = type(answer).__name__
        raise StepMisbehaved(f"{work.name} must return nothing when it is done, not a {what}")


def waits(saga: Saga[Any], said: Waits) -> Accepted | WaitsForSignal | Sleeps:
    """What it means that a step waits. Raises StepMisbehaved for a signal nobody can send."""
    if isinstance(said, SleepUntil):
        return Sleeps(said.instant)
    if said.signal is not None and saga.signal(said.signal) is None:
        raise StepMisbehaved(f"{saga.name} has no signal {said.signal!r}; see Saga(signals=…)")
    match said:
        case Wait(signal=signal, timeout=timeout):
            return WaitsForSignal(signal=signal, timeout=timeout)
        case PollAgain(after=after, signal=early):
            return Accepted(after=after, signal=early)
    assert_never(said)


def failure(error: Exception, *, external: bool) -> AttemptFailed | RefusedFinally | PersonNeeded:
    """What an error of a step or compensation means."""
    match error:
        case Refused():
            return RefusedFinally()
        case NeedsPerson():
            # What was rolled back has no key that could be used up.
            effect = error.effect if external else Effect.NOT_STARTED
            return PersonNeeded(advice=plain(error.advice), effect=effect)
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
    # What SQLAlchemy says of it has the statement and its values, and Celery tells all of it.
    away = ConnectionError(gist(error))
    return RetryIn(_HOLD * random.randint(1, _LONGEST_HOLD), away)  # noqa: S311 - spreads load


def counted(row: Row) -> Row:
    """The row with the attempt that is under way counted in, for the decision and the event."""
    return replace(row, attempt=row.attempt + 1)


def forward(row: Row) -> Forward:
    """What a compensation may know of its step."""
    if row.effect(row.step) is Effect.DONE:
        return Forward(row.key, Effect.DONE)
    return Forward(row.key, Effect.UNKNOWN)
