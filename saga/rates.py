"""How many sagas of each type were started and came to rest lately, and how long they took.

Read from the newest ones, by the index of their standing: so many of each type and status, and of
those that came to rest or failed only what was started within a day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from saga.indexes import IS_AT_REST, IS_OPEN, NEWEST_FIRST, STANDING
from saga.lists import jump

BUCKET = timedelta(minutes=5)
BUCKETS = 12
# Of each type and status so many are looked at, shared by its steps; more are not told from them.
MOST_COUNTED = 10_000
# What came to rest lately was hardly ever started earlier; where it was, it is left out.
_STARTED_WITHIN = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Five minutes from ``at`` on. ``back`` are COMPENSATED and TIMEOUT; FAILED are those that are.

    ``median`` and ``p95`` are of how long the sagas took that came to rest in them, from their
    start; None where there was none.
    """

    at: datetime
    started: int = 0
    completed: int = 0
    back: int = 0
    failed: int = 0
    median: timedelta | None = None
    p95: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The last hour of one saga type, as twelve buckets from the oldest; the last is under way.

    ``whole`` is all of them together. ``counted_from`` is set where there were too many to count:
    before it, less is told than there was.
    """

    saga_type: str
    buckets: Sequence[Bucket]
    whole: Bucket
    counted_from: datetime | None


_SAME = "status = met.status AND saga_type = met.saga_type AND current_step = met.current_step"
_BEGIN = "SELECT date_bin(%(bucket)s, statement_timestamp(), 'epoch') - %(before)s"
_SINCE = "%(begin)s"
_EARLIER = "%(begin)s - %(within)s"


def _newest(name: str, which: str, value: str, since: str) -> str:
    """The newest sagas for each standing that was met, with the ``value`` that is asked for."""
    same = "count(*) OVER (PARTITION BY saga_type, status)"
    return f"""SELECT newest.*, met.saga_type, met.status, nth = met.most AS is_last
FROM (SELECT *, {MOST_COUNTED} / {same} AS most FROM {name}) AS met, LATERAL (
    SELECT created_at, {value}, row_number() OVER (ORDER BY {NEWEST_FIRST}) AS nth
    FROM saga_state WHERE {which} AND {_SAME} AND created_at >= {since}
    ORDER BY {NEWEST_FIRST} LIMIT met.most) AS newest"""  # noqa: S608 - our own constants


def _told(columns: str, instant: str) -> str:
    """Of each type, and of each of its buckets; a bucket's number is null for all together."""
    age, length = f"extract(epoch FROM {instant} - %(begin)s)", "extract(epoch FROM %(bucket)s)"
    # What comes while this is read belongs to the bucket that is under way.
    number = f"least(floor({age} / {length}), {BUCKETS - 1})"
    return f"""SELECT saga_type, bucket, GROUPING(bucket) = 1 AS is_whole, {columns},
    max(created_at) FILTER (WHERE is_last) AS cut_at
FROM (SELECT *, {number}::int AS bucket FROM newest) AS numbered
WHERE bucket >= 0
GROUP BY GROUPING SETS ((saga_type), (saga_type, bucket))"""  # noqa: S608


STARTED = f"""WITH RECURSIVE {jump("open", IS_OPEN, STANDING)},
{jump("rest", IS_AT_REST, STANDING)},
newest AS (
{_newest("open", IS_OPEN, "id", _SINCE)}
UNION ALL
{_newest("rest", IS_AT_REST, "id", _SINCE)})
{_told("count(*) AS started", "created_at")}"""

RESTED = f"""WITH RECURSIVE {jump("rest", IS_AT_REST, STANDING)},
newest AS (
{_newest("rest", IS_AT_REST, "completed_at, started_at", _EARLIER)})
{
    _told(
        "count(*) FILTER (WHERE status = 'COMPLETED') AS completed, "
        "count(*) FILTER (WHERE status <> 'COMPLETED') AS back, "
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY completed_at - started_at) AS median, "
        "percentile_cont(0.95) WITHIN GROUP (ORDER BY completed_at - started_at) AS p95",
        "completed_at",
    )
}"""

_IS_FAILED = f"{IS_OPEN} AND status = 'FAILED'"
# What comes to light of a FAILED saga afterwards hardly ever moves it.
FAILED = f"""WITH RECURSIVE {jump("failed", _IS_FAILED, STANDING)},
newest AS (
{_newest("failed", _IS_FAILED, "updated_at", _EARLIER)})
{_told("count(*) AS failed", "updated_at")}"""


def params(connection: Connection) -> dict[str, Any]:
    """The values of the statements' parameters; the buckets ``begin`` at whole five minutes."""
    last = {"bucket": BUCKET, "before": BUCKET * (BUCKETS - 1)}
    begin: datetime = connection.exec_driver_sql(_BEGIN, last).scalar_one()
    return {"begin": begin, "bucket": BUCKET, "within": _STARTED_WITHIN}


def rates(connection: Connection) -> dict[str, Rates]:
    """The rates of all types of which anything happened in the last hour, by their names."""
    given = params(connection)
    told: dict[str, dict[int | None, dict[str, Any]]] = {}
    cuts: dict[str, datetime] = {}
    for sql in (STARTED, RESTED, FAILED):
        for row in connection.exec_driver_sql(sql, given).mappings():
            values = dict(row)
            saga_type, number = values.pop("saga_type"), values.pop("bucket")
            cut_at = values.pop("cut_at")
            if values.pop("is_whole") and cut_at is not None:
                cuts[saga_type] = max(cut_at, cuts.get(saga_type, cut_at))
            told.setdefault(saga_type, {}).setdefault(number, {}).update(values)
    return {
        saga_type: Rates(
            saga_type=saga_type,
            buckets=[_bucket(given["begin"], number, buckets) for number in range(BUCKETS)],
            whole=_bucket(given["begin"], None, buckets),
            counted_from=cuts.get(saga_type),
        )
        for saga_type, buckets in sorted(told.items())
    }


def _bucket(
    begin: datetime, number: int | None, told: Mapping[int | None, Mapping[str, Any]]
) -> Bucket:
    return Bucket(at=begin + BUCKET * (number or 0), **told.get(number, {}))
