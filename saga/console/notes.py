"""What a list says of a saga besides its status: that it is paused, or what it waits for."""

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from saga.graph.look import ACTIVITIES, Sign
from saga.graph.where import Activity
from saga.position import Paused, WaitingFor
from saga.standing import Standing, standing_still

# By a saga's id: the sign, and its words.
Notes: TypeAlias = Mapping[str, tuple[Sign, str]]

_WAITS = {
    WaitingFor.PROBE: "waits for its probe",
    WaitingFor.POLL: "waits for the final word",
    WaitingFor.SLEEP: "sleeps",
    WaitingFor.SECOND_LOOK: "waits for a second look",
}


def notes(connection: Connection, sagas: Collection[Mapping[str, Any]]) -> Notes:
    """For those of the listed sagas that stand still."""
    found = standing_still(connection, [UUID(saga["sagaId"]) for saga in sagas])
    return {str(saga_id): _told(still) for saga_id, still in found.items()}


def _told(still: Standing) -> tuple[Sign, str]:
    if still.paused is not None:
        words = "paused" if still.paused is Paused.SAGA else f"{still.paused} paused"
        return ACTIVITIES[Activity.PAUSED], words
    if still.waiting_for is None:
        return ACTIVITIES[Activity.WAITING], "waits"
    said = _WAITS.get(still.waiting_for, f"waits for {still.signal}")
    return ACTIVITIES[Activity.WAITING], said
