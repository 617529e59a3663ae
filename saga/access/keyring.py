"""Whose key a request carries."""

import hashlib
import hmac
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy import Engine as Database
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import Headers

from saga.access import Principal, Role, keys
from saga.database import is_away

# In whose name the key of the environment acts.
_OF_ENVIRONMENT = Principal(name="api", role=Role.ADMIN)

_SEND_ONE = "send Authorization: Bearer KEY with a key of this API (saga keys create makes one)"


class NotAdmitted(Exception):
    """The request carries no good key: ``fault`` says what is wrong, ``why`` also what to do."""

    def __init__(self, fault: str, advice: str) -> None:
        self.fault = fault
        self.why = f"{fault}: {advice}" if fault else advice
        super().__init__(self.why)


class Keyring:
    """Knows whose keys there are: those of the database, and an admin's of the environment."""

    def __init__(self, database: Database, *, api_key: str | None) -> None:
        # One statement that stands alone: without BEGIN and ROLLBACK around it.
        self._database = database.execution_options(isolation_level="AUTOCOMMIT")
        self._api_key = keys.digest(api_key) if api_key else None

    def of_environment(self, secret: str) -> Principal | None:
        """Whose key this is, if it is the environment's: that needs no database."""
        # Digests are of one length, so that not even the key's length shows in the time taken.
        if self._api_key and hmac.compare_digest(keys.digest(secret), self._api_key):
            return _OF_ENVIRONMENT
        return None

    def of_database(self, secret: str) -> Principal:
        """Whose key this is. Blocks. Raises NotAdmitted, or what a database that is away raises."""
        return self._admitted(lambda connection: keys.find(connection, secret))

    @property
    def mark_of_environment(self) -> str:
        """Stands for the environment's key where others have an id; changes with that key."""
        return f"environment:{hashlib.sha256(self._api_key or b'').hexdigest()[:16]}"

    def of_id(self, key_id: str) -> Principal:
        """Whose key has this id, or this mark. Blocks, and raises as ``of_database`` does."""
        if self._api_key and hmac.compare_digest(key_id, self.mark_of_environment):
            return _OF_ENVIRONMENT
        return self._admitted(lambda connection: keys.named(connection, key_id))

    def _admitted(self, question: Callable[[Connection], keys.Key | None]) -> Principal:
        key = self._ask(question)
        if key is None:
            raise NotAdmitted("this key is not known", _SEND_ONE)
        if key.why_not is not None:
            raise NotAdmitted(key.why_not, "ask for a new one (saga keys create makes one)")
        return key.principal

    def _ask(self, question: Callable[[Connection], keys.Key | None]) -> keys.Key | None:
        for is_last in (False, True):
            try:
                with self._database.connect() as connection:
                    return question(connection)
            except DBAPIError as error:
                # A connection that a restart of the server left behind is found out by its use.
                if is_last or not is_away(error):
                    raise
        raise AssertionError("unreachable")


def secret_of(headers: Headers) -> str:
    """The key that the request carries. Raises NotAdmitted."""
    given = headers.getlist("authorization")
    if len(given) > 1:
        raise NotAdmitted("", "send one Authorization header, not several")
    scheme, _, secret = (given[0] if given else "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise NotAdmitted("", _SEND_ONE)
    return secret.strip()
