"""What is to be done after a commit. Only ``saga.worker`` turns these into Celery's terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias
from uuid import UUID


class Lane(StrEnum):
    """The queues of sagas, in the order in which workers serve them."""

    COMPENSATION = "saga.compensation"
    CONTINUING = "saga.continuing"
    NEW = "saga.new"


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A chain of tasks for one saga, all carrying one epoch."""

    saga_id: UUID
    epoch: int
    tasks: Sequence[str]
    lane: Lane


class BrokerAway(Exception):
    """The broker took nothing; recovery will publish."""


class Publisher(Protocol):
    """The way to the broker."""

    def publish(self, publication: Publication) -> None:
        """Hand the chain to the broker. Raises BrokerAway."""

    def waiting(self, lane: Lane) -> int:
        """How many messages wait in the lane. Raises BrokerAway."""


@dataclass(frozen=True)
class Next:
    """The chain goes on."""


@dataclass(frozen=True)
class Publish:
    """The chain ends here; publish another."""

    publication: Publication


@dataclass(frozen=True)
class RetryIn:
    """The same message again after a wait in whole seconds; ``error`` is why."""

    wait: timedelta
    error: Exception | None = None


@dataclass(frozen=True)
class Park:
    """The chain ends here; the row alone knows when to go on."""


@dataclass(frozen=True)
class Drop:
    """The message was not ours to act on: count it, and end this chain."""

    reason: str


@dataclass(frozen=True)
class Raise:
    """The step failed for good: let the error go, so that ``link_error`` fires."""

    error: Exception


Followup: TypeAlias = Next | Publish | RetryIn | Park | Drop | Raise
