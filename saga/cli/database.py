"""What a command says when the database does not do what is asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from saga.cli.errors import CliError
from saga.database import is_away

_NO_SUCH_TABLE = "42P01"


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn a database that is away, or has no tables, into errors that say what to do."""
    try:
        yield
    except DBAPIError as error:
        first_line = str(error.orig).strip().partition("\n")[0]
        if getattr(error.orig, "pgcode", None) == _NO_SUCH_TABLE:
            raise CliError(f"{first_line}; make the tables: saga migrate") from error
        if is_away(error):
            raise CliError(f"the database does not answer: {first_line}") from error
        raise
