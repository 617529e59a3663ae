"""Runs a transactional step or compensation: its SQL and the record of it are one commit."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from saga import store
from saga.circumstances import Circumstances
from saga.database import committing, is_away
from saga.decide import decide
from saga.definition import Saga
from saga.errors import StepMisbehaved
from saga.followup import Drop, Followup
from saga.moves import Dispatch, Fail
from saga.position import Accepted, Event, Sleeps, Succeeded, WaitsForSignal, WorkerLost
from saga.registry import Place
from saga.row import Row
from saga.runtime import (
    Delivery,
    Runtime,
    counted,
    failure,
    forward,
    hold,
    returned,
    told_nothing,
    waits,
)
from saga.settlement import apply, broken_state
from saga.step_session import StepSession
from saga.task import Transactional, TransactionalCompensation
from saga.waiting import SleepUntil, Wait


@dataclass(frozen=True)
class Transaction:
    """One delivery of a transactional task."""

    runtime: Runtime
    place: Place
    saga_id: UUID
    epoch: int
    delivery: Delivery

    def run(self) -> Followup:
        began = time.monotonic()
        try:
            count = self._count_if_seen_before()
            if isinstance(count, Row):
                return self._attempt(began, count)
            return count or self._attempt(began, None)
        except Exception as error:
            if is_away(error):
                return hold(error)
            raise

    def _count_if_seen_before(self) -> Row | Followup | None:
        """Commit the attempt before it begins when an earlier delivery may have died in it."""
        if not self.delivery.redelivered:
            return None
        return self._count()

    def _count(self) -> Row | Followup:
        with committing(self.runtime.database) as connection:
            admitted = self.runtime.admit(connection, self.place, self.saga_id, self.epoch)
            if isinstance(admitted, Drop):
                return admitted
            saga, row = admitted
            move = decide(saga, row, WorkerLost())
            if not isinstance(move, Dispatch):
                died = StepMisbehaved(f"its worker died in each of {row.attempt} attempts")
                by = replace(self._by(), in_chain=False, error=died)
                return apply(connection, saga, row, move, by)
            patience = self.runtime.timing.patience
            record = self._by().record("attempt_counted")
            moved = store.count_attempt(connection, row, record, patience=patience)
            return moved or Drop("moved meanwhile")

    def _uncount(self, row: Row) -> None:
        """Give the attempt back, unless the database is too far away for that."""
        with suppress(SQLAlchemyError), committing(self.runtime.database) as connection:
            store.uncount_attempt(connection, row)

    def _attempt(self, began: float, count: Row | None) -> Followup:
        """One attempt; ``count`` is the row as it was when the attempt was counted, if it was."""
        session = StepSession(self.runtime.database)
        try:
            try:
                connection = session.open()
                admitted = self.runtime.admit(connection, self.place, self.saga_id, self.epoch)
            except Exception as error:
                if count is not None and is_away(error):
                    self._uncount(count)
                raise
            if isinstance(admitted, Drop):
                if count is not None:
                    self._uncount(count)
                return admitted
            saga, row = admitted
            if count is not None and not row.stands_as(count):
                return Drop("moved meanwhile")
            if row.dispatches > 1 and count is None:
                session.give_back()
                late = self._count()
                return self._attempt(began, late) if isinstance(late, Row) else late
            before, row = row, row if count is not None else counted(row)
            try:
                event, state = self._work(saga, row, session)
                if not isinstance(event, Succeeded):
                    # What waits leaves nothing behind: its SQL is rolled back.
                    session.give_back()
                    return self._settle_apart(before, row, event, self._by(began))
                by = replace(self._by(began), state=state)
                followup = self.runtime.settle(connection, saga, row, event, by)
                session.settle()
            except Exception as error:
                session.give_back()
                if is_away(error):
                    if count is not None:
                        self._uncount(count)
                    raise
                by = replace(self._by(began), error=error)
                return self._settle_apart(before, row, _failed(saga, row, error), by)
            else:
                return followup
        finally:
            session.give_back()

    def _work(
        self, saga: Saga[Any], row: Row, session: StepSession
    ) -> tuple[Succeeded | Accepted | WaitsForSignal | Sleeps, dict[str, Any] | None]:
        state = saga.state.model_validate(row.state)
        if isinstance(self.place.work, Transactional):
            new = self.place.work(state, session)
            if isinstance(new, Wait | SleepUntil):
                return waits(saga, new), None
            session.flush_whole()
            return Succeeded(), returned(saga.state, self.place.work, new)
        assert isinstance(self.place.work, TransactionalCompensation)
        known = forward(row)
        told_nothing(self.place.work, self.place.work(state, session, known))
        session.flush_whole()
        return Succeeded(known.effect), None

    def _settle_apart(
        self, before: Row, row: Row, event: Event | Fail, by: Circumstances
    ) -> Followup:
        """Record what left nothing behind in a transaction of its own; the step's is rolled back.

        ``before`` is the row as it was admitted, ``row`` the same with this attempt counted in.
        """
        with committing(self.runtime.database) as connection:
            admitted = self.runtime.admit(connection, self.place, self.saga_id, self.epoch)
            if isinstance(admitted, Drop):
                return admitted
            saga, now = admitted
            if not now.stands_as(before):
                return Drop("moved meanwhile")
            now = replace(now, attempt=row.attempt)
            if isinstance(event, Fail):
                return apply(connection, saga, now, event, by)
            return self.runtime.settle(connection, saga, now, event, by)

    def _by(self, began: float | None = None) -> Circumstances:
        return Circumstances(
            timing=self.runtime.timing,
            in_chain=True,
            task_id=self.delivery.task_id,
            worker=self.delivery.worker,
            duration=None if began is None else timedelta(seconds=time.monotonic() - began),
        )


def _failed(saga: Saga[Any], row: Row, error: Exception) -> Event | Fail:
    if isinstance(error, ValidationError) and error.title == saga.state.__name__:
        return broken_state(saga, row)
    return failure(error, external=False)
