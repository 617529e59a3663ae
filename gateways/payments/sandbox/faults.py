"""What the provider was told to get wrong, first in, first out."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Operation(StrEnum):
    REFUND = "refund"
    QUERY = "query"


class Kind(StrEnum):
    """What goes wrong. S is the fault's `seconds`; docs/reference/sandbox.md has the answers.

    A query changes nothing, so there ``late`` cuts at once, both errors answer 500, and
    ``processing`` answers PROCESSING whatever the books say.
    """

    REFUSE = "refuse"
    """Refused, not done."""
    NOT_ENOUGH = "not_enough"
    """The merchant's account is empty, not done."""
    BUSY = "busy"
    """Too many requests, not done."""
    ERROR_BEFORE = "error_before"
    """500, not done."""
    ERROR_AFTER = "error_after"
    """Done, then 500."""
    HANG = "hang"
    """Held for S, then cut, not done."""
    SLOW = "slow"
    """Done after S, answers."""
    LATE = "late"
    """Cut at once, done S later, then a callback."""
    PROCESSING = "processing"
    """PROCESSING for S, then SUCCESS and a callback."""
    NONSENSE = "nonsense"
    """Done, then an answer that is not signed and says nothing."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One order to go wrong `times` times; `payment_no` None fits every payment."""

    operation: Operation
    kind: Kind
    times: int = 1
    seconds: float = 1.0
    payment_no: str | None = None

    def fits(self, operation: Operation, payment_no: str | None) -> bool:
        """Tell whether the fault is meant for this request."""
        return self.operation is operation and self.payment_no in (None, payment_no)


class FaultQueue:
    """The faults still to come, in the order they were given."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._pending.append(fault)

    def take(self, operation: Operation, payment_no: str | None) -> Fault | None:
        """Return the first fault that fits and use it up once; None: all goes well."""
        for place, fault in enumerate(self._pending):
            if fault.fits(operation, payment_no):
                if fault.times > 1:
                    self._pending[place] = replace(fault, times=fault.times - 1)
                else:
                    del self._pending[place]
                return fault
        return None

    def clear(self) -> None:
        self._pending.clear()

    def pending(self) -> tuple[Fault, ...]:
        return tuple(self._pending)
