"""Roles and what each may do. The one place that decides it, for all faces."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Who opens a session may say in it in whose name sagas are started: ``Session(…, info=…)``.
ACTOR = "saga.actor"


class Role(StrEnum):
    """What a key is for."""

    PRODUCER = "producer"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a route asks of who calls it."""

    START = "start"  # sagas, by a producer's route
    READ = "read"  # the records that sagas work on: payments, devices
    SEE = "see"  # sagas themselves
    ACT = "act"  # on sagas, as an operator: retry, pause, signal
    AUDIT = "audit"  # what others did


_READS = frozenset({Permission.READ, Permission.SEE})

_GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.PRODUCER: _READS | {Permission.START},
    Role.VIEWER: _READS,
    Role.OPERATOR: _READS | {Permission.ACT},
    Role.ADMIN: frozenset(Permission),
}


def granted(permission: Permission) -> tuple[Role, ...]:
    """The roles that have the permission."""
    return tuple(role for role in Role if permission in _GRANTED[role])


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is calling: the name of a key, and its role. ``key_id`` is None for the environment's."""

    name: str
    role: Role
    key_id: str | None = None

    def may(self, permission: Permission) -> bool:
        return permission in _GRANTED[self.role]

    @property
    def sees_all(self) -> bool:
        """Whether sensitive fields are shown as they are, and not masked."""
        return self.role in {Role.OPERATOR, Role.ADMIN}

    @property
    def info(self) -> dict[str, str]:
        """For a session in which this principal starts sagas."""
        return {ACTOR: self.name}
