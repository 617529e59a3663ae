"""How a saga reads: its steps in order, their roles, and what takes them back.

A definition that is not sound fails at import with every fault listed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, TypeAlias

from saga import retry as policies
from saga import soundness
from saga.errors import DefinitionError
from saga.retry import PollPolicy, RetryPolicy, Skip
from saga.role import Role
from saga.task import (
    Effect,
    External,
    ExternalCompensation,
    IdempotencyKey,
    Manual,
    NothingToCompensate,
    Probe,
    Transactional,
    TransactionalCompensation,
)
from saga.waiting import S, Signal

__all__ = ["Role", "Saga", "Step", "Work", "compensatable", "pivot", "retriable"]

Action: TypeAlias = Transactional[S] | External[S]
Compensation: TypeAlias = TransactionalCompensation[S] | ExternalCompensation[S]
Work: TypeAlias = Action[Any] | Compensation[Any] | Probe[Any]
Vouched: TypeAlias = Callable[[S, IdempotencyKey], S]

_CALL_TIMEOUT = timedelta(seconds=30)
_TRANSACTION_LIMIT = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Step(Generic[S]):
    """One step of a saga.

    ``timeout`` limits one call; ``settle_after`` is how long after the last call ended a
    provider's "did not happen" is believed (None: call timeout + 30 s); ``probe_for`` is how long
    a provider that cannot tell is asked before a person must decide. ``poll`` spaces the questions
    for the final word of what was accepted. ``vouched`` gives the state that the step would have
    returned, from its key, when a person vouches that it took effect. ``give_up`` says what becomes
    of the saga when the step is given up; None: what its role says.
    """

    action: Action[S]
    role: Role
    compensation: Compensation[S] | Manual | NothingToCompensate | None = None
    probe: Probe[S] | None = None
    retry: RetryPolicy = policies.STEP
    timeout: timedelta
    settle_after: timedelta | None = None
    probe_for: timedelta = timedelta(hours=1)
    compensation_retry: RetryPolicy = policies.COMPENSATION
    poll: PollPolicy = policies.POLL
    vouched: Vouched[S] | None = None
    give_up: Skip | None = None

    @property
    def name(self) -> str:
        return self.action.name

    @property
    def is_external(self) -> bool:
        return isinstance(self.action, External)

    @property
    def is_skippable(self) -> bool:
        """Whether its saga goes on without it when it is given up."""
        return self.give_up is not None

    def is_skipped(self, effect: Effect) -> bool:
        """Whether a saga that is past this step, and knows ``effect`` of it, has skipped it."""
        return self.is_skippable and effect in {Effect.NOT_DONE, Effect.UNKNOWN}

    @property
    def runnable_compensation(self) -> Compensation[S] | None:
        """The compensation, if it is one that a worker can run."""
        match self.compensation:
            case TransactionalCompensation() | ExternalCompensation():
                return self.compensation
        return None

    def works(self) -> Iterator[Work]:
        """The functions of this step: the action, its compensation and its probe."""
        yield self.action
        if self.runnable_compensation is not None:
            yield self.runnable_compensation
        if self.probe is not None:
            yield self.probe


def _limit(action: Action[Any], timeout: timedelta | None) -> timedelta:
    if timeout is not None:
        return timeout
    return _CALL_TIMEOUT if isinstance(action, External) else _TRANSACTION_LIMIT


def compensatable(
    action: Action[S],
    *,
    compensation: Compensation[S] | Manual | NothingToCompensate | None = None,
    probe: Probe[S] | None = None,
    retry: RetryPolicy = policies.STEP,
    timeout: timedelta | None = None,
    settle_after: timedelta | None = None,
    compensation_retry: RetryPolicy = policies.COMPENSATION,
    poll: PollPolicy = policies.POLL,
    vouched: Vouched[S] | None = None,
) -> Step[S]:
    """A step before the pivot, which its compensation takes back."""
    return Step(
        action=action,
        role=Role.COMPENSATABLE,
        compensation=compensation,
        probe=probe,
        retry=retry,
        timeout=_limit(action, timeout),
        settle_after=settle_after,
        compensation_retry=compensation_retry,
        poll=poll,
        vouched=vouched,
    )


def pivot(
    action: Action[S],
    *,
    compensation: Compensation[S] | Manual | None = None,
    probe: Probe[S] | None = None,
    retry: RetryPolicy = policies.STEP,
    timeout: timedelta | None = None,
    settle_after: timedelta | None = None,
    probe_for: timedelta = timedelta(hours=1),
    poll: PollPolicy = policies.POLL,
    vouched: Vouched[S] | None = None,
) -> Step[S]:
    """The step that decides: once it happened, the saga only goes forward.

    Its compensation runs only when a person orders it.
    """
    return Step(
        action=action,
        role=Role.PIVOT,
        compensation=compensation,
        probe=probe,
        retry=retry,
        timeout=_limit(action, timeout),
        settle_after=settle_after,
        probe_for=probe_for,
        poll=poll,
        vouched=vouched,
    )


def retriable(
    action: Action[S],
    *,
    compensation: Compensation[S] | Manual | None = None,
    retry: RetryPolicy = policies.STEP,
    timeout: timedelta | None = None,
    poll: PollPolicy = policies.POLL,
    vouched: Vouched[S] | None = None,
    give_up: Skip | None = None,
) -> Step[S]:
    """A step after the pivot; when it is given up, a person decides.

    ``give_up=skip``: then the saga goes on without it instead, and what comes later must bear that.
    Given up is what was refused, used up its retries, waited in vain for a signal, or asked for a
    person. Its compensation runs only when a person orders it.
    """
    return Step(
        action=action,
        role=Role.RETRIABLE,
        compensation=compensation,
        retry=retry,
        timeout=_limit(action, timeout),
        poll=poll,
        vouched=vouched,
        give_up=give_up,
    )


@dataclass(frozen=True, kw_only=True)
class Saga(Generic[S]):
    """A business process that ends done or undone.

    ``version`` is raised by hand whenever names, order or roles of the steps change; sagas that
    are under way go on by the definition they were started with. ``timeout`` is the time from
    start to pivot; past the pivot it only raises an alarm. ``signals`` are those that its steps
    may wait for. ``sensitive`` names fields of the state that are masked for viewers, in logs and
    in what Celery is told; it is no part of the fingerprint. Raises DefinitionError.
    """

    name: str
    version: int
    state: type[S]
    timeout: timedelta
    steps: Sequence[Step[S]]
    signals: Sequence[Signal[S, Any]] = ()
    sensitive: Sequence[str] = ()

    def __post_init__(self) -> None:
        if faults := list(soundness.faults(self)):
            raise DefinitionError(self.name, faults)

    @cached_property
    def pivot_index(self) -> int:
        """From where on there is no way back: the pivot, or as many steps as can be compensated."""
        return sum(step.role is Role.COMPENSATABLE for step in self.steps)

    def index(self, step: str) -> int:
        """Where the step stands. Raises KeyError for a step of another saga or version."""
        return self._positions[step]

    def step(self, name: str) -> Step[S]:
        """The step of this name. Raises KeyError when there is none."""
        return self.steps[self.index(name)]

    def signal(self, name: str) -> Signal[S, Any] | None:
        """The signal of this name, if there is one."""
        return next((signal for signal in self.signals if signal.name == name), None)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {step.name: position for position, step in enumerate(self.steps)}

    @cached_property
    def fingerprint(self) -> str:
        """Changes exactly when names, order, roles, compensations, probes or signals change.

        So it does when a step becomes skippable, or is so no more: what comes later must bear that.
        """
        shape = [
            [
                step.role,
                *(work.name for work in step.works()),
                type(step.compensation).__name__,
                *(["skip"] if step.is_skippable else []),
            ]
            for step in self.steps
        ]
        waited_for = [sorted(signal.name for signal in self.signals)] if self.signals else []
        told = json.dumps([self.name, shape, *waited_for])
        return hashlib.sha256(told.encode()).hexdigest()[:16]
