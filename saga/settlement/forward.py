"""Carries out the way forward: advance, complete, try again, ask the probe."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from saga import store
from saga.circumstances import Circumstances, describe
from saga.decide import can_stop
from saga.definition import Saga
from saga.followup import Followup, Next, Park, Publish, RetryIn
from saga.masking import replaced
from saga.moves import Advance, AskProbe, Complete, Retry, Skipped
from saga.position import Status, WaitingFor
from saga.routing import publication
from saga.row import Row
from saga.settlement.landing import landed, log, told
from saga.store import Record
from saga.task import Effect

# The message that waits may come a little early by another host's clock.
_CLOCK_SLACK = timedelta(milliseconds=500)


def _state(row: Row, by: Circumstances) -> Mapping[str, Any]:
    return row.state if by.state is None else by.state


def complete(
    connection: Connection, saga: Saga[Any], row: Row, move: Complete, by: Circumstances
) -> Followup:
    skipped, state = move.skipped, _state(row, by)
    if skipped is None:
        record = by.record("completed", **replaced(saga, row.state, state))
    else:
        record = _skipped(row, skipped, by, last=True)
    landed(
        store.complete(
            connection,
            row,
            record,
            state=state,
            effects={**move.effects, row.step: skipped.effect if skipped else Effect.DONE},
            raise_epoch=_raise_epoch(row, skipped, by),
        )
    )
    return Next()


def advance(
    connection: Connection, saga: Saga[Any], row: Row, move: Advance, by: Circumstances
) -> Followup:
    index, skipped, state = saga.index(move.to), move.skipped, _state(row, by)
    if skipped is None:
        record = by.record("step_done", **replaced(saga, row.state, state))
    else:
        record = _skipped(row, skipped, by, last=False)
    moved = store.advance(
        connection,
        row,
        record,
        state=state,
        effects={row.step: skipped.effect if skipped else Effect.DONE},
        step=move.to,
        index=index,
        max_retries=saga.steps[index].retry.retries,
        raise_epoch=_raise_epoch(row, skipped, by),
        patience=by.timing.patience,
    )
    stands = landed(moved)
    return Next() if by.in_chain else Publish(publication(saga, stands))


def _skipped(row: Row, skipped: Skipped, by: Circumstances, *, last: bool) -> Record:
    """The one place that keeps the error: the row's is of the step in hand."""
    earlier = {"error": row.error_message} if by.error is None and row.error_message else {}
    completed = {"completed": True} if last else {}
    log.warning("step skipped", saga_id=str(row.saga_id), step=row.step, why=skipped.why)
    return by.record(
        "step_skipped", reason=skipped.why, effect=skipped.effect.value, **earlier, **completed
    )


def _raise_epoch(row: Row, skipped: Skipped | None, by: Circumstances) -> int:
    """A lost worker whose step is skipped may come back: what it was sent must not act."""
    return 1 if skipped is not None and row.claimed and not by.in_chain else 0


def retry(
    connection: Connection, saga: Saga[Any], row: Row, move: Retry, by: Circumstances
) -> Followup:
    # A short wait is a delayed message; should it be lost, recovery comes a patience later.
    held = by.in_chain and move.after <= by.timing.longest_hold
    looking = row.waiting_for is WaitingFor.SECOND_LOOK
    moved = store.retry(
        connection,
        row,
        by.record("attempt_failed", again_seconds=move.after.total_seconds()),
        attempt=row.attempt,
        error=describe(by.error) if by.error and not looking else row.error_message or "",
        effects={row.step: move.effect},
        not_before=max(move.after - _CLOCK_SLACK, timedelta(0)),
        wake=move.after + by.timing.patience if held else move.after,
        time_ends=row.status is Status.RUNNING and can_stop(saga, row),
        dispatches=row.dispatches if held else 0,
    )
    landed(moved)
    if not held:
        return Park()
    return RetryIn(move.after, told(saga, row, by.error) if by.error else None)


def ask_probe(
    connection: Connection, saga: Saga[Any], row: Row, move: AskProbe, by: Circumstances
) -> Followup:
    now = move.after <= timedelta(0)
    asked_before = row.waiting_for is WaitingFor.PROBE
    lost = row.claimed and not by.in_chain and not asked_before
    moved = store.ask_probe(
        connection,
        row,
        by.record("probe_planned", probe=move.probe, after_seconds=move.after.total_seconds()),
        reason=move.reason,
        effects={} if asked_before else {row.step: Effect.UNKNOWN},
        attempt=row.attempt if asked_before else 0,
        error=describe(by.error) if by.error else None,
        call_ended_at=_call_ended_at(row, lost=lost),
        raise_epoch=1 if lost else 0,
        dispatches=1 if now else 0,
        after=move.after,
        wake=by.timing.patience if now else move.after,
    )
    return Publish(publication(saga, landed(moved))) if now else Park()


def _call_ended_at(row: Row, *, lost: bool) -> datetime | None:
    """A lost worker may still be calling until its hard limit; else the row or the clock knows."""
    if lost:
        return row.claim_deadline
    if row.waiting_for is WaitingFor.PROBE:
        return row.call_ended_at
    return row.now if row.claimed else row.call_ended_at
