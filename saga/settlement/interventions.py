"""Carries out what operators decide."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from saga import store
from saga.circumstances import Circumstances
from saga.definition import Saga
from saga.followup import Followup, Park, Publish
from saga.moves import Pause, Reopen, Resolve, Stop
from saga.position import Intervention, Status, WaitingFor
from saga.routing import publication
from saga.row import Row
from saga.settlement.landing import landed

_KINDS = {
    Intervention.RETRY: "retried",
    Intervention.COMPENSATE: "compensation_ordered",
    Intervention.RESOLVE: "resolved",
}


def stop(connection: Connection, row: Row, move: Stop, by: Circumstances) -> Followup:
    """Whoever has the claim, or its probe, obeys it."""
    record = by.record("stopping", reason=move.reason)
    landed(store.stop(connection, row, record, reason=move.reason))
    return Park()


def resolve(connection: Connection, row: Row, move: Resolve, by: Circumstances) -> Followup:
    landed(store.note(connection, row, by.record("resolved"), effects=move.effects))
    return Park()


def reopen(
    connection: Connection, saga: Saga[Any], row: Row, move: Reopen, by: Circumstances
) -> tuple[Row, Followup]:
    """The row as it goes on, and its publication, if no other move comes first."""
    step = saga.step(row.step)
    going_back = move.status is Status.COMPENSATING
    policy = step.compensation_retry if going_back else step.retry
    generations = {row.step: row.generations.get(row.step, 1) + 1} if move.new_key else {}
    moved = store.reopen(
        connection,
        row,
        by.record(
            _KINDS[move.by], **({"generation": generations[row.step]} if generations else {})
        ),
        status=move.status,
        reason=move.reason,
        effects=move.effects,
        generations=generations,
        max_retries=policy.retries,
        timeout=saga.timeout,
        patience=by.timing.patience,
    )
    stands = landed(moved)
    return stands, Publish(publication(saga, stands))


def pause(connection: Connection, row: Row, move: Pause, by: Circumstances) -> Followup:
    record = by.record("paused", what=move.what)
    landed(store.pause(connection, row, record, what=move.what))
    return Park()


def resume(
    connection: Connection,
    saga: Saga[Any] | None,
    row: Row,
    by: Circumstances,
    *,
    stood: timedelta = timedelta(0),
) -> Followup:
    """Publish what may go on at once; ``stood`` is how long its clock stood, if only that.

    A saga that this process does not know is left to those that do.
    """
    waits = _waits_on(row, since=row.paused_at or row.now - stood)
    goes_on = not row.claimed and not waits
    moved = store.resume(
        connection,
        row,
        by.record("resumed"),
        stood=stood,
        waits=waits,
        dispatches=1 if goes_on else row.dispatches,
        patience=by.timing.patience,
    )
    stands = landed(moved)
    if saga is None or not goes_on:
        return Park()
    return Publish(publication(saga, stands))


def _waits_on(row: Row, *, since: datetime) -> bool:
    """Whether a wait of its own is left to a saga whose clock stood ``since`` then.

    That for a signal stood still with it; any other went on.
    """
    stood_still = row.waiting_for is WaitingFor.SIGNAL
    return row.not_before is not None and row.not_before > (since if stood_still else row.now)
