"""Pauses of saga types, and of steps of them."""

from sqlalchemy import Connection

from saga.store.transition import writes

_PAUSE_TYPE = """
INSERT INTO saga_pause (saga_type, step, at, actor, reason)
VALUES (%(saga_type)s, %(step)s, clock_timestamp(), %(actor)s, %(reason)s)
ON CONFLICT DO NOTHING"""


@writes
def pause_type(
    connection: Connection, *, saga_type: str, step: str | None, actor: str, reason: str
) -> bool:
    """Let nothing be begun for sagas of this type, or at this step. False: it is so already."""
    params = {"saga_type": saga_type, "step": step, "actor": actor, "reason": reason}
    return connection.exec_driver_sql(_PAUSE_TYPE, params).rowcount == 1


_RESUME_TYPE = """
UPDATE saga_pause
SET resumed_at = clock_timestamp(), resumed_by = %(actor)s, resume_reason = %(reason)s
WHERE saga_type = %(saga_type)s AND step IS NOT DISTINCT FROM %(step)s AND resumed_at IS NULL"""


@writes
def resume_type(
    connection: Connection, *, saga_type: str, step: str | None, actor: str, reason: str
) -> bool:
    """End such a pause; recovery resumes its sagas. False: there is none."""
    params = {"saga_type": saga_type, "step": step, "actor": actor, "reason": reason}
    return connection.exec_driver_sql(_RESUME_TYPE, params).rowcount == 1


_LIFT = """
UPDATE saga_pause SET lifted_at = clock_timestamp() WHERE id = %(number)s AND lifted_at IS NULL"""


@writes
def lift(connection: Connection, number: int) -> bool:
    """The last saga of an ended pause goes on again. False: another recovery saw that first."""
    return connection.exec_driver_sql(_LIFT, {"number": number}).rowcount == 1
