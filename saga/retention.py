"""Purging: sagas that came to rest long ago, with all that was written down about them.

Batch by batch, each its own transaction, the oldest first: workers are kept waiting by none of it,
it may end anywhere, and be begun again. What anybody may still act on stays: open and FAILED
sagas, and those whose second look is to come.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy import Engine as Database

from saga.access.audit import Audit
from saga.database import committing
from saga.errors import InvalidInput

# Rows of a batch: some milliseconds, and little to write at once.
BATCH = 500

LONGEST_AGE = timedelta(days=36_500)


class BadRetention(InvalidInput):
    """An age that cannot be; ``field`` says which value is wrong."""

    field = "olderThan"


@dataclass(frozen=True, kw_only=True)
class Purged:
    """What is gone so far, of one purge."""

    sagas: int
    audit: int


# By the index on created_at: what rested before an instant was created before it, too.
_OLD = (
    "created_at < %(before)s AND completed_at < %(before)s AND wake_at IS NULL "
    "AND status IN ('COMPLETED', 'COMPENSATED', 'TIMEOUT') "
    "AND (%(type)s IS NULL OR saga_type = %(type)s)"
)

_PURGE = f"""
WITH old AS (
    SELECT id, saga_id, created_at FROM saga_state
    WHERE {_OLD} AND (created_at, id) > (%(after_at)s, %(after_id)s)
    ORDER BY created_at, id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), events AS (DELETE FROM saga_event USING old WHERE saga_event.saga_id = old.saga_id
), signals AS (DELETE FROM saga_signal USING old WHERE saga_signal.saga_id = old.saga_id
), sagas AS (DELETE FROM saga_state USING old WHERE saga_state.id = old.id)
SELECT created_at, id FROM old ORDER BY created_at, id"""  # noqa: S608 - only our own constants

_PURGE_AUDIT = """
DELETE FROM saga_audit WHERE id IN (
    SELECT id FROM saga_audit WHERE at < %(before)s ORDER BY at LIMIT %(batch)s)"""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


def count_old(database: Database, *, older_than: timedelta, saga_type: str | None = None) -> int:
    """How many sagas a purge would take now. Raises BadRetention."""
    with database.connect() as connection:
        params = {"before": _before(connection, older_than), "type": saga_type}
        sql = f"SELECT count(*) FROM saga_state WHERE {_OLD}"  # noqa: S608
        return int(connection.exec_driver_sql(sql, params).scalar_one())


def purge(
    database: Database, *, older_than: timedelta, saga_type: str | None = None, actor: str
) -> Iterator[Purged]:
    """Delete sagas that have rested for longer, a batch at a step.

    Without a ``saga_type`` the audit's old entries go, too. Who purges what is in the audit before
    anything is gone; whoever is stopped in between may begin again. Raises BadRetention.
    """
    with committing(database) as connection:
        before = _before(connection, older_than)
        # First of all: what is deleted must not be so without a trace, wherever this ends.
        why = f"all that rested before {before:%Y-%m-%d %H:%M} UTC"
        Audit(database=database, actor=actor).note(connection, "purge", target=saga_type, why=why)
    sagas = 0
    for sagas in _sagas(database, before=before, saga_type=saga_type):
        yield Purged(sagas=sagas, audit=0)
    entries = 0
    while saga_type is None:
        with committing(database) as connection:
            params = {"before": before, "batch": BATCH}
            gone = connection.exec_driver_sql(_PURGE_AUDIT, params).rowcount
        entries += gone
        if gone == 0:
            break
    yield Purged(sagas=sagas, audit=entries)


def _sagas(database: Database, *, before: datetime, saga_type: str | None) -> Iterator[int]:
    """How many are gone, after each batch."""
    sagas, after = 0, (_BEGINNING, 0)
    while True:
        with committing(database) as connection:
            gone = connection.exec_driver_sql(
                _PURGE,
                {
                    "before": before,
                    "type": saga_type,
                    "after_at": after[0],
                    "after_id": after[1],
                    "batch": BATCH,
                },
            ).all()
        if not gone:
            return
        sagas, after = sagas + len(gone), (gone[-1][0], gone[-1][1])
        yield sagas


def _before(connection: Connection, older_than: timedelta) -> datetime:
    if not timedelta(0) <= older_than <= LONGEST_AGE:
        raise BadRetention(f"must be at most {LONGEST_AGE.days}d")
    sql = "SELECT clock_timestamp() - %(age)s"
    before: datetime = connection.exec_driver_sql(sql, {"age": older_than}).scalar_one()
    return before
