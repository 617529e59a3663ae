"""What may be done to a saga: the answers of ``decide``. ``engine`` carries them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from saga.position import Intervention, Paused, Status, StopReason, WaitingFor
from saga.task import Effect

Effects: TypeAlias = Mapping[str, Effect]


@dataclass(frozen=True)
class Skipped:
    """The step was given up, ``why``, and its saga goes on without it.

    ``effect`` is what is known of it from now on: not done, or unknown.
    """

    why: str
    effect: Literal[Effect.NOT_DONE, Effect.UNKNOWN]


@dataclass(frozen=True)
class Advance:
    """The step is done, or ``skipped``; ``to`` comes next."""

    to: str
    skipped: Skipped | None = None


@dataclass(frozen=True)
class Complete:
    """The last step is done, or ``skipped``. ``effects`` is what a person vouched for beyond it."""

    effects: Effects = field(default_factory=dict)
    skipped: Skipped | None = None


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Try the same again ``after`` this long. ``effect`` is what is known of the step now."""

    after: timedelta
    effect: Effect


@dataclass(frozen=True, kw_only=True)
class WaitFor:
    """Wait for ``what`` at no cost, ``after`` this long at most, or until ``signal`` comes.

    ``effect`` is what is known of the step now, ``reason`` why it is to stop once its final word
    lets it.
    """

    what: Literal[WaitingFor.POLL, WaitingFor.SIGNAL, WaitingFor.SLEEP]
    after: timedelta
    signal: str | None = None
    effect: Effect
    reason: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class TakeIn:
    """The signal that the step waited for is there: call the step again.

    ``accepted``: the other system has taken the order, and its final word is still to come.
    """

    accepted: bool


@dataclass(frozen=True)
class Keep:
    """A signal that nothing waits for yet: write down that it came."""


@dataclass(frozen=True, kw_only=True)
class AskProbe:
    """Nobody knows whether the step took effect: ask its probe ``after`` this long."""

    probe: str
    after: timedelta = timedelta(0)
    reason: StopReason


@dataclass(frozen=True, kw_only=True)
class Compensate:
    """Go back, or go on going back: run the compensation of ``step`` next.

    ``look_at`` names the step that is looked at again after the saga rests, because "it did not
    happen" was its probe's word.
    """

    step: str
    reason: StopReason
    look_at: str | None = None
    effects: Effects = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Every effect is accounted for. ``look_at`` as for Compensate."""

    status: Literal[Status.COMPENSATED, Status.TIMEOUT]
    reason: StopReason
    look_at: str | None = None
    effects: Effects = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Park the saga and raise an alarm: a person must decide. ``advice`` says what about.

    ``going_back``: it happened at the compensation of ``step``, on the way back for this reason.
    """

    advice: str
    effects: Effects = field(default_factory=dict)
    step: str | None = None
    going_back: StopReason | None = None


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Publish what the saga stands at.

    ``overdue``: raise the alarm of a saga that is past its time and cannot go back;
    ``taken_over``: from a worker that was lost; ``hurried``: by an operator, before its time.
    """

    overdue: bool = False
    taken_over: bool = False
    hurried: bool = False


@dataclass(frozen=True, kw_only=True)
class WaitOn:
    """Nothing ended the wait yet. ``overdue``: raise that alarm."""

    overdue: bool


@dataclass(frozen=True)
class Stop:
    """Only write down why to stop: the call in hand, or its probe, is to end first."""

    reason: StopReason


@dataclass(frozen=True, kw_only=True)
class Reopen:
    """A person decided about a FAILED saga: it goes on as ``status``, with fresh attempts and time.

    ``reason`` is why it goes back, if it does. ``new_key``: its step gets a new generation of its
    idempotency key. ``then`` is the move to make right after it, in the same transaction; None:
    publish what the saga stands at.
    """

    by: Intervention
    status: Literal[Status.RUNNING, Status.COMPENSATING]
    reason: StopReason | None = None
    effects: Effects = field(default_factory=dict)
    new_key: bool = False
    then: "Move | None" = None


@dataclass(frozen=True, kw_only=True)
class Resolve:
    """Write down what a person found out, and stay FAILED."""

    effects: Effects


@dataclass(frozen=True)
class Pause:
    """Let nothing be done to the saga, and stop its clock; a call in hand ends first."""

    what: Paused


@dataclass(frozen=True)
class Resume:
    """Go on from where it was paused."""


@dataclass(frozen=True)
class LookAgain:
    """The second look found nothing, as expected; look once more, if a further look is due."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """Only write it down."""

    effects: Effects = field(default_factory=dict)
    alarm: str | None = None


Move: TypeAlias = (
    Advance
    | Complete
    | Retry
    | WaitFor
    | TakeIn
    | Keep
    | AskProbe
    | Compensate
    | Rest
    | Fail
    | Dispatch
    | WaitOn
    | Stop
    | Reopen
    | Resolve
    | Pause
    | Resume
    | LookAgain
    | Note
)
