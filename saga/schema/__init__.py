"""The engine's tables, as the numbered steps that make them.

Called by this project's Alembic history, by ``saga migrate``, and by other people's Alembic or
Django migrations. Steps are only ever added; ``saga.tables`` says where they lead.
"""

from sqlalchemy import Connection

from saga.schema import step_1, step_2, step_3, step_4

_STEPS = (step_1.SQL, step_2.SQL, step_3.SQL, step_4.SQL)

LATEST = len(_STEPS)

# Any number will do, as long as every migrating process takes the same one.
_LOCK = 0x5A6A


def upgrade(connection: Connection, *, to: int = LATEST) -> int:
    """Bring the engine's tables to version ``to``, inside the caller's transaction.

    A second call does nothing. Returns the version that stands afterwards, which is above ``to``
    when a newer release was here before.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS saga_schema (version integer PRIMARY KEY, at timestamptz)"
    )
    standing = version(connection)
    for number in range(standing + 1, to + 1):
        # psycopg2 reads % as a placeholder only when parameters are given.
        connection.exec_driver_sql(_STEPS[number - 1])
        connection.exec_driver_sql(
            "INSERT INTO saga_schema VALUES (%(number)s, clock_timestamp())", {"number": number}
        )
    return max(standing, to)


def version(connection: Connection) -> int:
    """The version of the engine's tables in this database; 0 when there are none."""
    there = connection.exec_driver_sql("SELECT to_regclass('saga_schema')").scalar_one()
    if there is None:
        return 0
    found = connection.exec_driver_sql("SELECT coalesce(max(version), 0) FROM saga_schema")
    return int(found.scalar_one())
