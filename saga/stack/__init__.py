"""The embedded stack: its servers and processes, started, supervised, looked at and stopped.

Its packages come with the ``embedded`` extra.
"""

from saga.stack.standing import Stack, await_whole, down, running

__all__ = ["Stack", "await_whole", "down", "running"]
