"""The definitions that this process knows, and where each durable name belongs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from saga.definition import Saga, Step, Work
from saga.errors import DefinitionError
from saga.task import (
    External,
    ExternalCompensation,
    Probe,
    Transactional,
    TransactionalCompensation,
)


class Kind(StrEnum):
    """What a task is to its step."""

    ACTION = "action"
    COMPENSATION = "compensation"
    PROBE = "probe"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a durable task name belongs: what is run, and for which step.

    ``limit`` is the longest time that any known definition gives it.
    """

    work: Work
    kind: Kind
    step: str
    limit: timedelta


def _kind(work: Work) -> Kind:
    match work:
        case Transactional() | External():
            return Kind.ACTION
        case TransactionalCompensation() | ExternalCompensation():
            return Kind.COMPENSATION
        case Probe():
            return Kind.PROBE


class Registry:
    """Knows sagas by type and version, and tasks by name. Raises DefinitionError."""

    def __init__(self, sagas: Iterable[Saga[Any]]) -> None:
        self._sagas: dict[tuple[str, int], Saga[Any]] = {}
        self._places: dict[str, Place] = {}
        for saga in sagas:
            if (saga.name, saga.version) in self._sagas:
                raise DefinitionError(saga.name, [f"version {saga.version} is defined twice"])
            self._sagas[saga.name, saga.version] = saga
            for step in saga.steps:
                self._add(saga, step)

    def _add(self, saga: Saga[Any], step: Step[Any]) -> None:
        for work in step.works():
            place = Place(work=work, kind=_kind(work), step=step.name, limit=step.timeout)
            known = self._places.setdefault(work.name, place)
            if (known.kind, known.step) != (place.kind, place.step) or known.work != work:
                fault = f"{work.name!r} is also another step's, or another function's, name"
                raise DefinitionError(saga.name, [fault])
            if known.limit < place.limit:
                self._places[work.name] = place

    def __iter__(self) -> Iterator[Saga[Any]]:
        return iter(self._sagas.values())

    def find(self, saga_type: str, version: int) -> Saga[Any] | None:
        return self._sagas.get((saga_type, version))

    def having(self, saga_type: str, version: int, *, step: str) -> Saga[Any] | None:
        """The definition, if it is known and has the step; without that it decides nothing."""
        saga = self.find(saga_type, version)
        known = saga is not None and any(one.name == step for one in saga.steps)
        return saga if known else None

    def newest(self, saga_type: str) -> Saga[Any] | None:
        versions = [version for name, version in self._sagas if name == saga_type]
        return self._sagas[saga_type, max(versions)] if versions else None

    def knows(self, saga: Saga[Any]) -> bool:
        return self._sagas.get((saga.name, saga.version)) is saga

    @property
    def places(self) -> dict[str, Place]:
        """Where each task name belongs."""
        return dict(self._places)
