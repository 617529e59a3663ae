"""What the simulated host is told to do wrong, first in, first out."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Operation(StrEnum):
    """What is asked of it; ``boot`` is what the devices do that are created next."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    INSPECT = "inspect"
    LIST = "list"
    ANY = "any"
    BOOT = "boot"


class Kind(StrEnum):
    """How it goes wrong. S is the fault's ``seconds``."""

    DOWN = "down"
    """The connection ends without an answer; nothing is done."""
    ERROR_BEFORE = "error_before"
    """500; nothing is done."""
    ERROR_AFTER = "error_after"
    """It is done, then 500."""
    HANG = "hang"
    """Held for S, then cut; nothing is done. Of a boot: connections are never answered."""
    SLOW = "slow"
    """It is done after S, and answered. Of a boot: it takes S."""
    LATE = "late"
    """Cut at once, and done S later."""
    REFUSE = "refuse"
    """403; nothing is done."""
    IMAGE_MISSING = "image_missing"
    """Of a create: there is no such image."""
    PORT_TAKEN = "port_taken"
    """Of a start: something else has the port."""
    NEVER = "never"
    """Of a boot: it never ends."""
    NONSENSE = "nonsense"
    """Of a boot: what answers is no adb."""
    TRICKLE = "trickle"
    """Of a boot: the answer comes a byte a second."""
    DIE = "die"
    """Of a boot: it ends with exit code 3."""


BOOTS = frozenset(
    {Kind.NEVER, Kind.SLOW, Kind.HANG, Kind.NONSENSE, Kind.TRICKLE, Kind.DIE},
)
_ONLY_OF = {Kind.IMAGE_MISSING: Operation.CREATE, Kind.PORT_TAKEN: Operation.START}


class Fault(BaseModel):
    """So many ``times`` the next of an operation, for a container of this ``name`` or any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: Operation
    kind: Kind
    times: int = Field(1, ge=1, le=1_000_000)
    seconds: float = Field(1, ge=0, le=3600)
    name: str | None = None

    def fits(self, operation: Operation, name: str | None) -> bool:
        """Whether it is meant for this."""
        is_any = self.operation is Operation.ANY and operation is not Operation.BOOT
        return (is_any or self.operation is operation) and self.name in {None, name}

    @property
    def fault(self) -> str | None:
        """Why there is no such fault; None: there is."""
        is_boot = self.operation is Operation.BOOT
        only = _ONLY_OF.get(self.kind)
        if only is not None and self.operation is not only:
            return f"{self.kind} is of {only} only"
        if only is None and is_boot != (self.kind in BOOTS) and self.kind not in _OF_BOTH:
            return f"{self.kind} is not of {self.operation}"
        return None


_OF_BOTH = frozenset({Kind.HANG, Kind.SLOW})


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._to_come: list[Fault] = []

    def order(self, fault: Fault) -> None:
        self._to_come.append(fault)

    def forget(self) -> None:
        self._to_come.clear()

    def take(self, operation: Operation, name: str | None) -> Fault | None:
        """The fault that this meets, if there is one; it has one time less then."""
        for place, fault in enumerate(self._to_come):
            if fault.fits(operation, name):
                left = fault.times - 1
                self._to_come[place : place + 1] = (
                    [fault.model_copy(update={"times": left})] if left else []
                )
                return fault
        return None
