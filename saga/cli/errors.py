"""How a command ends when it does not end well.

CliError              1  failed
├── UsageError        2  the command was given wrongly
├── NotFoundError     3  what it names does not exist
├── ConflictError     4  what it asks is not allowed now
└── NoStackError      5  there is nothing to talk to; start it by ``saga up``
"""

from typing import ClassVar

from saga.errors import Conflict, DefinitionError, InvalidInput, NotFound
from saga.fingerprints import FingerprintsUnreadable


class CliError(Exception):
    """The command failed; the message is printed as it is."""

    exit_code: ClassVar[int] = 1


class UsageError(CliError):
    exit_code = 2


class NotFoundError(CliError):
    exit_code = 3


class ConflictError(CliError):
    exit_code = 4


class NoStackError(CliError):
    exit_code = 5

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"no stack runs in {folder}, and DATABASE_URL is not set; start one: saga up"
        )


_TRANSLATIONS: dict[type[Exception], type[CliError]] = {
    NotFound: NotFoundError,
    Conflict: ConflictError,
    InvalidInput: UsageError,
    DefinitionError: CliError,
    FingerprintsUnreadable: CliError,
}


def translate(error: type[Exception], into: type[CliError]) -> None:
    """From now on a command that lets ``error`` go ends as ``into`` says, with its message."""
    _TRANSLATIONS[error] = into


def translated(error: Exception) -> CliError | None:
    """Give the command line's word for the error; None where there is none."""
    if isinstance(error, CliError):
        return error
    for kind in type(error).__mro__:
        if kind in _TRANSLATIONS:
            return _TRANSLATIONS[kind](str(error))
    return None
