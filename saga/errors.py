"""Every error of the engine, in one tree.

SagaError
├── DefinitionError            a saga is not sound; every fault is listed
├── StartError                 the saga was not started
│   ├── BusinessKeyTaken       another open saga works on the same thing
│   └── IdempotencyKeyReused   the same key came before with another input
├── SagaNotFound               no saga has this id
├── StepMisbehaved             a step did what only the engine may do
└── Said                       what a step may say about its own outcome
    ├── Refused                it did not happen and never will
    └── TryAgain               it did not happen; ask again later
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID


class SagaError(Exception):
    """Whatever this package raises on purpose."""


class DefinitionError(SagaError):
    """A definition is not sound. ``faults`` lists all that is wrong with it, in plain words."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        self.name = name
        self.faults = tuple(faults)
        listed = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"saga {name!r} is not sound:\n{listed}")


class StartError(SagaError):
    """The saga was not started, and nothing of it is left."""


class BusinessKeyTaken(StartError):
    """Saga ``saga_id`` is at work on ``business_key``; wait until it rests."""

    def __init__(self, business_key: str, saga_id: UUID) -> None:
        self.business_key = business_key
        self.saga_id = saga_id
        super().__init__(
            f"saga {saga_id} is already at work on {business_key}; wait until it rests "
            f"(saga show {saga_id})"
        )


class IdempotencyKeyReused(StartError):
    """``idempotency_key`` started saga ``saga_id`` with another input; use a new key."""

    def __init__(self, idempotency_key: str, saga_id: UUID) -> None:
        self.idempotency_key = idempotency_key
        self.saga_id = saga_id
        super().__init__(
            f"idempotency key {idempotency_key!r} was used for saga {saga_id} with another input; "
            "send the same input again or use a new key"
        )


class SagaNotFound(SagaError):
    """No saga has the id ``saga_id``."""

    def __init__(self, saga_id: object) -> None:
        self.saga_id = saga_id
        super().__init__(f"no saga has the id {saga_id}; `saga list` shows those that exist")


class StepMisbehaved(SagaError):
    """A step did what only the engine may do, such as committing its own transaction."""


class Said(SagaError):
    """What a step may say about its own outcome by raising."""


class Refused(Said):
    """It did not happen and never will; the saga goes back.

    ``code`` is the other system's own word for the reason, where it has one.
    """

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        self.reason = reason
        self.code = code
        super().__init__(reason)


class TryAgain(Said):
    """It did not happen; try again ``after`` this long (default: the step's retry policy)."""

    def __init__(self, reason: str, *, after: timedelta | None = None) -> None:
        self.reason = reason
        self.after = after
        super().__init__(reason)
