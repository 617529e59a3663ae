"""What ``saga.settlement`` and ``saga.store`` make of a row, statement by statement.

``test_the_model_does_to_a_row_what_the_store_does`` holds both together.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from saga import Role
from saga.moves import (
    Advance,
    AskProbe,
    Compensate,
    Complete,
    Dispatch,
    Fail,
    LookAgain,
    Move,
    Note,
    Rest,
    Retry,
    WaitFor,
)
from saga.task import Effect
from saga.timing import Timing
from tests.unit.exploration.model import (
    COMPENSATED,
    COMPENSATING,
    COMPLETED,
    DONE,
    FAILED,
    POLL,
    PROBE,
    RUNNING,
    SECOND_LOOK,
    TIMEOUT,
    UNKNOWN,
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


def apply(small: Small, row: Row, move: Move, by: By) -> tuple[Row, bool, bool]:
    """The row, whether a message follows the commit, whether the epoch rose."""
    free = row._replace(claimed=False)
    effects = _with(small, row.effects, getattr(move, "effects", {}))
    name = small.names[row.step]
    fresh = free._replace(attempt=0, early=False, waiting_for=None)
    match move:
        case Advance(to):
            return _advance(small, fresh, to), True, False
        case Complete():
            done = _with(small, row.effects, {name: Effect.DONE})
            ended = free._replace(status=COMPLETED, waiting_for=None, early=False, effects=done)
            return ended._replace(stop_reason=None), False, False
        case Retry(after=after, effect=effect):
            held = by.in_chain and after <= _HOLD
            kept = _with(small, row.effects, {name: effect})
            waits = free._replace(effects=kept, ended=Ended.JUST_NOW, early=True)
            return waits._replace(dispatches=row.dispatches if held else 0), held, False
        case WaitFor():
            kept = _with(small, row.effects, {name: Effect.UNKNOWN})
            waits = free._replace(effects=kept, ended=Ended.JUST_NOW, early=True)
            return waits._replace(attempt=0, waiting_for=POLL, dispatches=0), False, False
        case AskProbe():
            return _ask_probe(small, row, move, by)
        case Compensate(step=step, reason=reason, look_at=look_at):
            going_back = row.status == COMPENSATING
            by_link_error = by.in_chain and not going_back and by.error
            back = fresh._replace(
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
            parked = free._replace(status=FAILED, waiting_for=None, early=False, effects=effects)
            return parked._replace(asleep=False), False, True
        case Dispatch():
            return _dispatch(small, row, move)
        case LookAgain():
            look = row.looks + 1
            looked = fresh._replace(looks=look, dispatches=0)
            if look < _LOOKS:
                looked = looked._replace(waiting_for=SECOND_LOOK, asleep=True, early=True)
            return looked, False, False
        case Note():
            return row._replace(effects=effects), False, False
    raise AssertionError(f"{move} is not among the model's moves")


def _advance(small: Small, fresh: Row, to: str) -> Row:
    return fresh._replace(
        step=small.names.index(to),
        effects=_with(small, fresh.effects, {small.names[fresh.step]: Effect.DONE}),
        stop_reason=None,
        ended=Ended.NEVER,
        overdue=False,
        dispatches=1,
    )


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
    return sent, True, move.taken_over


def _with(small: Small, effects: tuple[str, ...], known: Mapping[str, Effect]) -> tuple[str, ...]:
    """``effects || known``."""
    if not known:
        return effects
    pairs = zip(small.names, effects, strict=True)
    return tuple(known[name].value if name in known else effect for name, effect in pairs)


def canonical(small: Small, row: Row) -> Row:
    """Forget what nobody will ever ask for again, so that rows that act alike are one."""
    changes: dict[str, Any] = {}
    if row.status != RUNNING:
        changes |= {"over_time": False, "overdue": False, "ended": Ended.NEVER}
    elif not small.probed[row.step] or row.effects[row.step] not in {UNKNOWN, DONE}:
        # Only what a probe says is weighed against when the call ended.
        changes["ended"] = Ended.NEVER
    probing = row.waiting_for in {PROBE, SECOND_LOOK}
    if row.status in {COMPLETED, FAILED}:
        changes |= {"attempt": 0, "dispatches": 0, "stop_reason": None, "look_at": None}
        changes |= {"step": 0, "looks": 0}
    kind = "probe" if probing else "compensation" if row.status == COMPENSATING else "action"
    most = 1 if small.is_call(kind, row.step) else 2
    if row.status in {COMPENSATED, TIMEOUT} and row.waiting_for is None:
        changes["dispatches"] = 0
    elif row.dispatches > most:
        # How often a call was published matters to nobody; of a transaction, whether it was twice.
        changes["dispatches"] = most
    if row.waiting_for == PROBE and row.attempt > 1:
        # A probe is asked as long as probe_for lasts, however often.
        changes["attempt"] = 1
    return row._replace(**changes) if changes else row


def is_time_bound(small: Small, row: Row) -> bool:
    """Whether the end of the saga's time stops the step in hand, so that recovery wakes for it."""
    role = small.steps[row.step].role
    stops = role is Role.COMPENSATABLE or (role is Role.PIVOT and row.waiting_for != POLL)
    return row.status == RUNNING and stops
