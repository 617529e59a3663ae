"""What beat runs: finds the sagas whose time has come, and moves them on.

It never runs business code. Any number may run at once; each row is locked, decided and committed
by itself, and published after its commit.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from saga import queries, standstill, store
from saga.circumstances import Circumstances
from saga.database import committing
from saga.decide import decide
from saga.definition import Saga
from saga.engine import Engine
from saga.errors import SignalMissed
from saga.followup import BrokerAway, Followup, Lane, Publish
from saga.logs import log_error
from saga.moves import Dispatch, Effects, Move, Pause
from saga.position import RESTING, Due, Status, WaitingFor
from saga.routing import lane
from saga.row import Row
from saga.settlement import apply
from saga.settlement.interventions import resume
from saga.standstill import EndedPause
from saga.task import Effect

log = structlog.get_logger("saga")

PULSE = "recovery"
_STUCK_AFTER = timedelta(minutes=1)
_MOST_STUCK = 20
# Whoever met a pause just before it ended has committed that by then.
_PAUSE_SETTLES = timedelta(minutes=1)


@dataclass
class Pass:
    """What one pass did."""

    due: int = 0
    published: int = 0
    resumed: int = 0
    failed: int = 0
    stuck: list[UUID] = field(default_factory=list)
    lengths: dict[Lane, int] = field(default_factory=dict)


class Recovery:
    """The lifeline of an engine's sagas."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._timing = engine.timing
        self._stuck: set[UUID] = set()

    def scan(self) -> Pass:
        """One bounded pass over the due sagas; one bad row cannot stop it.

        Stops early when the broker is away: what is not published stays due.
        """
        done = Pass()
        self._lift(done)
        with committing(self._engine.database) as connection:
            due = queries.due(connection, lease=self._timing.lease, most=self._timing.batch)
        for saga_id in due:
            try:
                self._look_at(saga_id, done)
            except BrokerAway as away:
                log.warning("broker away, the pass stops", why=str(away))
                break
            except Exception as error:  # noqa: BLE001 - one bad row cannot stop the pass
                done.failed += 1
                why = "recovery cannot move this saga"
                log_error(log, "alarm", error, saga_id=str(saga_id), why=why)
                self._put_off(saga_id)
        self._report(done)
        return done

    def _lift(self, done: Pass) -> None:
        """Let the sagas of ended pauses go on, a bounded number a pass."""
        with committing(self._engine.database) as connection:
            ended = standstill.ended_pauses(connection, settling=_PAUSE_SETTLES)
        for pause in ended:
            with committing(self._engine.database) as connection:
                stood = standstill.stood_still(connection, pause, most=self._timing.batch)
                if not stood and not pause.is_settling:
                    store.lift(connection, pause.number)
            for saga_id in stood:
                try:
                    self._resume(pause, saga_id, done)
                except BrokerAway as away:
                    log.warning("broker away, nothing more is resumed", why=str(away))
                    return
                except Exception as error:  # noqa: BLE001 - nor can one that is resumed
                    done.failed += 1
                    log_error(log, "alarm", error, saga_id=str(saga_id), why="it cannot be resumed")

    def _resume(self, pause: EndedPause, saga_id: UUID, done: Pass) -> None:
        with committing(self._engine.database) as connection:
            found = standstill.lock_stood_still(connection, pause, saga_id)
            if found is None:
                return
            row, stood = found
            told = replace(
                self._by, actor=pause.resumed_by, detail={"because": pause.resume_reason}
            )
            followup = resume(connection, self._definition(row), row, told, stood=stood)
        done.resumed += 1
        if isinstance(followup, Publish):
            self._engine.publish(followup.publication)
            done.published += 1

    def _definition(self, row: Row) -> Saga[Any] | None:
        saga = self._engine.registry.find(row.saga_type, row.definition_version)
        known = saga is not None and any(step.name == row.step for step in saga.steps)
        return saga if known else None

    def _look_at(self, saga_id: UUID, done: Pass) -> None:
        with committing(self._engine.database) as connection:
            row = queries.lock_due(connection, saga_id, lease=self._timing.lease)
            if row is None:
                return
            followup = self._move(connection, row, done)
        done.due += 1
        if isinstance(followup, Publish):
            self._engine.publish(followup.publication)
            done.published += 1

    def _move(self, connection: Connection, row: Row, done: Pass) -> Followup | None:
        saga = self._definition(row)
        if saga is None:
            self._unknown(connection, row)
            return None
        if (row.paused is not None or row.pause is not None) and not row.claimed:
            self._stand_still(connection, saga, row)
            return None
        move = decide(saga, row, Due())
        if self._is_on_its_way(row, move, done):
            store.postpone(connection, row, after=self._timing.patience)
            return None
        by = self._by
        if row.waiting_for is WaitingFor.SIGNAL and row.signal and not row.is_waiting:
            by = replace(by, error=SignalMissed(row.signal))
        return apply(connection, saga, row, move, by)

    def _stand_still(self, connection: Connection, saga: Saga[Any], row: Row) -> None:
        """Nothing wakes a paused saga but its resumption; a second look waits for that, too."""
        if row.status in RESTING:
            store.postpone(connection, row, after=self._timing.unknown_again)
        elif row.paused is None and row.pause is not None:
            apply(connection, saga, row, Pause(row.pause), self._by)
        else:
            store.sit(connection, row)

    def _is_on_its_way(self, row: Row, move: Move, done: Pass) -> bool:
        """Whether the saga's message, sent before, may still wait behind many others."""
        if not isinstance(move, Dispatch) or move.taken_over or move.overdue:
            return False
        if row.dispatches == 0:
            return False
        where = lane(row)
        if where not in done.lengths:
            done.lengths[where] = self._engine.publisher.waiting(where)
        return done.lengths[where] > self._timing.short_queue

    @property
    def _by(self) -> Circumstances:
        return Circumstances(timing=self._timing, in_chain=False, worker="recovery")

    def _unknown(self, connection: Connection, row: Row) -> None:
        """Leave a saga that nobody here knows alone: a rolling deploy mends itself."""
        what = f"{row.saga_type} version {row.definition_version}, step {row.step}"
        since = row.unknown_since or row.now
        if row.now - since >= self._timing.unknown_for and row.status not in RESTING:
            advice = f"no worker knew {what}: find out why its definition is not deployed"
            record = self._by.record("failed", alarm=advice)
            store.fail(connection, row, record, effects=_left_behind(row), error=advice)
        elif row.unknown_since is None:
            record = self._by.record("unknown_definition", alarm=f"nobody here knows {what}")
            store.miss_definition(connection, row, record, again=self._timing.unknown_again)
        else:
            store.postpone(connection, row, after=self._timing.unknown_again)
        log.error("alarm", saga_id=str(row.saga_id), why=f"nobody here knows {what}")

    def _put_off(self, saga_id: UUID) -> None:
        try:
            with committing(self._engine.database) as connection:
                store.put_off(connection, saga_id, after=self._timing.patience)
        except SQLAlchemyError as error:
            log_error(log, "could not put the saga off", error, saga_id=str(saga_id))

    def _report(self, done: Pass) -> None:
        """Show that recovery is alive, and which sagas it cannot get hold of."""
        with committing(self._engine.database) as connection:
            done.stuck = queries.due_since(connection, since=_STUCK_AFTER, most=_MOST_STUCK)
            detail = {
                "due": done.due,
                "published": done.published,
                "failed": done.failed,
                "stuck": [str(saga_id) for saga_id in done.stuck],
            }
            store.beat(connection, PULSE, detail)
        # Once, not every two seconds for as long as it lasts.
        for saga_id in set(done.stuck) - self._stuck:
            log.error("alarm", saga_id=str(saga_id), why="due for a minute, but its row is locked")
        self._stuck = set(done.stuck)


def _left_behind(row: Row) -> Effects:
    """What the call of a lost worker may have done, where no definition tells more."""
    probing = row.waiting_for in {WaitingFor.PROBE, WaitingFor.SECOND_LOOK}
    lost_call = row.claimed and row.status is Status.RUNNING and not probing
    return {row.step: Effect.UNKNOWN} if lost_call else {}
