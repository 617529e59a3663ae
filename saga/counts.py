"""How many sagas there are, and what tells of an engine's health, counted in its tables."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from saga.indexes import IS_AT_REST, IS_OPEN, NEWEST_FIRST, STANDING
from saga.lists import jump
from saga.views import iso

RECENTLY = timedelta(hours=1)

# Of sagas at rest so many of a type and status are counted; more are not told from them.
MOST_COUNTED = 10_000

_SAME = "status = met.status AND saga_type = met.saga_type AND current_step = met.current_step"

# One statement, so that a saga that comes to rest meanwhile is counted once. Grouping all open
# sagas by their texts would take longer than counting each group in the index.
_COUNTS = f"""WITH RECURSIVE {jump("open", IS_OPEN, STANDING)}, {jump("rest", IS_AT_REST, STANDING)}
SELECT saga_type, status, sum(counted.sagas)::bigint
FROM open AS met, LATERAL (
    SELECT count(*) AS sagas FROM saga_state WHERE {IS_OPEN} AND {_SAME}) AS counted
GROUP BY 1, 2
UNION ALL
SELECT saga_type, status, least(sum(counted.sagas), {MOST_COUNTED})::bigint
FROM rest AS met, LATERAL (SELECT count(*) AS sagas FROM (
    SELECT FROM saga_state WHERE {IS_AT_REST} AND {_SAME} AND created_at >= %(since)s
    ORDER BY {NEWEST_FIRST} LIMIT {MOST_COUNTED}) AS lately
) AS counted
GROUP BY 1, 2 HAVING sum(counted.sagas) > 0
ORDER BY 1"""  # noqa: S608 - only our own constants


def count_sagas(connection: Connection) -> dict[str, Any]:
    """``{"counts": {type: {status: sagas}}, "since"}``; where there are none, nothing.

    Open sagas are counted all. A million at rest cannot be counted in time: of these only those
    that were started since ``since``, an hour ago, and no more than MOST_COUNTED.
    """
    now: datetime = connection.exec_driver_sql("SELECT statement_timestamp()").scalar_one()
    since = now - RECENTLY
    counts: dict[str, dict[str, int]] = {}
    for saga_type, status, sagas in connection.exec_driver_sql(_COUNTS, {"since": since}):
        counts.setdefault(saga_type, {})[status] = sagas
    return {"counts": counts, "since": iso(since)}


_OPEN = f"""WITH RECURSIVE {jump("open", IS_OPEN, STANDING)}
SELECT saga_type, status, sum(counted.sagas)::bigint
FROM open AS met, LATERAL (
    SELECT count(*) AS sagas FROM saga_state WHERE {IS_OPEN} AND {_SAME}) AS counted
GROUP BY 1, 2"""  # noqa: S608 - only our own constants


def count_open(connection: Connection) -> dict[tuple[str, str], int]:
    """How many sagas of each type and status are not at rest; where there are none, nothing."""
    found = connection.exec_driver_sql(_OPEN)
    return {(saga_type, status): sagas for saga_type, status, sagas in found}


# Of the sagas that stand at one step so many of the oldest and of the newest are looked at.
MOST_LOOKED_AT = 2_000

_OLDEST_FIRST = "created_at ASC NULLS FIRST, id ASC NULLS FIRST"
_AT_STEP = f"SELECT id, definition_version FROM saga_state WHERE {IS_OPEN} AND {_SAME}"  # noqa: S608

# No index knows versions, and nobody has a million open sagas read; old versions are at one end.
_VERSIONS = f"""WITH RECURSIVE {jump("open", IS_OPEN, STANDING)}
SELECT saga_type, definition_version, count(*)
FROM open AS met, LATERAL (
    ({_AT_STEP} ORDER BY {_OLDEST_FIRST} LIMIT {MOST_LOOKED_AT})
    UNION ({_AT_STEP} ORDER BY {NEWEST_FIRST} LIMIT {MOST_LOOKED_AT})
) AS found
GROUP BY 1, 2"""  # noqa: S608 - only our own constants


def count_versions(connection: Connection) -> dict[tuple[str, int], int]:
    """How many sagas of each type and definition version are not at rest.

    From MOST_LOOKED_AT on there may be more of them than is told.
    """
    found = connection.exec_driver_sql(_VERSIONS)
    return {(saga_type, version): sagas for saga_type, version, sagas in found}


def since_oldest_due(connection: Connection) -> timedelta | None:
    """How long the saga has been due whose time came first; None: none is due."""
    sql = (
        "SELECT clock_timestamp() - min(wake_at) FROM saga_state "
        "WHERE wake_at IS NOT NULL AND wake_at <= clock_timestamp()"
    )
    found: timedelta | None = connection.exec_driver_sql(sql).scalar_one()
    return found


def since_pulse(connection: Connection, name: str) -> timedelta | None:
    """How long ago ``name`` showed that it is alive; None: never."""
    sql = "SELECT clock_timestamp() - at FROM saga_pulse WHERE name = %(name)s"
    found: timedelta | None = connection.exec_driver_sql(sql, {"name": name}).scalar_one_or_none()
    return found


def count_failed(connection: Connection) -> int:
    """How many sagas wait for a person."""
    sql = "SELECT count(*) FROM saga_state WHERE status = 'FAILED' AND completed_at IS NULL"
    return int(connection.exec_driver_sql(sql).scalar_one())


def count_unknown(connection: Connection) -> int:
    """How many open sagas are of a type, version or step that recovery did not know."""
    sql = "SELECT count(*) FROM saga_state WHERE wake_at IS NOT NULL AND unknown_since IS NOT NULL"
    return int(connection.exec_driver_sql(sql).scalar_one())
