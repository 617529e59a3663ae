"""Where a process may die: before and after each commit, publishing and call, and each write.

Tests arm a hook that ends the process, or raises, at the point of its choice; what is left then
must be enough for the promise. Without a hook a point costs one look at an empty list.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Hook: TypeAlias = Callable[[str], None]

_hooks: list[Hook] = []


def reach(point: str) -> None:
    """Stand at ``point``, such as "before commit" or "wrote advance"; a hook may not return."""
    for hook in _hooks:
        hook(point)


@contextmanager
def armed(hook: Hook) -> Iterator[None]:
    """Call ``hook`` with every point that this process reaches, in whatever thread."""
    _hooks.append(hook)
    try:
        yield
    finally:
        _hooks.remove(hook)


@contextmanager
def around(what: str) -> Iterator[None]:
    """Reach a point before the block and, if it did not raise, another one after it."""
    reach(f"before {what}")
    yield
    reach(f"after {what}")
