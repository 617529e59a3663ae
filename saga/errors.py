"""Every error of the engine, in one tree.

SagaError
├── DefinitionError            a saga is not sound; every fault is listed
├── StartError                 the saga was not started
│   ├── BusinessKeyTaken       another open saga works on the same thing            (Conflict)
│   └── IdempotencyKeyReused   the same key came before with another input      (InvalidInput)
├── NotFound                   what is named does not exist
│   ├── SagaNotFound           no saga has this id
│   └── DefinitionNotFound     this process knows no such definition
├── Conflict                   what is asked is not allowed as things stand now
│   ├── NotAllowedNow          the saga stands where an operator may not do that
│   ├── MovedSince             the saga is not as the operator saw it
│   ├── SagaBusy               a worker has the saga's row just now
│   ├── SagaIsOver             a signal came for a saga at rest
│   └── AlreadySo              a pause that is there, or a resumption of what is not paused
├── InvalidInput               what is asked is never allowed: one field is wrong
│   ├── BadSignal              its name, its payload or its id is not what the saga knows
│   ├── BadKey                 an idempotency key that no step of the saga was called with
│   └── BadIntervention        its reason, step, outcome, evidence or state cannot be
├── LoanError                  a connection cannot be borrowed, or not used so
├── StepMisbehaved             a step did what only the engine may do
├── SignalMissed               what a step waited for did not come in time
├── SagaFailed                 a task's last word: its saga is FAILED
├── StepFailed                 a step's error as Celery has it, where fields are sensitive
├── ClaimLost                  a call went on after its saga had gone on without it
├── MovedMeanwhile             a locked row was not as it was read; nothing was written
└── Said                       what a step may say about its own outcome
    ├── Refused                it did not happen and never will
    ├── TryAgain               it did not happen; ask again later
    └── NeedsPerson            it goes on only when a person has acted

An application's own errors may be a NotFound, a Conflict or an InvalidInput too: the HTTP API
answers them with 404, 409 and 422, the command line ends with 3, 4 and 2.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from saga.task import Effect


class SagaError(Exception):
    """Whatever this package raises on purpose."""


class DefinitionError(SagaError):
    """A definition is not sound. ``faults`` lists all that is wrong with it, in plain words."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        self.name = name
        self.faults = tuple(faults)
        listed = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"saga {name!r} is not sound:\n{listed}")


class NotFound(SagaError):
    """What is named does not exist. ``field`` is the input that names it, as on the wire."""

    field: str | None = None


class Conflict(SagaError):
    """What is asked is not allowed as things stand now.

    ``field`` is the input that asks it, as on the wire; ``saga_id`` the saga in the way;
    ``allowed`` what an operator may do to it now.
    """

    field: str | None = None
    saga_id: UUID | None = None
    allowed: Sequence[str] | None = None


class InvalidInput(SagaError):
    """What is asked is never allowed. ``field`` is the input that is wrong, as on the wire."""

    field: str | None = None


class StartError(SagaError):
    """The saga was not started, and nothing of it is left."""


class BusinessKeyTaken(StartError, Conflict):
    """Saga ``saga_id`` is at work on ``business_key``, or FAILED on it and keeps it."""

    def __init__(self, business_key: str, saga_id: UUID, *, has_failed: bool = False) -> None:
        self.business_key = business_key
        self.saga_id = saga_id
        state = (
            f"saga {saga_id} has FAILED on {business_key} and keeps it until a person has decided"
            if has_failed
            else f"saga {saga_id} is already at work on {business_key}; wait until it rests"
        )
        super().__init__(f"{state} (saga show {saga_id})")


class IdempotencyKeyReused(StartError, InvalidInput):
    """``idempotency_key`` started saga ``saga_id`` with another input; use a new key."""

    field = "Idempotency-Key"

    def __init__(self, idempotency_key: str, saga_id: UUID) -> None:
        self.idempotency_key = idempotency_key
        self.saga_id = saga_id
        super().__init__(
            f"idempotency key {idempotency_key!r} was used for saga {saga_id} with another input; "
            "send the same input again or use a new key"
        )


class SagaNotFound(NotFound):
    """No saga has the id ``saga_id``."""

    field = "sagaId"

    def __init__(self, saga_id: object) -> None:
        self.saga_id = saga_id
        super().__init__(f"no saga has the id {saga_id}; `saga list` shows those that exist")


class DefinitionNotFound(NotFound):
    """No such definition is known to this process; ``known`` names those that are.

    ``what`` begins the message, such as "there is no saga type 'sale'".
    """

    field = "sagaType"

    def __init__(self, what: str, known: Iterable[object]) -> None:
        self.known = tuple(str(each) for each in known)
        super().__init__(f"{what}; there are: {', '.join(self.known) or 'none'}")


