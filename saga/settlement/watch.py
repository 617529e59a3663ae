"""Carries out what recovery and latecomers bring: dispatched, looked at again, noted."""

from typing import Any

from sqlalchemy import Connection

from saga import store
from saga.circumstances import Circumstances
from saga.definition import Saga
from saga.followup import Drop, Followup, Park, Publish
from saga.moves import Dispatch, Note
from saga.position import Status, WaitingFor
from saga.routing import publication
from saga.row import Row
from saga.settlement.landing import landed, raise_alarm
from saga.task import Effect


def dispatch(
    connection: Connection, saga: Saga[Any], row: Row, move: Dispatch, by: Circumstances
) -> Followup:
    probing = row.waiting_for in {WaitingFor.PROBE, WaitingFor.SECOND_LOOK}
    lost_call = move.taken_over and row.status is Status.RUNNING and not probing
    alarm = f"{row.step} is past the saga's time and cannot go back" if move.overdue else None
    moved = store.dispatch(
        connection,
        row,
        by.record(_kind(move), **({"alarm": alarm} if alarm else {})),
        patience=by.timing.patience,
        effects={row.step: Effect.UNKNOWN} if lost_call else {},
        overdue=move.overdue,
        raise_epoch=1 if move.taken_over or move.hurried else 0,
        call_ended_at=row.claim_deadline if lost_call else None,
        error=f"the worker of {row.step} was lost in attempt {row.attempt}" if lost_call else None,
    )
    if alarm:
        raise_alarm(saga, row, alarm)
    return Publish(publication(saga, landed(moved)))


def look_again(connection: Connection, row: Row, by: Circumstances) -> Followup:
    looks = by.timing.second_looks
    next_look = looks[row.looks + 1] if row.looks + 1 < len(looks) else None
    landed(store.look_again(connection, row, by.record("looked_again"), next_look=next_look))
    return Park()


def _kind(move: Dispatch) -> str:
    if move.hurried:
        return "retried"
    if move.taken_over:
        return "taken_over"
    return "overdue" if move.overdue else "dispatched"


def note(
    connection: Connection, saga: Saga[Any], row: Row, move: Note, by: Circumstances
) -> Followup:
    record = by.record("late_success", alarm=move.alarm)
    stands = landed(store.note(connection, row, record, effects=move.effects))
    if move.alarm:
        raise_alarm(saga, stands, move.alarm)
    return Drop("claim was lost")
