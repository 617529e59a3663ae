"""What commands ask for: of the servers themselves, or of an API over HTTP."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from saga.bulk import Bulk
from saga.filter import Filter
from saga.operator import Acted
from saga.position import Intervention, Outcome
from saga.signals import Received


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A saga that was started. ``is_new`` is False for a repeated key, None where nobody tells."""

    saga_id: str
    status: str
    is_new: bool | None


# Starts one saga by its input, JSON in UTF-8, and maybe an idempotency key.
Start: TypeAlias = Callable[[str | bytes, str | None], Begun]


class Service(Protocol):
    """Sagas, their operators and their producers, wherever they are.

    Values are as the wire has them. All raise the engine's NotFound, Conflict and InvalidInput, and
    CliError where there is no answer. ``actor`` None: whoever the other side takes the caller for.
    """

    def whole_step(self, wanted: Filter) -> Filter:
        """The filter with its step's whole name, where it was given short."""
        ...

    def list_sagas(self, wanted: Filter) -> dict[str, Any]: ...

    def count_sagas(self) -> dict[str, Any]: ...

    def show(self, saga_id: str) -> dict[str, Any]: ...

    def look(self, saga_id: str) -> dict[str, Any]:
        """The saga as lists tell it."""
        ...

    def happened(self, saga_id: str, after: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The saga, and its events after the one of this ``seq``, oldest first.

        There may be more events than are given; none is given that is older than one left out.
        """
        ...

    def streamed(self, saga_id: str) -> Iterator[dict[str, Any]]:
        """The saga as ``show`` tells it, now and whenever it has changed; of its events the new.

        Ends where nobody streams it, or not any more: then ask again and again.
        """
        ...

    def preview(self, saga_id: str) -> dict[str, Any]: ...

    def act(
        self,
        what: Intervention,
        saga_id: UUID,
        *,
        reason: str,
        actor: str | None,
        version: int | None,
    ) -> Acted:
        """Act on one saga, at this version, or as it is. RESOLVE is not among these."""
        ...

    def act_on_many(
        self, what: Intervention, wanted: Filter, *, reason: str, actor: str | None, most: int
    ) -> Bulk: ...

    def resolve(
        self,
        saga_id: UUID,
        *,
        outcome: Outcome,
        evidence: str,
        reason: str,
        actor: str | None,
        step: str | None,
        state: Mapping[str, Any] | None,
        version: int | None,
    ) -> Acted:
        """Write down what a person found out; the step may be named short."""
        ...

    def signal(
        self, saga_id: UUID, name: str, payload: Mapping[str, Any], *, signal_id: str | None
    ) -> Received: ...

    def list_pauses(self) -> dict[str, Any]: ...

    def set_pause(
        self, saga_type: str, *, step: str | None, reason: str, actor: str | None, paused: bool
    ) -> dict[str, Any]:
        """Pause or resume a type, or a step of it, which may be named short.

        Gives ``{"sagaType", "step", "paused"}``, the step whole.
        """
        ...

    def producer(self, name: str) -> Start:
        """What starts sagas of this name. Raises UsageError that tells which can be started."""
        ...
