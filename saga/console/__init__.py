"""The operators' page: what needs a person, every saga, and what may be done to it.

A face of its own beside ``saga.api``: HTML made here, a few lines of JavaScript, no build step.
"""

from saga.console.application import create_console
from saga.console.desk import Workers
from saga.roll import Worker

__all__ = ["Worker", "Workers", "create_console"]
