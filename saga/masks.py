"""The masks of stored sagas, by definition, state and what that was before; and what is told so."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from saga import queries
from saga.errors import SagaNotFound
from saga.masking import Mask
from saga.preview import Preview
from saga.registry import Registry
from saga.row import Row

# States may be large: so many are in memory at once.
_BATCH = 20

_STATES = (
    "SELECT saga_id, saga_type, definition_version, state FROM saga_state "
    "WHERE saga_id = ANY(%(saga_ids)s::uuid[])"
)
_BEFORE = (
    "SELECT saga_id, detail->'was' AS was FROM saga_event "
    "WHERE saga_id = ANY(%(saga_ids)s::uuid[]) AND jsonb_typeof(detail->'was') = 'object'"
)


def masks(
    connection: Connection, registry: Registry | None, saga_ids: Collection[UUID]
) -> dict[UUID, Mask]:
    """A mask for each of the sagas. All texts are hidden of those whose definition is unknown.

    Ask for it after you have read what is to be masked: a value that went since is known, then.
    """
    asked = list(saga_ids)
    known: dict[UUID, Mask] = {}
    for start in range(0, len(asked), _BATCH):
        known.update(_read(connection, registry, asked[start : start + _BATCH]))
    return {saga_id: known.get(saga_id) or Mask(hides_all=True) for saga_id in asked}


def mask_of(connection: Connection, registry: Registry | None, row: Row) -> Mask:
    """The mask of what was read with this row; as for ``masks``."""
    saga = None if registry is None else registry.find(row.saga_type, row.definition_version)
    if saga is None or not saga.sensitive:
        return Mask.of(saga, row.state)
    # Its events may have been read later than the row.
    now = [state for _, _, _, state in _states(connection, [row.saga_id])]
    return Mask.of(saga, row.state, *now, *_before(connection, [row.saga_id])[row.saga_id])


def mask_for_logs(database: Database, registry: Registry, saga_id: UUID) -> Mask:
    """The saga's mask. All is hidden where it cannot be read."""
    try:
        with database.connect() as connection:
            return masks(connection, registry, [saga_id])[saga_id]
    except SQLAlchemyError:
        return Mask(hides_all=True)


def state_of(
    connection: Connection, registry: Registry, saga_id: UUID, *, masked: bool = False
) -> Any:
    """What a saga remembers, as JSON. Raises SagaNotFound."""
    row = queries.look(connection, saga_id)
    if row is None:
        raise SagaNotFound(saga_id)
    return mask_of(connection, registry, row).values(row.state) if masked else row.state


def masked_saga(saga: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """A saga as lists tell it. Its ids and its key stay: they say which it is."""
    error = saga["errorMessage"]
    return {**saga, "errorMessage": None if error is None else mask.text(error)}


def masked_page(
    connection: Connection, registry: Registry | None, sagas: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Sagas as lists tell them. Only those with an error have anything to hide."""
    saying = [UUID(saga["sagaId"]) for saga in sagas if saga["errorMessage"]]
    known = masks(connection, registry, saying)
    return [masked_saga(saga, known.get(UUID(saga["sagaId"]), Mask())) for saga in sagas]


def masked_events(events: Sequence[Mapping[str, Any]], mask: Mask) -> list[dict[str, Any]]:
    """Events as ``saga.views`` tells them."""
    return [{**event, "detail": mask.detail(event["detail"])} for event in events]


def masked_preview(told: Preview, mask: Mask) -> Preview:
    """A preview whose texts are masked; which steps run is no secret."""
    advised = [
        replace(run, advice=None if run.advice is None else mask.text(run.advice))
        for run in told.runs
    ]
    then, why_not = (None if one is None else mask.text(one) for one in (told.then, told.why_not))
    return replace(told, runs=tuple(advised), then=then, why_not=why_not)


def _read(
    connection: Connection, registry: Registry | None, saga_ids: list[UUID]
) -> Iterator[tuple[UUID, Mask]]:
    if registry is None:
        return
    states = list(_states(connection, saga_ids))
    before = _before(connection, saga_ids)
    for saga_id, saga_type, version, state in states:
        yield saga_id, Mask.of(registry.find(saga_type, version), state, *before[saga_id])


def _states(
    connection: Connection, saga_ids: list[UUID]
) -> Iterator[tuple[UUID, str, int, dict[str, Any]]]:
    for found in connection.exec_driver_sql(_STATES, _params(saga_ids)):
        yield found[0], found[1], found[2], found[3]


def _before(connection: Connection, saga_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What was in sensitive fields, and is not any more; see ``saga.masking.replaced``."""
    told = defaultdict(list)
    for saga_id, was in connection.exec_driver_sql(_BEFORE, _params(saga_ids)):
        told[saga_id].append(was)
    return told


def _params(saga_ids: list[UUID]) -> dict[str, list[str]]:
    return {"saga_ids": [str(saga_id) for saga_id in saga_ids]}
