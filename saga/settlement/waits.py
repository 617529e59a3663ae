"""Carries out waits, and what a signal brings."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from saga import queries, store
from saga.circumstances import Circumstances
from saga.definition import Saga
from saga.errors import StepMisbehaved
from saga.followup import Drop, Followup, Park, Publish
from saga.masking import replaced
from saga.moves import Fail, TakeIn, WaitFor, WaitOn
from saga.position import WaitingFor
from saga.queries import StoredSignal
from saga.routing import publication
from saga.row import Row
from saga.settlement import back
from saga.settlement.landing import broken_state, landed, raise_alarm

_KINDS = {
    WaitingFor.POLL: "accepted",
    WaitingFor.SIGNAL: "waiting",
    WaitingFor.SLEEP: "sleeping",
}


def wait_for(
    connection: Connection, saga: Saga[Any], row: Row, move: WaitFor, by: Circumstances
) -> Followup:
    """Park; but a signal that came before is taken in at once."""
    signal = {"signal": move.signal} if move.signal else {}
    moved = store.wait(
        connection,
        row,
        by.record(_KINDS[move.what], again_seconds=move.after.total_seconds(), **signal),
        what=move.what,
        signal=move.signal,
        reason=move.reason,
        effects={row.step: move.effect},
        after=move.after,
        called=saga.step(row.step).is_external,
    )
    stands = landed(moved)
    if move.signal is None:
        return Park()
    early = queries.first_signal(connection, row.saga_id, name=move.signal)
    if early is None:
        return Park()
    takes = TakeIn(accepted=saga.step(row.step).is_external)
    return take_in(connection, saga, stands, takes, replace(by, signal=early, detail={}))


def take_in(
    connection: Connection, saga: Saga[Any], row: Row, move: TakeIn, by: Circumstances
) -> Followup:
    """Let the definition's signal change the state, and call the step again."""
    signal = by.signal
    assert signal is not None, "a signal is taken in when there is one"
    try:
        state = saga.state.model_validate(row.state)
    except ValidationError as error:
        return back.fail(connection, saga, row, broken_state(saga, row), replace(by, error=error))
    try:
        new = _told(saga, state, signal)
    except Exception as error:  # noqa: BLE001 - whatever a definition's function raises
        advice = (
            f"the signal {signal.name} ({signal.signal_id}) cannot be taken in by {row.step}: "
            "mend the function of the signal, then retry"
        )
        return back.fail(connection, saga, row, Fail(advice=advice), replace(by, error=error))
    store.consume_signal(connection, signal.number)
    values = new.model_dump(mode="json")
    moved = store.take_in(
        connection,
        row,
        by.record(
            "signalled",
            signal=signal.name,
            signalId=signal.signal_id,
            **replaced(saga, row.state, values),
        ),
        state=values,
        accepted=move.accepted,
        patience=by.timing.patience,
    )
    stands = landed(moved)
    return Park() if stands.paused else Publish(publication(saga, stands))


def _told(saga: Saga[Any], state: BaseModel, signal: StoredSignal) -> BaseModel:
    """The state with what the signal tells."""
    known = saga.signal(signal.name)
    if known is None:
        raise StepMisbehaved(f"{saga.name} has no signal {signal.name!r}")
    new: object = known(state, known.payload.model_validate(signal.payload))
    if not isinstance(new, saga.state):
        raise StepMisbehaved(f"the signal {signal.name} must return a {saga.state.__name__}")
    assert isinstance(new, BaseModel)
    return new


def keep(connection: Connection, row: Row, by: Circumstances) -> Followup:
    """A signal that nothing waits for yet stays until something does."""
    assert by.signal is not None, "a signal is kept when there is one"
    record = by.record("signal_received", signal=by.signal.name, signalId=by.signal.signal_id)
    landed(store.note(connection, row, record, effects={}))
    return Drop("nothing waits for it yet")


def wait_on(
    connection: Connection, saga: Saga[Any], row: Row, move: WaitOn, by: Circumstances
) -> Followup:
    """Nothing ended the wait; its saga's time may be over."""
    if move.overdue:
        alarm = f"{row.step} is past the saga's time and cannot go back"
        landed(store.wait_on(connection, row, by.record("overdue", alarm=alarm)))
        raise_alarm(saga, row, alarm)
    elif row.not_before is not None:
        store.postpone(connection, row, after=row.not_before - row.now)
    return Park()
