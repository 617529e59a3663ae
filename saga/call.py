"""Runs an external step, compensation or probe: claim, call outside any transaction, settle."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, assert_never
from uuid import UUID, uuid4

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from saga import queries, store
from saga.circumstances import Circumstances, plain
from saga.crashpoints import around
from saga.database import committing, is_away
from saga.definition import Saga, Work
from saga.errors import NeedsPerson
from saga.followup import Drop, Followup, Next, Park
from saga.heartbeat import heartbeat
from saga.moves import Fail
from saga.position import (
    Accepted,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    LateSuccess,
    PersonNeeded,
    Succeeded,
    WaitsForSignal,
)
from saga.registry import Kind, Place
from saga.reporting import Progress, reporting
from saga.row import Row
from saga.runtime import Delivery, Runtime, failure, forward, hold, returned, told_nothing, waits
from saga.settlement import apply, broken_state
from saga.task import (
    CannotTell,
    DidNotHappen,
    Effect,
    External,
    ExternalCompensation,
    Finding,
    Happened,
    IdempotencyKey,
    Probe,
)
from saga.waiting import PollAgain, Waits

log = structlog.get_logger("saga")

_SETTLE_PAUSE = 0.2
_LONGEST_SETTLE_PAUSE = 2.0
_MOST_SETTLE_FAILURES = 2

# After an event of these kinds the chain that brought it goes on.
_GOES_ON = frozenset({"step_done", "step_skipped", "step_compensated"})


@dataclass(frozen=True)
class Answer:
    """What a call came to: an event for ``decide``, and what goes into the row and the event."""

    event: Event | Fail
    state: Mapping[str, Any] | None = None
    error: Exception | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    key: IdempotencyKey | None = None


@dataclass(frozen=True)
class Call:
    """One delivery of a task that calls another system."""

    runtime: Runtime
    place: Place
    saga_id: UUID
    epoch: int
    delivery: Delivery

    def run(self) -> Followup:
        token = uuid4()
        try:
            claimed = self._claim(token)
        except Exception as error:
            if is_away(error):
                return hold(error)
            raise
        if isinstance(claimed, Drop):
            return claimed
        saga, row = claimed
        began = time.monotonic()
        progress = Progress()
        with heartbeat(
            self.runtime.database,
            row,
            token=token,
            lease=self.runtime.timing.lease,
            progress=progress,
            # Without the claim: an event that names it tells that the call is settled.
            record=replace(self._by(token), detail={}).record("progress"),
        ):
            with reporting(progress):
                answer = replace(self._answer(saga, row), key=row.key)
            by = replace(
                self._by(token),
                state=answer.state,
                error=answer.error,
                duration=timedelta(seconds=time.monotonic() - began),
                detail={"claim": str(token), **progress.detail(), **answer.detail},
            )
            return self._settle_until(began + self._limit.total_seconds(), token, answer, by)

    @property
    def _limit(self) -> timedelta:
        """The hard limit: what is still running then is killed."""
        return self.place.limit + self.runtime.timing.grace

    def _claim(self, token: UUID) -> tuple[Saga[Any], Row] | Drop:
        with committing(self.runtime.database) as connection:
            admitted = self.runtime.admit(connection, self.place, self.saga_id, self.epoch)
            if isinstance(admitted, Drop):
                return admitted
            saga, row = admitted
            # The key is stored before the first call, so that anybody can ask for it afterwards.
            detail = {"claim": str(token), "key": row.key, "task": self.place.work.name}
            moved = store.claim(
                connection,
                row,
                replace(self._by(token), detail=detail).record("attempt_started"),
                token=token,
                lease=self.runtime.timing.lease,
                limit=self._limit,
            )
            return (saga, moved) if moved is not None else Drop("moved meanwhile")

    def _answer(self, saga: Saga[Any], row: Row) -> Answer:
        """Call the other system; every error is an answer too."""
        try:
            state = saga.state.model_validate(row.state)
        except ValidationError as error:
            return Answer(broken_state(saga, row), error=error)
        try:
            with around("call"):
                return self._call(saga, state, row)
        except Exception as error:  # noqa: BLE001 - whatever a step raises is its outcome
            return self._failure(error)

    def _failure(self, error: Exception) -> Answer:
        if self.place.kind is Kind.PROBE and not isinstance(error, NeedsPerson):
            return Answer(FoundNoAnswer(), error=error)
        return Answer(failure(error, external=True), error=error)

    def _call(self, saga: Saga[Any], state: Any, row: Row) -> Answer:
        work = self.place.work
        match work:
            case External():
                result = work(state, row.key)
                if isinstance(result, Waits):
                    detail = {"reason": plain(result.reason)} if result.reason else {}
                    return Answer(waits(saga, result), detail=detail)
                return Answer(Succeeded(), state=returned(saga.state, work, result))
            case ExternalCompensation():
                known = forward(row)
                told_nothing(work, work(state, known))
                return Answer(Succeeded(known.effect))
            case Probe():
                return _found(saga, work, work(state, row.key))
        raise TypeError(f"{work.name} is not a call")

    def _settle_until(
        self, deadline: float, token: UUID, answer: Answer, by: Circumstances
    ) -> Followup:
        """Settle; while the database is away, keep the answer in hand and try again."""
        pause, failures = _SETTLE_PAUSE, 0
        while True:
            try:
                with committing(self.runtime.database) as connection:
                    return self._settle(connection, token, answer, by)
            except Exception as error:
                if not is_away(error):
                    # A soft time limit may strike just here, once. What fails twice cannot be
                    # stored as it is.
                    failures += 1
                    if failures > _MOST_SETTLE_FAILURES:
                        raise
                    if failures == _MOST_SETTLE_FAILURES:
                        answer = replace(self._failure(error), key=answer.key)
                        by = replace(by, state=None, error=error)
                if time.monotonic() + pause > deadline:
                    log.warning("answer lost with the database", saga_id=str(self.saga_id))
                    return Park()
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_SETTLE_PAUSE)

    def _settle(
        self, connection: Connection, token: UUID, answer: Answer, by: Circumstances
    ) -> Followup:
        row = queries.lock_claim(connection, self.saga_id, epoch=self.epoch, token=token)
        if row is None:
            return self._refused_settle(connection, token, answer, by)
        saga = self.runtime.registry.find(row.saga_type, row.definition_version)
        assert saga is not None, "it was known when the claim was made"
        event = answer.event
        if isinstance(event, Fail):
            return apply(connection, saga, row, event, by)
        if isinstance(event, FoundNothing) and row.claim_deadline is not None:
            # The row keeps no other instant of the asking than that of its claim.
            event = FoundNothing(asked_at=row.claim_deadline - self._limit)
        return self.runtime.settle(connection, saga, row, event, by)

    def _refused_settle(
        self, connection: Connection, token: UUID, answer: Answer, by: Circumstances
    ) -> Followup:
        """Either an earlier try landed and only its answer was lost, or the claim was."""
        settled = queries.has_settled(connection, self.saga_id, token=token)
        if settled is not None:
            return Next() if settled in _GOES_ON else Park()
        late = _took_effect(answer.event) and self.place.kind is Kind.ACTION
        row = queries.lock(connection, self.saga_id) if late else None
        saga = self.runtime.registry.find(row.saga_type, row.definition_version) if row else None
        if row is None or saga is None:
            return Drop("claim was lost")
        under_old_key = answer.key != row.key_of(self.place.step)
        event = LateSuccess(self.place.step, under_old_key=under_old_key)
        self.runtime.settle(connection, saga, row, event, replace(by, in_chain=False, state=None))
        return Drop("claim was lost")

    def _by(self, token: UUID) -> Circumstances:
        return Circumstances(
            timing=self.runtime.timing,
            in_chain=self.place.kind is not Kind.PROBE,
            task_id=self.delivery.task_id,
            worker=self.delivery.worker,
            detail={"claim": str(token)},
        )


def _took_effect(event: Event | Fail) -> bool:
    """Whether the other system did it, or took the order and may still do it."""
    if isinstance(event, PersonNeeded):
        return event.effect is Effect.UNKNOWN
    return isinstance(event, Succeeded | Accepted | WaitsForSignal)


def _found(saga: Saga[Any], work: Work, finding: Finding[Any]) -> Answer:
    match finding:
        case Happened(state):
            return Answer(FoundDone(), state=returned(saga.state, work, state))
        case DidNotHappen():
            return Answer(FoundNothing(), detail={"found": "nothing"})
        case CannotTell(reason):
            return Answer(FoundNoAnswer(), detail={"found": plain(f"cannot tell: {reason}")})
        case PollAgain(reason=reason):
            return Answer(waits(saga, finding), detail={"found": plain(reason)})
    # What a probe must not answer is no answer.
    assert_never(finding)
