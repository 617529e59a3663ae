"""Who may do what: roles, the keys that prove them, and the audit of what was done and refused."""

from saga.access.roles import ACTOR, Permission, Principal, Role, granted

__all__ = ["ACTOR", "Permission", "Principal", "Role", "granted"]
