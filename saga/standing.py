"""Which of some open sagas stand still now, and why: read for lists."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from saga.position import Paused, WaitingFor


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Why nothing is done for an open saga: it is ``paused``, or ``waiting_for`` something."""

    paused: Paused | None
    waiting_for: WaitingFor | None
    signal: str | None


def standing_still(connection: Connection, saga_ids: Collection[UUID]) -> dict[UUID, Standing]:
    """Those of the sagas that stand still."""
    sql = (
        "SELECT saga_id, paused, waiting_for, signal FROM saga_state "
        "WHERE saga_id = ANY(%(saga_ids)s::uuid[]) AND status IN ('RUNNING', 'COMPENSATING') "
        "AND (paused IS NOT NULL OR waiting_for IS NOT NULL)"
    )
    found = connection.exec_driver_sql(sql, {"saga_ids": [str(each) for each in saga_ids]})
    return {
        saga_id: Standing(
            paused=Paused(paused) if paused else None,
            waiting_for=WaitingFor(waiting_for) if waiting_for else None,
            signal=signal,
        )
        for saga_id, paused, waiting_for, signal in found
    }
