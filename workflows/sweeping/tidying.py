"""Removes what waited in staging as soon as its saga rests, and never before."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gateways.staging import Staging, StagingError
from saga import Engine
from saga.database import is_away
from tasks.doors import NoSuchDoor, staging
from workflows.sweeping import ownership
from workflows.sweeping.judgement import is_over
from workflows.sweeping.source import batches

log = structlog.get_logger("saga")

TIDY = "app_upload.tidy_staging"
_WITHIN = timedelta(seconds=30)
LIMIT = timedelta(minutes=1)


class Tidier:
    """Tidies the staging folder that ``door`` gives."""

    def __init__(self, engine: Engine, *, door: Callable[[], Staging] = staging) -> None:
        self._database = engine.database
        self._door = door

    def run(
        self, *, within: timedelta = _WITHIN, timer: Callable[[], float] = time.monotonic
    ) -> int:
        """Remove the files of sagas at rest, for as long as this; gives how many sagas had some.

        How old a file is says nothing: an open or FAILED saga needs it, and that of no saga may be
        arriving. An empty folder costs no query. Raises StagingError, NoSuchDoor, and what the
        database raises.
        """
        ends_at, removed = timer() + within.total_seconds(), 0
        stage = self._door()
        for batch in batches(found.id for found in stage.files() if found.id is not None):
            for saga_id in self._over(*batch):
                if timer() >= ends_at:
                    return removed
                # It was at rest when it was looked at: a late success may have woken it since.
                if self._over(saga_id) and stage.remove(saga_id):
                    removed += 1
        return removed

    def scan(self) -> int:
        """Do what beat asks for; what goes wrong is logged, and the next pass tries again."""
        removed = 0
        try:
            removed = self.run()
        except NoSuchDoor:
            return 0  # an installation without uploads has nothing to tidy
        except StagingError as error:
            log.warning("staging not tidied, the next pass tries again", why=str(error))
        except DBAPIError as error:
            if not is_away(error):
                raise
            log.warning("database away, the next pass tries again", why=type(error).__name__)
        if removed:
            log.info("staging tidied", removed=removed)
        return removed

    def _over(self, *saga_ids: UUID) -> list[UUID]:
        with Session(self._database) as session, session.begin():
            statuses = ownership.statuses(session, set(saga_ids))
        return [saga_id for saga_id in dict.fromkeys(saga_ids) if is_over(statuses.get(saga_id))]
