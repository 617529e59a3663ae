"""Takes signals in: checked against the definition, kept, and handed to whoever waits for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from saga import queries, store
from saga.circumstances import Circumstances
from saga.definition import Saga
from saga.errors import BadSignal, NotAllowedNow, SagaIsOver, SagaNotFound
from saga.followup import Followup
from saga.inputs import is_storable, plain_fault
from saga.position import RESTING, Signalled
from saga.registry import Registry
from saga.row import Row
from saga.runtime import Runtime

_LONGEST_ID = 255


@dataclass(frozen=True, kw_only=True)
class Received:
    """A signal that is written down. ``is_new`` is False when one with its id was before."""

    saga_id: UUID
    signal_id: str
    is_new: bool


def receive(
    runtime: Runtime,
    connection: Connection,
    saga_id: UUID,
    name: str,
    payload: BaseModel | Mapping[str, Any],
    *,
    signal_id: str | None,
    actor: str | None,
) -> tuple[Received, Followup | None]:
    """Write the signal down inside the caller's transaction; say what follows its commit.

    Raises SagaNotFound, SagaIsOver, BadSignal, or NotAllowedNow where the definition is unknown.
    """
    row = queries.lock(connection, saga_id)
    if row is None:
        raise SagaNotFound(saga_id)
    saga = definition_of(runtime.registry, row, "signal")
    values = _checked(saga, name, payload)
    key = _checked_id(signal_id)
    received = Received(saga_id=saga_id, signal_id=key, is_new=False)
    before = queries.signal_of(connection, saga_id, signal_id=key)
    if before is not None:
        if (before.name, before.payload) != (name, values):
            raise BadSignal("signalId", f"{key!r} came before with another name or payload")
        return received, None
    if row.status in RESTING:
        raise SagaIsOver(saga_id, row.status)
    store.keep_signal(connection, saga_id, name=name, signal_id=key, payload=values, actor=actor)
    signal = queries.signal_of(connection, saga_id, signal_id=key)
    by = Circumstances(timing=runtime.timing, in_chain=False, actor=actor, signal=signal)
    followup = runtime.settle(connection, saga, row, Signalled(name), by)
    return Received(saga_id=saga_id, signal_id=key, is_new=True), followup


def definition_of(registry: Registry, row: Row, what: str) -> Saga[Any]:
    """The saga's definition, for ``what`` comes from outside. Raises NotAllowedNow without it."""
    saga = registry.find(row.saga_type, row.definition_version)
    if saga is None:
        unknown = f"{row.saga_type} version {row.definition_version} is not known here"
        raise NotAllowedNow(row.saga_id, what, row.status, unknown, ())
    return saga


def _checked(saga: Saga[Any], name: str, payload: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """The payload as JSON of its signal's model."""
    known = saga.signal(name)
    if known is None:
        there_are = ", ".join(signal.name for signal in saga.signals) or "none"
        raise BadSignal("name", f"{name!r} is no signal of {saga.name}; there are: {there_are}")
    try:
        given = payload.model_dump(mode="json") if isinstance(payload, BaseModel) else payload
        values: dict[str, Any] = known.payload.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(["payload", *map(str, fault["loc"])])
        raise BadSignal(where, plain_fault(fault)) from error
    if not is_storable(values):
        what = "U+0000, half a character, NaN or infinity"
        raise BadSignal("payload", f"must not contain {what}")
    return values


def _checked_id(signal_id: str | None) -> str:
    if signal_id is None:
        return str(uuid4())
    if not signal_id or len(signal_id) > _LONGEST_ID or not is_storable(signal_id):
        raise BadSignal("signalId", f"must be text of 1 to {_LONGEST_ID} characters, no U+0000")
    return signal_id
