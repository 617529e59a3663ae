"""What tells of an engine's health, counted in its tables."""

from datetime import timedelta

from sqlalchemy import Connection


def since_pulse(connection: Connection, name: str) -> timedelta | None:
    """How long ago ``name`` showed that it is alive; None: never."""
    sql = "SELECT clock_timestamp() - at FROM saga_pulse WHERE name = %(name)s"
    found: timedelta | None = connection.exec_driver_sql(sql, {"name": name}).scalar_one_or_none()
    return found


def count_failed(connection: Connection) -> int:
    """How many sagas wait for a person."""
    sql = "SELECT count(*) FROM saga_state WHERE status = 'FAILED'"
    return int(connection.exec_driver_sql(sql).scalar_one())


def count_unknown(connection: Connection) -> int:
    """How many open sagas are of a type, version or step that recovery did not know."""
    sql = "SELECT count(*) FROM saga_state WHERE wake_at IS NOT NULL AND unknown_since IS NOT NULL"
    return int(connection.exec_driver_sql(sql).scalar_one())
