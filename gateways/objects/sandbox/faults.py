"""What the store is told to do wrong."""

import threading
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Operation(StrEnum):
    """What a request does. ``put`` is each request that writes, the one that completes included."""

    PUT = "put"
    COMPLETE = "complete"
    GET = "get"
    LIST = "list"
    DELETE = "delete"
    ANY = "any"

    @classmethod
    def of(cls, method: str, query: str, *, has_key: bool) -> Self:
        """Which one a request is."""
        # What is posted to the bucket itself deletes several keys.
        if method == "DELETE" or (method == "POST" and not has_key):
            return cls.DELETE
        if method in {"GET", "HEAD"}:
            is_listing = not has_key or "uploadId" in query
            return cls.LIST if is_listing else cls.GET
        return cls.COMPLETE if method == "POST" and "uploadId" in query else cls.PUT


class Kind(StrEnum):
    """How it goes wrong."""

    DOWN = "down"
    """The connection ends without an answer; nothing is done."""
    ERROR = "error"
    """500 InternalError; nothing is done."""
    FULL = "full"
    """507 XMinioStorageFull; nothing is done."""
    REFUSED = "refused"
    """403 AccessDenied; nothing is done."""
    SLOW = "slow"
    """It is done ``seconds`` later, and answered."""
    CUT = "cut"
    """The connection ends after ``afterBytes`` of a longer body; nothing is done."""
    LATE = "late"
    """The connection ends without an answer; what it makes comes to light ``seconds`` later."""
    WRONG = "wrong"
    """It is done with other bytes."""


class Fault(BaseModel):
    """So many ``times`` the next requests of an ``operation``, of a ``key`` or of any."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    operation: Operation
    kind: Kind
    times: int = Field(1, ge=1)
    seconds: float = Field(0, ge=0, le=600)
    after_bytes: int = Field(0, ge=0)
    key: str | None = None

    def meets(self, operation: Operation, key: str, size: int) -> bool:
        """Whether a request with a body of ``size`` bytes is one of those."""
        if self.key not in {key, None} or (self.kind is Kind.CUT and size <= self.after_bytes):
            return False
        is_write = operation is Operation.COMPLETE and self.operation is Operation.PUT
        return is_write or self.operation in {operation, Operation.ANY}


class Faults:
    """The faults that are to come, first in first out. Safe to share between threads."""

    def __init__(self) -> None:
        self._to_come: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, fault: Fault) -> None:
        with self._lock:
            self._to_come.append(fault)

    def forget(self) -> None:
        with self._lock:
            self._to_come.clear()

    def take(self, operation: Operation, key: str, size: int) -> Fault | None:
        """The fault that this request meets, if there is one; it has one time less then."""
        with self._lock:
            for place, fault in enumerate(self._to_come):
                if fault.meets(operation, key, size):
                    left = fault.times - 1
                    self._to_come[place : place + 1] = (
                        [fault.model_copy(update={"times": left})] if left else []
                    )
                    return fault
        return None
