"""Keeps a claim alive while its call runs, and writes down how far that has come."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from saga import queries, store
from saga.database import committing
from saga.reporting import Progress, Told
from saga.row import Row
from saga.store import Record

log = structlog.get_logger("saga")


# A saga's version rises with each event: what operators look at must stand still for a while.
_BEATS_BETWEEN = 3


@contextmanager
def heartbeat(
    database: Engine, row: Row, *, token: UUID, lease: timedelta, progress: Progress, record: Record
) -> Iterator[None]:
    """Renew the lease every third of it, on a connection of its own, until the block ends.

    A claim that is lost, or whose hard limit has come, is not renewed; ``progress`` learns of it.
    A database that is away is asked again: the claim may still be ours when it is back. What
    ``progress`` was told is written down as ``record`` says, once a lease at most.
    """
    over = threading.Event()

    def beat() -> None:
        written: Told | None = None
        beats = _BEATS_BETWEEN
        while not over.wait(lease.total_seconds() / 3):
            beats += 1
            told = progress.told
            is_news = told is not None and told != written and beats > _BEATS_BETWEEN
            try:
                with committing(database) as connection:
                    if is_news and told is not None:
                        says = replace(record, detail={**record.detail, **told.detail()})
                        kept = store.note_progress(connection, row, says, token=token, lease=lease)
                    else:
                        kept = store.renew_lease(connection, row.saga_id, token=token, lease=lease)
                    if not kept and not queries.has_claim(connection, row.saga_id, token=token):
                        progress.is_lost = True
                if is_news and kept:
                    written, beats = told, 1
            except SQLAlchemyError as error:
                log.warning(
                    "heartbeat missed", saga_id=str(row.saga_id), error=type(error).__name__
                )

    thread = threading.Thread(target=beat, name=f"heartbeat-{row.saga_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
