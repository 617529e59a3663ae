"""What authors write: the work of a step, its compensation and its probe.

What a function may touch is its signature. A *transactional* one gets a Session and no network;
an *external* one gets an IdempotencyKey and no session. Names are durable: the same in the code,
in ``saga_state.current_step``, in Flower and in URLs; write them by hand and never change them.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, Self, TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from saga.waiting import PollAgain, S, SleepUntil, Wait, Waits


class Effect(StrEnum):
    """What is known of a step's effect on the world."""

    NOT_STARTED = "not_started"
    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"


_KEY = re.compile(r"([0-9a-f]{32})-[0-9a-f]{8}-[1-9][0-9]*")


class IdempotencyKey(str):
    """What makes a provider do an external step once, however often it is called.

    At most 64 characters of ``[0-9a-z-]``: the saga's id, eight digits for the step, and the
    generation, which only an operator's retry raises; never the attempt.
    """

    __slots__ = ()

    @classmethod
    def of(cls, saga_id: UUID, step: str, *, generation: int = 1) -> Self:
        digest = hashlib.sha256(step.encode()).hexdigest()[:8]
        return cls(f"{saga_id.hex}-{digest}-{generation}")

    @staticmethod
    def saga_id(text: str) -> UUID | None:
        """Which saga a key is of; None for text that is no key. Any step of it, if there is one."""
        parts = _KEY.fullmatch(text)
        return None if parts is None else UUID(hex=parts[1])


@dataclass(frozen=True)
class Forward:
    """What a compensation knows of its step: the key it was called with, and its effect.

    ``effect`` is DONE or UNKNOWN. A compensation must bear both, and must not rely on anything
    that the step returned.
    """

    key: IdempotencyKey
    effect: Literal[Effect.DONE, Effect.UNKNOWN]


@dataclass(frozen=True)
class Happened(Generic[S]):
    """A probe's answer: the step took effect; ``state`` is what the step would have returned."""

    state: S


@dataclass(frozen=True)
class DidNotHappen:
    """A probe's answer: the provider knows nothing of the step's key."""


@dataclass(frozen=True)
class CannotTell:
    """A probe's answer: nobody knows yet; the engine asks again, for the step's ``probe_for``."""

    reason: str


Finding: TypeAlias = Happened[S] | DidNotHappen | CannotTell | PollAgain
"""What a probe answers. PollAgain: the provider has the order, and its final word comes later."""


@dataclass(frozen=True)
class Transactional(Generic[S]):
    """A step whose effect is SQL in the engine's own transaction: exactly once."""

    name: str
    function: Callable[[S, Session], S | Wait | SleepUntil]

    def __call__(self, state: S, session: Session) -> S | Wait | SleepUntil:
        return self.function(state, session)


@dataclass(frozen=True)
class External(Generic[S]):
    """A step that calls another system, always with the same key: called maybe twice."""

    name: str
    function: Callable[[S, IdempotencyKey], S | Waits]

    def __call__(self, state: S, key: IdempotencyKey) -> S | Waits:
        return self.function(state, key)


@dataclass(frozen=True)
class TransactionalCompensation(Generic[S]):
    """A compensation whose effect is SQL in the engine's own transaction."""

    name: str
    function: Callable[[S, Session, Forward], None]

    def __call__(self, state: S, session: Session, forward: Forward) -> object:
        """None when it is done; whoever is not typed may answer anything."""
        return self.function(state, session, forward)  # type: ignore[func-returns-value]


@dataclass(frozen=True)
class ExternalCompensation(Generic[S]):
    """A compensation that calls another system; safe to call twice."""

    name: str
    function: Callable[[S, Forward], None]

    def __call__(self, state: S, forward: Forward) -> object:
        """None when it is done; whoever is not typed may answer anything."""
        return self.function(state, forward)  # type: ignore[func-returns-value]


@dataclass(frozen=True)
class Probe(Generic[S]):
    """Asks the provider what became of an external step's key; changes nothing."""

    name: str
    function: Callable[[S, IdempotencyKey], Finding[S]]

    def __call__(self, state: S, key: IdempotencyKey) -> Finding[S]:
        return self.function(state, key)


@dataclass(frozen=True)
class Manual:
    """A compensation that only a person can do; the saga stops for their evidence."""

    advice: str


@dataclass(frozen=True)
class NothingToCompensate:
    """The step leaves nothing behind that its saga's other compensations do not remove."""


def transactional(
    name: str,
) -> Callable[[Callable[[S, Session], S | Wait | SleepUntil]], Transactional[S]]:
    """Make a transactional step of a function; it takes effect exactly once.

    It must neither commit nor roll back, nor call another system.
    """
    return lambda function: Transactional(name, function)


def external(
    name: str,
) -> Callable[[Callable[[S, IdempotencyKey], S | Waits]], External[S]]:
    """Make an external step of a function; it may be called twice with the same key."""
    return lambda function: External(name, function)


def transactional_compensation(
    name: str,
) -> Callable[[Callable[[S, Session, Forward], None]], TransactionalCompensation[S]]:
    """Make a compensation in SQL of a function; it takes effect exactly once."""
    return lambda function: TransactionalCompensation(name, function)


def external_compensation(
    name: str,
) -> Callable[[Callable[[S, Forward], None]], ExternalCompensation[S]]:
    """Make a compensation at another system of a function; it may be called twice."""
    return lambda function: ExternalCompensation(name, function)


def probe(
    name: str,
) -> Callable[[Callable[[S, IdempotencyKey], Finding[S]]], Probe[S]]:
    """Make a probe of a function; it may be called at any time and any number of times."""
    return lambda function: Probe(name, function)


def manual(advice: str) -> Manual:
    """Let a person compensate; ``advice`` tells them what to make sure of."""
    return Manual(advice)


nothing_to_compensate = NothingToCompensate()
