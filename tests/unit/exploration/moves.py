"""What ``saga.settlement`` and ``saga.store`` make of a row, statement by statement.

``test_the_model_does_to_a_row_what_the_store_does`` holds both together.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

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
    Skipped,
    Stop,
    TakeIn,
    WaitFor,
    WaitOn,
)
from saga.task import Effect
from saga.timing import Timing
from tests.unit.exploration.model import (
    BY_SAGA,
    COMPENSATING,
    COMPLETED,
    FAILED,
    POLL,
    PROBE,
    RUNNING,
    SECOND_LOOK,
    SLEEP,
    Ended,
    Row,
    Small,
)

_LOOKS = len(Timing().second_looks)
_HOLD = Timing().longest_hold


class By(NamedTuple):
    """Circumstances: does a chain go on when the task returns, and was there an error?"""

    in_chain: bool
    error: bool


def apply(  # noqa: PLR0912 - one case a move
    small: Small, row: Row, move: Move, by: By
) -> tuple[Row, bool, bool]:
    """The row, whether a message follows the commit, whether the epoch rose."""
    free = row._replace(claimed=False)
    effects = _with(small, row.effects, getattr(move, "effects", {}))
    name = small.names[row.step]
    fresh = free._replace(attempt=0, early=False, waiting_for=None, signal=False)
    match move:
        case Advance(to, skipped):
            lost = skipped is not None and row.claimed and not by.in_chain
            return _advance(small, fresh, to, skipped), True, lost
        case Complete(skipped=skipped):
            done = _with(small, effects, {name: _left(skipped)})
            ended = free._replace(status=COMPLETED, waiting_for=None, early=False, effects=done)
            ended = ended._replace(stop_reason=None, signal=False, paused=None, failed_from=None)
            return ended, False, skipped is not None and row.claimed and not by.in_chain
        case Retry(after=after, effect=effect):
            held = by.in_chain and after <= _HOLD
            kept = _with(small, row.effects, {name: effect})
            waits = free._replace(effects=kept, ended=Ended.JUST_NOW, early=True)
            if row.waiting_for == SLEEP:
                waits = waits._replace(waiting_for=None)
            return waits._replace(dispatches=row.dispatches if held else 0), held, False
        case WaitFor():
            return _wait_for(small, free, move)
        case TakeIn(accepted=accepted):
            return _take_in(row, accepted=accepted)
        case Keep():
            return row._replace(words=row.words + 1), False, False
        case WaitOn(overdue=overdue):
            return row._replace(overdue=row.overdue or overdue), False, False
        case AskProbe():
            return _ask_probe(small, row, move, by)
        case Compensate(step=step, reason=reason, look_at=look_at):
            going_back = row.status == COMPENSATING
            by_link_error = by.in_chain and not going_back and by.error
            back = _own_pause(fresh)._replace(
                status=COMPENSATING,
                step=small.names.index(step),
                stop_reason=reason.value,
                effects=effects,
                look_at=small.names.index(look_at) if look_at else row.look_at,
                dispatches=0 if by_link_error else 1,
                ended=Ended.NEVER,
            )
            return back, not by_link_error, not going_back
        case Rest():
            return _rest(small, free, move, effects), False, True
        case Fail():
            parked = _fail(small, free, move, effects)
            called = row.claimed and row.status == RUNNING and row.waiting_for != PROBE
            return parked._replace(ended=Ended.JUST_NOW) if called else parked, False, True
        case Dispatch():
            return _dispatch(small, row, move)
        case LookAgain():
            look = row.looks + 1
            looked = fresh._replace(looks=look, dispatches=0)
            if look < _LOOKS:
                looked = looked._replace(waiting_for=SECOND_LOOK, asleep=True, early=True)
            return looked, False, False
        case Note() | Resolve():
            return row._replace(effects=effects), False, False
        case Stop(reason):
            return row._replace(stop_reason=reason.value), False, False
        case Pause(what):
            return row._replace(paused=what.value), False, False
        case Resume():
            goes_on = not row.claimed and not row.early
            went_on = row._replace(paused=None)
            return went_on._replace(dispatches=1) if goes_on else went_on, goes_on, False
        case Reopen():
            return _reopen(small, fresh, move, effects)
    raise AssertionError(f"{move} is not among the model's moves")


def _left(skipped: Skipped | None) -> Effect:
    return Effect.DONE if skipped is None else skipped.effect


def _advance(small: Small, fresh: Row, to: str, skipped: Skipped | None) -> Row:
    return fresh._replace(
        step=small.names.index(to),
        effects=_with(small, fresh.effects, {small.names[fresh.step]: _left(skipped)}),
        stop_reason=None,
        ended=Ended.NEVER,
        overdue=False,
        dispatches=1,
    )


def _own_pause(row: Row) -> Row:
    """A pause of the type is met anew at the next step."""
    return row if row.paused in {None, BY_SAGA} else row._replace(paused=None)


def _wait_for(small: Small, free: Row, move: WaitFor) -> tuple[Row, bool, bool]:
    external = small.external[free.step]
    waits = free._replace(
        attempt=0,
        dispatches=0,
        waiting_for=move.what.value,
        signal=move.signal is not None,
        stop_reason=move.reason.value if move.reason else None,
        effects=_with(small, free.effects, {small.names[free.step]: move.effect}),
        ended=Ended.JUST_NOW if external else free.ended,
        early=True,
    )
    if not waits.signal or not waits.words:
        return waits, False, False
    # One came before: it is taken in at once.
    return _take_in(waits._replace(words=waits.words - 1), accepted=external)


def _take_in(row: Row, *, accepted: bool) -> tuple[Row, bool, bool]:
    told = row._replace(
        attempt=0,
        signal=False,
        early=False,
        waiting_for=POLL if accepted else None,
        dispatches=1,
    )
    return told, row.paused is None, not accepted


def _fail(small: Small, free: Row, move: Fail, effects: tuple[str, ...]) -> Row:
    origin = free.failed_from if free.status == FAILED else free.status
    parked = free._replace(
        status=FAILED,
        waiting_for=None,
        signal=False,
        early=False,
        asleep=False,
        paused=None,
        effects=effects,
        failed_from=origin if move.going_back is None else COMPENSATING,
    )
    if move.step is not None:
        parked = parked._replace(step=small.names.index(move.step))
    if move.going_back is not None:
        parked = parked._replace(stop_reason=move.going_back.value)
    return parked


def _reopen(
    small: Small, fresh: Row, move: Reopen, effects: tuple[str, ...]
) -> tuple[Row, bool, bool]:
    opened = fresh._replace(
        status=move.status.value,
        failed_from=None,
        stop_reason=move.reason.value if move.reason else None,
        effects=effects,
        dispatches=1,
        over_time=False,
        overdue=False,
    )
    if move.then is None:
        return opened, True, True
    after, publishes, _ = apply(small, opened, move.then, By(in_chain=False, error=False))
    return after, publishes, True


def _ask_probe(small: Small, row: Row, move: AskProbe, by: By) -> tuple[Row, bool, bool]:
    now = move.after <= timedelta(0)
    asked_before = row.waiting_for == PROBE
    lost = row.claimed and not by.in_chain and not asked_before
    ended = row.ended
    if row.claimed and not asked_before:
        ended = Ended.JUST_NOW
    asking = row._replace(
        claimed=False,
        waiting_for=PROBE,
        signal=False,
        stop_reason=move.reason.value,
        attempt=row.attempt if asked_before else 0,
        ended=ended or Ended.JUST_NOW,
        dispatches=1 if now else 0,
        early=not now,
    )
    if not asked_before:
        unknown = _with(small, row.effects, {small.names[row.step]: Effect.UNKNOWN})
        asking = asking._replace(effects=unknown)
    return asking, now, lost


def _rest(small: Small, free: Row, move: Rest, effects: tuple[str, ...]) -> Row:
    look_at = small.names.index(move.look_at) if move.look_at else free.look_at
    rested = free._replace(
        status=move.status.value,
        stop_reason=move.reason.value,
        attempt=0,
        early=False,
        dispatches=0,
        effects=effects,
        look_at=look_at,
        waiting_for=None,
        signal=False,
        paused=None,
        failed_from=None,
    )
    if look_at is None:
        return rested
    return rested._replace(step=look_at, waiting_for=SECOND_LOOK, asleep=True)


def _dispatch(small: Small, row: Row, move: Dispatch) -> tuple[Row, bool, bool]:
    probing = row.waiting_for in {PROBE, SECOND_LOOK}
    sent = row._replace(
        claimed=False,
        dispatches=row.dispatches + 1,
        overdue=row.overdue or move.overdue,
        early=False,
        asleep=False,
    )
    if move.taken_over and row.status == RUNNING and not probing:
        unknown = _with(small, row.effects, {small.names[row.step]: Effect.UNKNOWN})
        sent = sent._replace(effects=unknown, ended=Ended.JUST_NOW)
    return sent, True, move.taken_over or move.hurried


def _with(small: Small, effects: tuple[str, ...], known: Mapping[str, Effect]) -> tuple[str, ...]:
    """``effects || known``."""
    if not known:
        return effects
    pairs = zip(small.names, effects, strict=True)
    return tuple(known[name].value if name in known else effect for name, effect in pairs)
