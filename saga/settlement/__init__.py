"""Carries out a move: one statement through the store, and what is to be done after the commit."""

from typing import Any, assert_never

from sqlalchemy import Connection

from saga.circumstances import Circumstances
from saga.definition import Saga
from saga.followup import Followup
from saga.moves import (
    Advance,
    AskProbe,
    Compensate,
    Complete,
    Dispatch,
    Fail,
    Keep,
    LookAgain,
    Move,
    Note,
    Pause,
    Reopen,
    Resolve,
    Rest,
    Resume,
    Retry,
    Stop,
    TakeIn,
    WaitFor,
    WaitOn,
)
from saga.row import Row
from saga.settlement import back, forward, interventions, waits, watch
from saga.settlement.landing import broken_state

__all__ = ["apply", "broken_state"]


def apply(  # noqa: PLR0912 - one line a move
    connection: Connection, saga: Saga[Any], row: Row, move: Move, by: Circumstances
) -> Followup:
    """Write the move of a locked row and its event; say what follows the commit.

    Raises MovedMeanwhile, having written nothing, when the row is not as it was read.
    """
    match move:
        case Advance():
            return forward.advance(connection, saga, row, move, by)
        case Complete():
            return forward.complete(connection, saga, row, move, by)
        case Retry():
            return forward.retry(connection, saga, row, move, by)
        case AskProbe():
            return forward.ask_probe(connection, saga, row, move, by)
        case WaitFor():
            return waits.wait_for(connection, saga, row, move, by)
        case TakeIn():
            return waits.take_in(connection, saga, row, move, by)
        case Keep():
            return waits.keep(connection, row, by)
        case WaitOn():
            return waits.wait_on(connection, saga, row, move, by)
        case Compensate():
            return back.compensate(connection, saga, row, move, by)
        case Rest():
            return back.rest(connection, saga, row, move, by)
        case Fail():
            return back.fail(connection, saga, row, move, by)
        case Dispatch():
            return watch.dispatch(connection, saga, row, move, by)
        case LookAgain():
            return watch.look_again(connection, row, by)
        case Note():
            return watch.note(connection, saga, row, move, by)
        case Stop():
            return interventions.stop(connection, row, move, by)
        case Resolve():
            return interventions.resolve(connection, row, move, by)
        case Pause():
            return interventions.pause(connection, row, move, by)
        case Resume():
            return interventions.resume(connection, saga, row, by)
        case Reopen():
            reopened, followup = interventions.reopen(connection, saga, row, move, by)
            if move.then is None:
                return followup
            return apply(connection, saga, reopened, move.then, by)
    assert_never(move)
