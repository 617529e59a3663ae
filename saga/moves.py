"""What may be done to a saga: the answers of ``decide``. ``engine`` carries them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from saga.position import Status, StopReason
from saga.task import Effect

Effects: TypeAlias = Mapping[str, Effect]


@dataclass(frozen=True)
class Advance:
    """The step is done; ``to`` comes next."""

    to: str


@dataclass(frozen=True)
class Complete:
    """The last step is done."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Try the same again ``after`` this long. ``effect`` is what is known of the step now."""

    after: timedelta
    effect: Effect


@dataclass(frozen=True)
class Poll:
    """The provider took the order: ask for its final word ``after`` this long, at no cost."""

    after: timedelta


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
    """Park the saga and raise an alarm: a person must decide. ``advice`` says what about."""

    advice: str
    effects: Effects = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Publish what the saga stands at.

    ``overdue``: raise the alarm of a saga that is past its time and cannot go back;
    ``taken_over``: from a worker that was lost.
    """

    overdue: bool = False
    taken_over: bool = False


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
    | Poll
    | AskProbe
    | Compensate
    | Rest
    | Fail
    | Dispatch
    | LookAgain
    | Note
)