class NotAllowedNow(Conflict):
    """An operator asked for ``what``, which the saga's standing does not allow."""

    def __init__(
        self, saga_id: UUID, what: str, status: str, why: str, allowed: Sequence[str]
    ) -> None:
        self.saga_id = saga_id
        self.what = what
        self.allowed = tuple(allowed)
        super().__init__(
            f"saga {saga_id} is {status}, and {what} is not allowed now: {why}; "
            f"allowed: {', '.join(self.allowed) or 'nothing'}"
        )


class MovedSince(Conflict):
    """The saga is at ``version`` by now, not at the one that the operator expected."""

    field = "version"

    def __init__(
        self, saga_id: UUID, expected: int, version: int, status: str, allowed: Sequence[str]
    ) -> None:
        self.saga_id = saga_id
        self.expected = expected
        self.version = version
        self.allowed = tuple(allowed)
        super().__init__(
            f"saga {saga_id} is at version {version} by now ({status}), not at {expected}: look at "
            f"it again (saga show {saga_id}); allowed: {', '.join(self.allowed) or 'nothing'}"
        )


class SagaBusy(Conflict):
    """A worker has had the saga's row for some seconds. Nothing was done; try again."""

    def __init__(self, saga_id: UUID) -> None:
        self.saga_id = saga_id
        super().__init__(f"saga {saga_id} is being worked on just now; try again in some seconds")


class SagaIsOver(Conflict):
    """A signal came for a saga that is at rest."""

    def __init__(self, saga_id: UUID, status: str) -> None:
        self.saga_id = saga_id
        super().__init__(f"saga {saga_id} is {status} and takes no signals any more")


class AlreadySo(Conflict):
    """What is to be paused is paused already, or what is to be resumed is not."""


class BadSignal(InvalidInput):
    """A signal that the saga's definition cannot take; ``field`` is what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field} {message}")


class BadKey(InvalidInput):
    """``key`` is none that a step of saga ``saga_id`` was called with."""

    field = "key"

    def __init__(self, saga_id: UUID, key: str) -> None:
        self.saga_id = saga_id
        self.key = key
        super().__init__(f"{key!r} is no idempotency key of saga {saga_id}")


class BadIntervention(InvalidInput):
    """An operator's input that can never be right; ``field`` is what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field} {message}")


class LoanError(SagaError):
    """A connection cannot be borrowed as it is, or a borrower would end what is the lender's."""


class StepMisbehaved(SagaError):
    """A step did what only the engine may do, such as committing its own transaction."""


class SignalMissed(SagaError):
    """The signal that a step waited for did not come in time."""

    def __init__(self, signal: str) -> None:
        self.signal = signal
        super().__init__(f"the signal {signal} did not come in time")


class SagaFailed(SagaError):
    """The saga is FAILED and parked: a person must decide. What its task shows in Celery."""


class StepFailed(SagaError):
    """A step's error without what is sensitive in it. What its task shows in Celery, in its stead.

    It has the traceback of that error, and nothing of what was behind it.
    """


class ClaimLost(SagaError):
    """The call was silent, or at it, for too long, and its saga goes on without it: let it end."""

    def __init__(self) -> None:
        super().__init__("the call's claim is lost: the saga goes on without it")


class MovedMeanwhile(SagaError):
    """A locked row was not as it was read. Nothing was written."""


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


_OF_A_KEY = frozenset({Effect.NOT_STARTED, Effect.NOT_DONE, Effect.UNKNOWN})


class NeedsPerson(Said):
    """It goes on only when a person has acted: the saga is FAILED at once, with ``advice``.

    No retry is used up. ``effect`` is what is known of the order under this step's key, and what
    an operator's retry does with it then:

    - NOT_STARTED: this call did nothing, such as "not enough money": the same key again.
    - UNKNOWN: the order stands there and is not final: the same key again.
    - NOT_DONE: nothing happened under this key *and never will*, whatever was called with it
      before or is being called now: a new generation of the key. Say so only where the other
      system promises it, for it clears every doubt, and the money may be sent under the new key.

    A transactional step, and a compensation, has no key: its ``effect`` says nothing. ``code`` is
    the other system's own word for the reason. Raises ValueError for another ``effect``.
    """

    def __init__(
        self, advice: str, *, effect: Effect = Effect.UNKNOWN, code: str | None = None
    ) -> None:
        if effect not in _OF_A_KEY:
            raise ValueError(f"NeedsPerson(effect=…) is one of {', '.join(sorted(_OF_A_KEY))}")
        self.advice = advice
        self.effect = effect
        self.code = code
        super().__init__(advice)
