"""Keys of the HTTP API. What is sent is random and long, so that a plain digest of it is kept.

A digest that is meant for passwords, slow and salted, would protect what can be guessed; 256 random
bits cannot, and each request asks for its key.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from saga.access import audit
from saga.access.roles import Principal, Role
from saga.errors import AlreadySo, InvalidInput, NotFound

LONGEST_NAME = 100
LONGEST_LIFE = timedelta(days=3650)

# By this, those who look for secrets in files find one.
_PREFIX = "saga_"
# No key is longer; what is sent is hashed, however long.
LONGEST_SECRET = 200

_COLUMNS = (
    "key_id, name, role, created_at, created_by, expires_at, revoked_at, revoked_by, "
    "expires_at <= clock_timestamp() AS is_expired"
)


class KeyNotFound(NotFound):
    """No key has the id ``key_id``."""

    field = "keyId"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"no key has the id {key_id[:50]!r}; `saga keys list` shows all")


class BadKeyAsked(InvalidInput):
    """A key that cannot be made; ``field`` is what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field} {message}")


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key as it may be told: without its secret."""

    key_id: str
    name: str
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    is_expired: bool

    @property
    def why_not(self) -> str | None:
        """Why it is no good any more; None when it is good."""
        if self.revoked_at is not None:
            return "the key was revoked"
        return "the key has expired" if self.is_expired else None

    @property
    def principal(self) -> Principal:
        return Principal(name=self.name, role=self.role, key_id=self.key_id)


@dataclass(frozen=True, kw_only=True)
class NewKey(Key):
    """A key just made. Its ``secret`` is told this once; nobody can find it again."""

    secret: str


def create(
    connection: Connection,
    *,
    name: str,
    role: Role,
    by: str,
    expires_in: timedelta | None = None,
) -> NewKey:
    """Make a key inside the caller's transaction, audited. Raises BadKeyAsked."""
    _check_name(name)
    if expires_in is not None and not timedelta(0) < expires_in <= LONGEST_LIFE:
        raise BadKeyAsked("expires", f"must be at most {LONGEST_LIFE.days}d, and not 0")
    secret = _PREFIX + secrets.token_urlsafe(32)
    found = connection.exec_driver_sql(
        "INSERT INTO saga_key (key_id, name, role, digest, created_at, created_by, expires_at) "  # noqa: S608
        "VALUES (%(key_id)s, %(name)s, %(role)s, %(digest)s, clock_timestamp(), %(by)s, "
        f"clock_timestamp() + %(expires_in)s) RETURNING {_COLUMNS}",
        {
            "key_id": f"key_{secrets.token_hex(6)}",
            "name": name,
            "role": role.value,
            "digest": digest(secret),
            "by": by,
            "expires_in": expires_in,
        },
    )
    key = NewKey(**_read(found.mappings().one()), secret=secret)
    why = f"role {role}" if expires_in is None else f"role {role}, expires in {expires_in}"
    audit.record(connection, actor=by, action="keys.create", target=f"{key.key_id} {name}", why=why)
    return key


def find(connection: Connection, secret: str) -> Key | None:
    """The key that this is the secret of, good or not; None where there is none."""
    if len(secret) > LONGEST_SECRET:
        return None
    found = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM saga_key WHERE digest = %(digest)s",  # noqa: S608
        {"digest": digest(secret)},
    )
    record = found.mappings().one_or_none()
    return None if record is None else Key(**_read(record))


def named(connection: Connection, key_id: str) -> Key | None:
    """The key of this id, good or not; None where there is none."""
    found = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM saga_key WHERE key_id = %(key_id)s",  # noqa: S608
        {"key_id": key_id},
    )
    record = found.mappings().one_or_none()
    return None if record is None else Key(**_read(record))


def is_good(connection: Connection, key_id: str) -> bool:
    """Whether requests with this key are let in now."""
    found = connection.exec_driver_sql(
        "SELECT FROM saga_key WHERE key_id = %(key_id)s AND revoked_at IS NULL "
        "AND (expires_at > clock_timestamp()) IS NOT FALSE",
        {"key_id": key_id},
    )
    return found.first() is not None


def list_keys(connection: Connection) -> list[Key]:
    """All keys, revoked ones included, the newest first."""
    found = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM saga_key ORDER BY created_at DESC, key_id"  # noqa: S608
    )
    return [Key(**_read(record)) for record in found.mappings()]


def revoke(connection: Connection, key_id: str, *, by: str) -> Key:
    """End a key inside the caller's transaction, audited: no request is let in by it after that.

    Raises KeyNotFound, or AlreadySo when it was revoked before.
    """
    found = connection.exec_driver_sql(
        "UPDATE saga_key SET revoked_at = clock_timestamp(), revoked_by = %(by)s "  # noqa: S608
        f"WHERE key_id = %(key_id)s AND revoked_at IS NULL RETURNING {_COLUMNS}",
        {"key_id": key_id.replace("\0", ""), "by": by},
    )
    record = found.mappings().one_or_none()
    if record is None:
        stands = [key for key in list_keys(connection) if key.key_id == key_id]
        if not stands:
            raise KeyNotFound(key_id)
        raise AlreadySo(f"key {key_id} was revoked by {stands[0].revoked_by} already")
    key = Key(**_read(record))
    audit.record(connection, actor=by, action="keys.revoke", target=f"{key_id} {key.name}")
    return key


def digest(secret: str) -> bytes:
    """What is kept of a key; of one length, and as long to make for every guess."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _check_name(name: str) -> None:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise BadKeyAsked(
            "name", f"must be one line of 1 to {LONGEST_NAME} characters: it signs what is done"
        )


def _read(record: Any) -> dict[str, Any]:
    return {**record, "role": Role(record["role"]), "is_expired": bool(record["is_expired"])}
