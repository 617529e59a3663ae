"""Starting sagas in a transaction that somebody else opened and will end, such as Django."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NoReturn

from psycopg2 import extensions, extras
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy import Engine as Database
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.orm import Session

from saga.errors import LoanError
from saga.outbox import LATER


@contextmanager
def borrowed(
    connection: extensions.connection, *, on_commit: Callable[[Callable[[], None]], object]
) -> Iterator[Session]:
    """A session that takes part in the open transaction of the lender's psycopg2 connection.

    It never commits, rolls back or closes the connection, and changes no setting of it. What was
    started or signalled in the block is published by a function that ``on_commit`` is given when
    the block ends well, to be called after the lender's commit: Django's ``transaction.on_commit``,
    or a list's ``append``. That function raises nothing; without a call recovery publishes. Raises
    LoanError for what is no psycopg2 connection, is in autocommit, closed or has failed, and when
    the block has hidden an error after which the lender's transaction must not be committed.
    """
    _check(connection)
    letters: list[Callable[[], None]] = []
    lent = _Lent(connection)
    with _connected(lent) as borrower:
        session = _LoanSession(borrower, expire_on_commit=False, info={LATER: letters.append})
        try:
            yield session
            lent.check_on()
            session.settle()
            _check(connection)
        finally:
            session.give_back()
    if letters:
        on_commit(lambda: _publish(letters))


def _publish(letters: list[Callable[[], None]]) -> None:
    for publish in letters:
        publish()


class _LoanSession(Session):
    """Leaves the end of the transaction to the lender. Savepoints are its user's own."""

    def commit(self) -> NoReturn:
        raise LoanError(_ENDS.format(what="commit"))

    def rollback(self) -> NoReturn:
        raise LoanError(_ENDS.format(what="roll back"))

    def close(self) -> NoReturn:
        raise LoanError(_ENDS.format(what="close"))

    def settle(self) -> None:
        """Send what is left to send, and let go of what waits for a commit."""
        super().commit()

    def give_back(self) -> None:
        super().close()


class _OverError(LoanError, DontWrapMixin):
    """Reaches the borrower as it is, out of SQLAlchemy too."""


class _Lent:
    """A lender's connection as SQLAlchemy gets it: what would end the transaction does not."""

    def __init__(self, connection: extensions.connection) -> None:
        self._connection = connection
        self.is_over = False

    def check_on(self) -> None:
        if self.is_over:
            raise _OverError("an error has ended the loan: let it leave the block")

    @property
    def closed(self) -> int:
        return self._connection.closed

    def cursor(self, *_: Any, **__: Any) -> extensions.cursor:
        self.check_on()
        # The lender's connection may give other rows than tuples, and may leave JSON as text, as
        # Django does: say it per cursor, so that the lender's own go on as they were.
        cursor = self._connection.cursor(cursor_factory=extensions.cursor)
        extras.register_uuid(None, cursor)  # type: ignore[no-untyped-call]
        extras.register_default_json(cursor)
        extras.register_default_jsonb(cursor)
        return cursor

    def commit(self) -> None:
        self.is_over = True

    def rollback(self) -> None:
        # SQLAlchemy takes all for undone now, though it is not: no more may be written.
        self.is_over = True

    def close(self) -> None:
        self.is_over = True


class LoanDialect(PGDialect_psycopg2):
    """SQLAlchemy's psycopg2, which sets nothing on a connection that is not ours."""

    supports_statement_cache = True

    def on_connect(self) -> None:
        return None


registry.register("postgresql.loan", __name__, LoanDialect.__name__)
_NEXT: ContextVar[_Lent] = ContextVar("saga.loan")


def _next() -> _Lent:
    return _NEXT.get()


@cache
def _database() -> Database:
    """Keeps no connection, only what SQLAlchemy compiled."""
    return create_engine(
        "postgresql+loan://",
        creator=_next,
        poolclass=NullPool,
        pool_reset_on_return=None,
        use_native_hstore=False,
        hide_parameters=True,
    )


@contextmanager
def _connected(lent: _Lent) -> Iterator[Connection]:
    token = _NEXT.set(lent)
    try:
        borrower = _database().connect()
    finally:
        _NEXT.reset(token)
    # The first time SQLAlchemy asks about the server, and rolls back after that.
    lent.is_over = False
    with borrower:
        yield borrower


def _check(connection: extensions.connection) -> None:
    """Raises LoanError unless the connection has, or with its next statement opens, one to join."""
    if connection is None:
        raise LoanError(f"there is no connection yet: {_OPEN}")
    if not isinstance(connection, extensions.connection):
        raise LoanError(
            _WRONG.format(kind=f"{type(connection).__module__}.{type(connection).__name__}")
        )
    if connection.closed:
        raise LoanError(f"the connection is closed: {_OPEN} on an open one")
    match connection.info.transaction_status:
        case extensions.TRANSACTION_STATUS_INERROR:
            raise LoanError(
                "the transaction has failed: roll it back, or to a savepoint, and begin again; "
                "let errors of the database leave the block"
            )
        case extensions.TRANSACTION_STATUS_IDLE if connection.autocommit:
            raise LoanError(f"the connection is in autocommit: {_OPEN} (or set autocommit = False)")


_OPEN = "open a transaction first, in Django with transaction.atomic()"
_WRONG = (
    "a psycopg2 connection is wanted, this is {kind}: in Django give connection.connection, and "
    "have psycopg2 installed and psycopg (3) not, as Django prefers that; elsewhere, with "
    "psycopg 3, start the saga with a Session(engine.database) of its own"
)
_ENDS = "a borrowed session must not {what}: its transaction is the lender's, who ends it"
