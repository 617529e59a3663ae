"""Connections that cannot keep a lock for longer than they should, and the engine's commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from saga.crashpoints import around
from saga.errors import SagaBusy

# SQLSTATE classes that speak of the server, not of our statement: connection lost, rolled back
# for a deadlock, out of resources, operator intervention; and the end of an idle transaction.
_TROUBLE_CLASSES = ("08", "40", "53", "57P")
_TROUBLE_CODES = ("25P03", "25P04", "55P03")


def connect(
    url: str, *, lock_timeout: timedelta = timedelta(seconds=5), pool_size: int = 5
) -> Engine:
    """An engine for workers and recovery, or for any producer.

    ``url`` may name any PostgreSQL driver or none; psycopg2 is used. A host that vanishes loses
    its connections, and with them its locks, within about ten seconds.
    """
    settings = {
        "lock_timeout": f"{int(lock_timeout.total_seconds() * 1000)}",
        "idle_in_transaction_session_timeout": "60000",
        # A worker killed in the middle of a long statement must not keep its locks till the end.
        "client_connection_check_interval": "1000",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "10000",
    }
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=False,
        # Errors are logged, and a statement's values are whole states.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10000,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )


@contextmanager
def committing(database: Engine) -> Iterator[Connection]:
    """One transaction of the engine's own: commits when the block ends, unless it raised."""
    with database.connect() as connection:
        transaction = connection.begin()
        yield connection
        with around("commit"):
            transaction.commit()


# Somebody has the row for too long, or waits for us in turn.
_ROW_IS_LOCKED = ("55P03", "40P01")


@contextmanager
def busy(saga_id: UUID) -> Iterator[None]:
    """Raises SagaBusy where a row stays locked longer than a person should wait."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) in _ROW_IS_LOCKED:
            raise SagaBusy(saga_id) from error
        raise


def is_away(error: BaseException) -> bool:
    """Whether an error speaks of the database's health and not of what it was asked to do."""
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "pgcode", None)
    if code is None:
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return code.startswith(_TROUBLE_CLASSES) or code in _TROUBLE_CODES
