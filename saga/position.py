"""Where a saga stands, and what can happen to it: the two things that ``decide`` looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from saga.task import Effect


class Status(StrEnum):
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    TIMEOUT = "TIMEOUT"
    FAILED = "FAILED"


RESTING = frozenset({Status.COMPLETED, Status.COMPENSATED, Status.TIMEOUT})


class WaitingFor(StrEnum):
    """What a saga waits for, when it is not simply its next attempt."""

    PROBE = "probe"
    POLL = "poll"
    SIGNAL = "signal"
    SLEEP = "sleep"
    SECOND_LOOK = "second_look"


class StopReason(StrEnum):
    """Why a saga stopped going forward; TIMEOUT alone makes it rest as TIMEOUT.

    ORDERED: a person had it compensated, past the pivot too.
    """

    REFUSED = "refused"
    GAVE_UP = "gave_up"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ORDERED = "ordered"


class Paused(StrEnum):
    """What was paused: this saga alone, its type, or the step where it stands."""

    SAGA = "saga"
    TYPE = "type"
    STEP = "step"


class Intervention(StrEnum):
    """What an operator may do to a saga."""

    RETRY = "retry"
    COMPENSATE = "compensate"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RESOLVE = "resolve"


class Outcome(StrEnum):
    """What a person found out about a step, or about a whole saga."""

    DONE = "done"
    NOT_DONE = "not_done"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a saga stands, as one locked row and the database's clock say it.

    ``attempt`` counts the attempts of the current step, or of its compensation while
    COMPENSATING, this one included. ``call_ended_at`` is when the last call to the other system
    ended at the latest. ``looks`` counts the second looks taken, ``polls`` the answers "accepted,
    not final". ``not_before`` is when a wait ends, ``signal`` the name that may end it early. While
    ``paused``, the saga's clock stands at ``paused_at``; ``pause`` is of its type or step, which
    recovery may not have met yet. ``failed_from`` is what it was before FAILED.
    """

    status: Status
    step: str
    attempt: int
    effects: Mapping[str, Effect] = field(default_factory=dict)
    now: datetime
    timeout_at: datetime
    claimed: bool = False
    waiting_for: WaitingFor | None = None
    stop_reason: StopReason | None = None
    call_ended_at: datetime | None = None
    overdue: bool = False
    looks: int = 0
    polls: int = 0
    not_before: datetime | None = None
    signal: str | None = None
    paused: Paused | None = None
    paused_at: datetime | None = None
    failed_from: Status | None = None
    pause: Paused | None = None

    def effect(self, step: str) -> Effect:
        return self.effects.get(step, Effect.NOT_STARTED)

    @property
    def is_over_time(self) -> bool:
        return (self.paused_at or self.now) >= self.timeout_at

    @property
    def is_waiting(self) -> bool:
        """Whether a wait is under way: for a time, or for a signal until a time."""
        return self.not_before is not None and self.not_before > self.now


@dataclass(frozen=True)
class Succeeded:
    """The step, or the compensation, did its work.

    ``believed`` is the step's effect as the compensation was told it when it began.
    """

    believed: Effect | None = None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The provider took the order; its final word comes later.

    ``after``: when to ask for it, by the step's policy where None; ``signal`` may tell it sooner.
    """

    after: timedelta | None = None
    signal: str | None = None


@dataclass(frozen=True, kw_only=True)
class WaitsForSignal:
    """The step cannot go on before a signal comes, for which it waits ``timeout`` at most."""

    signal: str
    timeout: timedelta


@dataclass(frozen=True)
class Sleeps:
    """The step has done nothing yet and wants to be called at ``until``."""

    until: datetime


@dataclass(frozen=True)
class RefusedFinally:
    """It did not happen and never will."""


@dataclass(frozen=True, kw_only=True)
class PersonNeeded:
    """The step, its compensation or its probe says that a person must act, and how.

    ``effect`` is what it knows of the step: not started, not done (and never will be), unknown.
    """

    advice: str
    effect: Effect


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt failed. ``effect`` UNKNOWN: it may have taken effect all the same."""

    effect: Effect
    after: timedelta | None = None


@dataclass(frozen=True)
class WorkerLost:
    """The worker of a claim, or of a counted transaction, has not been heard of."""


@dataclass(frozen=True)
class FoundDone:
    """The probe found that the step took effect."""


@dataclass(frozen=True)
class FoundNothing:
    """The probe found nothing under the step's key.

    ``asked_at`` is when it was asked, which its answer is as old as; None: just now.
    """

    asked_at: datetime | None = None


@dataclass(frozen=True)
class FoundNoAnswer:
    """The probe could not tell, or failed itself."""


@dataclass(frozen=True)
class LateSuccess:
    """A worker that had lost its claim on ``step`` reports that the step took effect.

    ``under_old_key``: an operator has let it be tried under a new key since, for it surely had not.
    """

    step: str
    under_old_key: bool = False


@dataclass(frozen=True)
class Due:
    """The time came at which recovery looks at an unclaimed saga."""


@dataclass(frozen=True)
class Signalled:
    """A signal of this name is there, and what it tells is in the state."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Intervened:
    """An operator asks for something, and may: see ``decide.why_not``.

    RESOLVE has an ``outcome``, of the whole saga where ``step`` is None.
    """

    what: Intervention
    step: str | None = None
    outcome: Outcome | None = None


Event: TypeAlias = (
    Succeeded
    | Accepted
    | WaitsForSignal
    | Sleeps
    | Signalled
    | Intervened
    | RefusedFinally
    | PersonNeeded
    | AttemptFailed
    | WorkerLost
    | FoundDone
    | FoundNothing
    | FoundNoAnswer
    | LateSuccess
    | Due
)
