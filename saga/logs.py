"""How the engine logs: lines of key=value through the standard library, never to stdout."""

import structlog


def configure() -> None:
    """Send structlog's lines through ``logging``, where the process's own handlers have them.

    For an application to call once; a library that is imported configures nothing.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
