"""The engine's own HTTP face: sagas and health. An application adds its producers' routes.

Every error is an RFC 9457 problem, and every route but those of health wants a key whose role may.
"""

from saga.api.application import create_app
from saga.api.caller import Caller, needs
from saga.api.exact import ExactRoute
from saga.api.health import PendingMigrations
from saga.api.problems import answers, problem

__all__ = [
    "Caller",
    "ExactRoute",
    "PendingMigrations",
    "answers",
    "create_app",
    "needs",
    "problem",
]
