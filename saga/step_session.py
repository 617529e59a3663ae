"""The session of a transactional step: its transaction belongs to the engine."""

import re
from typing import Any, NoReturn

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS
from sqlalchemy import Connection, event
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from saga.crashpoints import around
from saga.errors import StepMisbehaved

_ENDS = re.compile(
    r"\s*(COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION|"
    r"ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO))\b",
    re.IGNORECASE,
)


class StepSession(Session):
    """Lets a step read and write, but neither commit nor roll back, in whatever way.

    Savepoints (``begin_nested``) are the step's own.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, expire_on_commit=False)
        self._is_the_engines = False
        self._was_rolled_back = False

    def open(self) -> Connection:
        """Begin the one transaction of this session, and guard it."""
        connection = self.connection()
        event.listen(connection, "commit", self._refuse_commit)
        event.listen(connection, "rollback", self._notice_rollback)
        event.listen(connection, "before_cursor_execute", _refuse_statement)
        return connection

    def commit(self) -> NoReturn:
        raise StepMisbehaved(_COMMITS)

    def rollback(self) -> NoReturn:
        raise StepMisbehaved(_ROLLS_BACK)

    def close(self) -> NoReturn:
        raise StepMisbehaved(_CLOSES)

    def reset(self) -> NoReturn:
        raise StepMisbehaved(_CLOSES)

    def invalidate(self) -> NoReturn:
        raise StepMisbehaved(_CLOSES)

    def flush_whole(self) -> None:
        """Send what the step left to send. Raises StepMisbehaved if it ended its transaction."""
        if self._was_rolled_back:
            raise StepMisbehaved(_ROLLS_BACK)
        self.flush()
        status = _driver_of(self.connection()).info.transaction_status
        if status != TRANSACTION_STATUS_INTRANS:
            raise StepMisbehaved(_COMMITS)

    def settle(self) -> None:
        """Commit, as the engine."""
        self._is_the_engines = True
        with around("commit"):
            super().commit()

    def give_back(self) -> None:
        """Roll back whatever is open, and return the connection, as the engine."""
        self._is_the_engines = True
        super().close()

    def _refuse_commit(self, connection: Connection) -> None:
        if self._is_the_engines:
            return
        # SQLAlchemy takes the transaction for ended now, and would not roll it back any more.
        _driver_of(connection).rollback()
        self._was_rolled_back = True
        raise StepMisbehaved(_COMMITS)

    def _notice_rollback(self, _: Connection) -> None:
        # SQLAlchemy rolls back by itself after an error, which must not be hidden by another.
        self._was_rolled_back = True


_COMMITS = "a step must not commit: its SQL and its record are one commit"
_ROLLS_BACK = "a step must not roll back: raise an error instead"
_CLOSES = "a step must not close its session"


def _driver_of(connection: Connection) -> Any:
    """The psycopg2 connection beneath."""
    return connection.connection.dbapi_connection


def _refuse_statement(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if _ENDS.match(statement):
        raise StepMisbehaved(f"a step must not end its transaction, not in SQL either: {statement}")
