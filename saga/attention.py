"""Which sagas need a person, the oldest first; each kind of them is found through its index.

Only so much is read, however many sagas there are. What no index tells, such as which are overdue,
is looked for among the oldest of those it may be, for what goes wrong stays. Where that was not
enough, ``isMore`` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from saga.indexes import IS_OPEN, STANDING
from saga.lists import LOOKED_AT, jump
from saga.masking import Mask
from saga.masks import masked_saga, masks
from saga.registry import Registry
from saga.views import MOST_EVENTS, SAGA, list_pauses, plain

# Nobody counts further.
MOST_COUNTED = 1_000
# A compensation that failed so often, or came no further for so long, does not mend by itself.
STUCK_RETRIES = 3
STUCK_AFTER = timedelta(minutes=10)

_OLDEST_FIRST = "created_at ASC NULLS FIRST, id ASC NULLS FIRST"


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """The oldest sagas of one index, for each of the values ``met`` in its other columns.

    ``chosen`` is which of these values are meant; ``fits`` what else must hold of each saga.
    """

    name: str
    which: str
    met: Sequence[str]
    chosen: str = "true"
    fits: str = "true"

    def tables(self) -> str:
        return jump(self.name, self.which, self.met)

    def sql(self) -> str:
        same = " AND ".join(f"{column} = met.{column}" for column in self.met)
        values = f"FROM {self.name} AS met WHERE {self.chosen}"
        most = f"(SELECT greatest({MOST_COUNTED}, {LOOKED_AT} / greatest(count(*), 1)) {values})"
        return f"""SELECT walked.*, nth = {most} AS is_last FROM {self.name} AS met, LATERAL (
    SELECT created_at, id, ({self.fits}) AS fits,
           row_number() OVER (ORDER BY {_OLDEST_FIRST}) AS nth
    FROM saga_state WHERE {self.which} AND {same}
    ORDER BY {_OLDEST_FIRST} LIMIT {most}) AS walked
WHERE {self.chosen}"""  # noqa: S608 - only our own constants


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A reason why sagas need a person; ``since`` is when it began, in SQL.

    ``events`` are the kinds of events that began it: the newest one of a saga tells who and why.
    """

    walks: Sequence[_Walk]
    since: str
    events: Sequence[str]


FAILED = Kind(
    walks=[
        _Walk(name="failed", which=f"{IS_OPEN} AND status = 'FAILED'", met=STANDING[1:]),
    ],
    since="coalesce(began.at, saga.updated_at)",
    events=["failed"],
)

_UNPAUSED = "paused IS NULL"
_IS_STILL = (
    f"{_UNPAUSED} AND retry_count < {STUCK_RETRIES} "
    "AND updated_at <= statement_timestamp() - %(stuck_after)s "
    # A call in hand may take its time.
    "AND (claim_deadline IS NULL OR claim_deadline <= statement_timestamp())"
)
STUCK = Kind(
    walks=[
        _Walk(
            name="failing",
            which="status = 'COMPENSATING' AND retry_count > 0 "
            "AND status IN ('RUNNING', 'COMPENSATING')",
            met=(*STANDING[1:], "retry_count"),
            chosen=f"met.retry_count >= {STUCK_RETRIES}",
            fits=_UNPAUSED,
        ),
        _Walk(
            name="still",
            which=f"{IS_OPEN} AND status = 'COMPENSATING'",
            met=STANDING[1:],
            fits=_IS_STILL,
        ),
    ],
    since="coalesce(began.at, saga.updated_at)",
    events=["compensating", "compensation_ordered", "retried"],
)

PAUSED = Kind(
    walks=[_Walk(name="paused", which="paused IS NOT NULL", met=STANDING, fits="paused = 'saga'")],
    since="saga.paused_at",
    events=["paused"],
)

OVERDUE = Kind(
    walks=[
        _Walk(
            name="running",
            which=f"{IS_OPEN} AND status = 'RUNNING'",
            met=STANDING[1:],
            fits=f"overdue AND {_UNPAUSED}",
        )
    ],
    since="saga.timeout_at",
    events=["overdue"],
)

