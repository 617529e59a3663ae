"""Claims on a call: taken, kept alive, and attempts counted before they begin."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from saga.row import COLUMNS, Row
from saga.store.transition import EVENT, WAKE, Record, move, transition, writes

_CLAIM = transition(
    "claimed_by = %(token)s::uuid, attempt = attempt + 1, not_before = NULL, "
    "claim_deadline = clock_timestamp() + %(limit)s, wake_at = clock_timestamp() + %(lease)s"
)


@writes
def claim(
    connection: Connection,
    row: Row,
    record: Record,
    *,
    token: UUID,
    lease: timedelta,
    limit: timedelta,
) -> Row | None:
    """Claim the saga's next call for ``token``; no heartbeat renews the claim past ``limit``."""
    return move(
        connection,
        _CLAIM,
        row,
        record,
        token=str(token),
        lease=lease,
        limit=limit,
        event_attempt=row.attempt + 1,
    )


# An UPDATE that waited for the settle would lock the row once more behind it, and the saga's next
# message, which does not wait, would be dropped.
_RENEWED = """wake_at = LEAST(clock_timestamp() + %(lease)s, claim_deadline)
WHERE id = (
    SELECT id FROM saga_state
    WHERE saga_id = %(saga_id)s AND claimed_by = %(token)s::uuid
      AND claim_deadline > clock_timestamp()
    FOR UPDATE SKIP LOCKED)"""

_RENEW = f"UPDATE saga_state SET {_RENEWED}"  # noqa: S608 - only our own constants


@writes
def renew_lease(connection: Connection, saga_id: UUID, *, token: UUID, lease: timedelta) -> bool:
    """Keep the claim alive for another ``lease``.

    False: it is lost, its hard limit came, or somebody has the row locked just now.
    """
    params = {"saga_id": str(saga_id), "token": str(token), "lease": lease}
    return connection.exec_driver_sql(_RENEW, params).rowcount == 1


_PROGRESS = f"""
WITH moved AS (
    UPDATE saga_state SET version = version + 1, updated_at = clock_timestamp(), {_RENEWED}
    RETURNING {COLUMNS}
), noted AS ({EVENT}
)
SELECT FROM moved"""  # noqa: S608 - only our own constants


@writes
def note_progress(
    connection: Connection, row: Row, record: Record, *, token: UUID, lease: timedelta
) -> bool:
    """Write down how far the call of this claim has come, and keep the claim alive.

    ``row`` is as it was claimed. False: as for renew_lease, and nothing is written.
    """
    params = {
        "saga_id": str(row.saga_id),
        "token": str(token),
        "lease": lease,
        "event_step": row.step,
        "event_attempt": row.attempt,
        **record.params(),
    }
    return connection.exec_driver_sql(_PROGRESS, params).rowcount == 1


_COUNT = transition(f"attempt = attempt + 1, wake_at = {WAKE}")


@writes
def count_attempt(
    connection: Connection, row: Row, record: Record, *, patience: timedelta
) -> Row | None:
    """Count an attempt before it begins, so that a step that kills its worker is counted."""
    return move(connection, _COUNT, row, record, patience=patience, event_attempt=row.attempt + 1)


_UNCOUNT = """
UPDATE saga_state SET attempt = attempt - 1
WHERE saga_id = %(saga_id)s AND epoch = %(epoch)s AND current_step = %(step)s
  AND attempt = %(attempt)s AND dispatches = %(dispatches)s AND claimed_by IS NULL"""


@writes
def uncount_attempt(connection: Connection, row: Row) -> bool:
    """Take back the count of an attempt that trouble of our own cut short.

    False: the saga moved on, or the count was taken back before.
    """
    params = {
        "saga_id": str(row.saga_id),
        "epoch": row.epoch,
        "step": row.step,
        "attempt": row.attempt,
        "dispatches": row.dispatches,
    }
    return connection.exec_driver_sql(_UNCOUNT, params).rowcount == 1
