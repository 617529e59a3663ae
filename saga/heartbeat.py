"""Keeps a claim alive while its call runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from saga import store
from saga.database import committing

log = structlog.get_logger("saga")


@contextmanager
def heartbeat(database: Engine, saga_id: UUID, *, token: UUID, lease: timedelta) -> Iterator[None]:
    """Renew the lease every third of it, on a connection of its own, until the block ends.

    A claim that is lost, or whose hard limit has come, is not renewed. A database that is away is
    asked again: the claim may still be ours when it is back.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease.total_seconds() / 3):
            try:
                with committing(database) as connection:
                    store.renew_lease(connection, saga_id, token=token, lease=lease)
            except SQLAlchemyError as error:
                log.warning("heartbeat missed", saga_id=str(saga_id), error=type(error).__name__)

    thread = threading.Thread(target=beat, name=f"heartbeat-{saga_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
