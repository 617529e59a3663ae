"""How the engine logs: lines of key=value through the standard library, never to stdout.

Errors are logged as text: whoever renders them must not add the locals of each frame, as some do,
for those hold whole rows.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import structlog

from saga.circumstances import gist

_DEEPEST = 10


def configure() -> None:
    """Send structlog's lines through ``logging``, where the process's own handlers have them.

    For an application to call once; a library that is imported configures nothing.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.ExceptionRenderer(_rendered),
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def traced(error: BaseException) -> str:
    """An error with its traceback, for a log line's ``exception``: no locals, no values of rows."""
    return "".join(_lines(error, 0))


def log_error(log: Any, event: str, error: BaseException, **told: Any) -> None:
    """Log an error that nobody foresaw, with its traceback, at level error, to one of our logs."""
    log.error(event, **told, exception=traced(error))


def _lines(error: BaseException, depth: int) -> Iterator[str]:
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None and depth < _DEEPEST:
        yield from _lines(behind, depth + 1)
        yield "\nwhich led to:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{gist(error)}\n"


def _rendered(exc_info: tuple[Any, BaseException, TracebackType | None]) -> str:
    return traced(exc_info[1])