# Recovery looks at them every minute, so that they are among those due next.
_SOONEST = f"""SELECT created_at, id, unknown_since IS NOT NULL AS fits,
    row_number() OVER (ORDER BY wake_at) = {LOOKED_AT} AS is_last
FROM saga_state WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT {LOOKED_AT}"""  # noqa: S608
UNKNOWN = Kind(walks=(), since="saga.unknown_since", events=["unknown_definition"])

KINDS = {
    "failed": FAILED,
    "stuck": STUCK,
    "paused": PAUSED,
    "overdue": OVERDUE,
    "unknown": UNKNOWN,
}


def needs_a_person(
    connection: Connection, registry: Registry, *, masked: bool, most: int = 20
) -> dict[str, Any]:
    """``{"failed", "stuck", "paused", "overdue", "unknown", "pauses"}``, in that order of need.

    Each but the last is ``{"count", "isMore", "items": [Saga]}``, where a Saga has besides what
    lists tell ``since``, ``actor`` and ``reason``; the latter are null where nobody did it. Of the
    sagas there are ``most``, those that were started first. Where ``isMore``, there are at least
    ``count``. *stuck* are compensations, *paused* what a person paused by itself. ``pauses`` are
    those of types and steps, as ``saga.views.list_pauses`` tells them.
    """
    told: dict[str, Any] = {
        name: _group(connection, registry, kind, masked=masked, most=most)
        for name, kind in KINDS.items()
    }
    return {**told, "pauses": list_pauses(connection)["items"]}


def _group(
    connection: Connection, registry: Registry, kind: Kind, *, masked: bool, most: int
) -> dict[str, Any]:
    found = connection.exec_driver_sql(statement(kind), params(kind, most)).mappings().all()
    rows = [row for row in found if row["id"] is not None]
    known: dict[UUID, Mask] = {}
    if masked:
        known = masks(connection, registry, [row["sagaId"] for row in rows])
    return {
        "count": found[0]["sagas"],
        "isMore": found[0]["is_more"],
        "items": [_told(row, known.get(row["sagaId"])) for row in rows],
    }


def _told(row: Mapping[Any, Any], mask: Mask | None) -> dict[str, Any]:
    names = (*SAGA, "since", "actor", "reason")
    told = plain({name: row[name] for name in names})
    if mask is None:
        return told
    reason = None if told["reason"] is None else mask.text(told["reason"])
    return {**masked_saga(told, mask), "reason": reason}


def params(kind: Kind, most: int) -> dict[str, Any]:
    """The values of the statement's parameters."""
    return {"stuck_after": STUCK_AFTER, "events": list(kind.events), "most": most}


def statement(kind: Kind) -> str:
    """The one statement of a kind, so that its count and its sagas are true of one moment."""
    jumps = "".join(f"{walk.tables()},\n" for walk in kind.walks)
    seen = "\nUNION ALL\n".join(f"({walk.sql()})" for walk in kind.walks) or _SOONEST
    columns = ", ".join(f'saga.{column} AS "{name}"' for name, column in SAGA.items())
    # A saga that polls for weeks has thousands of events; what began this is hardly older.
    return f"""WITH RECURSIVE {jumps}seen AS MATERIALIZED (
{seen}),
total AS (
    SELECT least(count(*) FILTER (WHERE fits), {MOST_COUNTED}) AS sagas,
           coalesce(bool_or(is_last), false)
               OR count(*) FILTER (WHERE fits) > {MOST_COUNTED} AS is_more
    FROM seen),
page AS (SELECT id FROM seen WHERE fits ORDER BY created_at, id LIMIT %(most)s)
SELECT total.sagas, total.is_more, page.id, {columns},
       {kind.since} AS since, began.actor, began.reason
FROM total LEFT JOIN page ON true LEFT JOIN saga_state AS saga ON saga.id = page.id
LEFT JOIN LATERAL (
    SELECT at, actor, detail->>'because' AS reason FROM (
        SELECT seq, kind, at, actor, detail FROM saga_event WHERE saga_id = saga.saga_id
        ORDER BY seq DESC LIMIT {MOST_EVENTS}) AS newest
    WHERE kind = ANY(%(events)s) ORDER BY seq DESC LIMIT 1) AS began ON true
ORDER BY saga.created_at, saga.id"""  # noqa: S608 - only our own constants
