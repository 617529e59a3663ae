"""What must hold in every transition."""

from typing import TYPE_CHECKING

from saga import Role
from saga.moves import Compensate, Dispatch, Fail, LookAgain, Reopen, Rest
from tests.unit.exploration.canonical import accepted, can_stop
from tests.unit.exploration.model import (
    CANCELLED,
    CLOSED,
    COMPENSATED,
    COMPENSATING,
    COMPENSATION_FAILED,
    COMPLETED,
    DONE,
    EFFECT_COMPENSATED,
    FAILED,
    INTERVENTIONS,
    NEEDED,
    NOT_DONE,
    ORDERED,
    POLL,
    PROBE,
    RUNNING,
    SIGNAL,
    SLEEP,
    STANDS,
    TIMEOUT,
    UNKNOWN,
    Ended,
    Row,
    Small,
)
from tests.unit.exploration.promises import keep_at_rest, keep_order, must

if TYPE_CHECKING:
    from tests.unit.exploration.settlement import Settled

_WAYS = {
    RUNNING: {RUNNING, COMPLETED, COMPENSATING, COMPENSATED, TIMEOUT, FAILED},
    COMPENSATING: {COMPENSATING, COMPENSATED, TIMEOUT, FAILED},
    COMPENSATED: {COMPENSATED, FAILED},
    TIMEOUT: {TIMEOUT, FAILED},
    COMPLETED: {COMPLETED},
    FAILED: {FAILED},
}
_WAYS_OF_PEOPLE = {
    RUNNING: {RUNNING, COMPENSATING, COMPENSATED, FAILED},
    COMPENSATING: {COMPENSATING},
    FAILED: {RUNNING, COMPENSATING, COMPLETED, COMPENSATED, TIMEOUT, FAILED},
}
_NEW_EPOCH = {COMPENSATING, COMPENSATED, TIMEOUT, FAILED}


def keep_in_transition(small: Small, row: Row, event: str, settled: "Settled") -> None:
    """A transition goes where the protocol's picture goes, and the epoch with it."""
    after = settled.row
    by_person = event in INTERVENTIONS
    ways = _WAYS_OF_PEOPLE if by_person else _WAYS
    must(after.status in ways[row.status], f"a saga never goes from {row.status} so")
    _keep_epoch(row, event, settled)
    must(
        by_person or after.stop_reason in {row.stop_reason, None} or after.stop_reason not in _SAID,
        "only a person cancels, or orders to go back",
    )
    move = settled.move
    if isinstance(move, Reopen) and move.then is not None:
        move = move.then
    if isinstance(move, Compensate | Rest):
        after_pivot = after.effects[small.pivot :]
        goes_back = DONE not in after_pivot or after.stop_reason == ORDERED
        must(goes_back, "past the pivot a saga never goes back by itself")
        looked_for = row.status == RUNNING and row.waiting_for == PROBE and row.step == small.pivot
        # What the provider closed can never happen any more.
        looked_for = looked_for and event != CLOSED
        must(not looked_for or after.look_at == row.step, "a probe's nothing is looked at again")
    if isinstance(move, Compensate):
        keep_order(small, after)
    keep_at_rest(small, after)
    _keep_skipping(small, row, event, after)
    _keep_waiting(small, row, event, after)
    _keep_stopping(small, row, event, after)
    _keep_signal(small, row, event, after)
    if event not in {"resolve", "retry"}:
        _keep_known(small, row, event, after)
    if event in NEEDED:
        _keep_asking(small, row, event, after)
    elif isinstance(settled.move, Fail) and row.status == RUNNING and small.probed[row.step]:
        long_enough = row.step < small.pivot or row.ended == Ended.LONG_AGO
        asked = row.waiting_for == PROBE and long_enough
        decided = after.effects[row.step] != UNKNOWN
        must(asked or decided, "who can be asked is asked before a person must decide")


_SAID = frozenset({ORDERED, CANCELLED})


def _keep_epoch(row: Row, event: str, settled: "Settled") -> None:
    after = settled.row
    failed = isinstance(settled.move, Fail)
    entered = failed or (after.status != row.status and after.status in _NEW_EPOCH)
    taken_over = row.claimed and not after.claimed
    # A prober that was lost in its last attempt has nothing to say; its token is no good any more.
    by_recovery = taken_over and event == "due" and not isinstance(settled.move, LookAgain)
    hurried = isinstance(settled.move, Dispatch) and settled.move.hurried
    restarted = hurried or isinstance(settled.move, Reopen)
    must(settled.rose or not by_recovery, "a lost claim is taken over in a new epoch")
    must(settled.rose or not entered, "what was published for another status must not act")
    must(settled.rose or not restarted, "what was published before a person acted must not act")
    must(
        entered or taken_over or restarted or settled.heard or not settled.rose,
        "an epoch rises for nothing",
    )


def _keep_asking(small: Small, row: Row, event: str, after: Row) -> None:
    """Who asks for a person gets one, but where nothing happened and the saga is to go back."""
    if row.status not in {RUNNING, COMPENSATING}:
        return
    doubted = row.effects[row.step] == UNKNOWN and event != CLOSED
    stops = row.over_time or row.stop_reason is not None
    goes_back = row.status == RUNNING and stops and event != STANDS and not doubted
    # What a late success contradicts is asked for again.
    contradicted = row.waiting_for == PROBE and event == CLOSED and row.effects[row.step] == DONE
    skipped = row.status == RUNNING and small.skippable[row.step]
    asked = after.status == FAILED or goes_back or contradicted or skipped
    must(asked, "who asks for a person gets one")
    if event == CLOSED and row.status == RUNNING and row.waiting_for != PROBE:
        must(after.effects[row.step] == NOT_DONE, "what the provider closed is not in doubt")


def _keep_skipping(small: Small, row: Row, event: str, after: Row) -> None:
    """A step that may be skipped stops nobody, and is skipped when it is given up, not before."""
    if row.status != RUNNING or not small.skippable[row.step]:
        return
    # It may have happened twice: a person is asked at once.
    must(
        after.status != FAILED or event == "late success under an old key",
        "what may be skipped makes no saga FAILED",
    )
    before, known = row.effects[row.step], after.effects[row.step]
    is_past = after.status == COMPLETED or after.step != row.step
    if not is_past or after.status not in {RUNNING, COMPLETED} or known == DONE:
        return
    must(event not in {"succeeded", "found"}, "what is done is not skipped")
    must(known in {NOT_DONE, UNKNOWN}, "what is skipped is known not to be done, or in doubt")
    closed = event == CLOSED
    must(before != UNKNOWN or known == UNKNOWN or closed, "a doubt outlasts the step")
    waited = event == "due" and row.waiting_for == SIGNAL and not row.early
    tried = row.attempt > small.steps[row.step].retry.retries
    said = event == "refused" or event in NEEDED
    must(waited or tried or said, "a step is skipped only when it is given up")


def _keep_known(small: Small, row: Row, event: str, after: Row) -> None:
    """Only a person who looked knows better, or the provider that has closed the key."""
    for known, becomes in zip(row.effects, after.effects, strict=True):
        kept = becomes in {DONE, EFFECT_COMPENSATED, COMPENSATION_FAILED}
        must(kept or known != DONE, "what is known to be done is not forgotten")
    for known, becomes in zip(row.effects[: small.pivot], after.effects, strict=False):
        skipped = (known, becomes) == (UNKNOWN, NOT_DONE)
        must(not skipped or event == CLOSED, "nothing that is unknown is skipped")


def _keep_waiting(small: Small, row: Row, event: str, after: Row) -> None:
    is_pivot = small.steps[row.step].role is Role.PIVOT
    stays = after.status == row.status == RUNNING and after.step == row.step
    was_cancelled = stays and row.stop_reason == CANCELLED
    must(not was_cancelled or after.stop_reason == CANCELLED, "a person's word to stop stays")
    if event in _ACCEPTED and row.waiting_for == PROBE and row.effects[row.step] != DONE:
        waits = accepted(small, after) and after.stop_reason in {None, CANCELLED}
        must(waits or not is_pivot, "what a probe found accepted is waited for")
    if row.status != RUNNING or not is_pivot or not accepted(small, row):
        return
    must(event != "cancel", "what was accepted is not cancelled")
    if event in {"succeeded", "refused", *NEEDED} or (row.waiting_for == SIGNAL and not row.early):
        return
    if event == "late success under an old key":
        return  # It may happen twice: a person is asked at once.
    tries_again = not row.claimed or row.attempt <= small.steps[row.step].retry.retries
    waits = after.status == RUNNING and accepted(small, after)
    must(waits or not tries_again, "what was accepted is waited for, however late")


_ACCEPTED = frozenset({"accepted", "accepted, to be told"})
_WAITING = _ACCEPTED | {"waits", "sleeps"}


def _keep_stopping(small: Small, row: Row, event: str, after: Row) -> None:
    """What is to stop, and can, does not wait or try again."""
    looked_at = event == "due" and not row.claimed and row.waiting_for != PROBE
    goes_on = after.status == RUNNING and after.waiting_for != PROBE and after.step == row.step
    if row.status == RUNNING and goes_on and (looked_at or event in _WAITING):
        # What its probe found accepted was given up by mistake.
        said = (after if row.waiting_for == PROBE else row).stop_reason
        stops = can_stop(small, after) and (row.over_time or said is not None)
        must(not stops, "what is to stop, and can, goes on neither waiting nor trying")


_TIMED = frozenset({POLL, SIGNAL, SLEEP})


def _keep_signal(small: Small, row: Row, event: str, after: Row) -> None:
    """A wait ends by what it waits for, and a signal ends nothing else."""
    if event == "signalled":
        waits = row.status == RUNNING and row.signal and not row.claimed
        told = after.words == row.words and not after.signal and not after.early
        may_hear = row.status == RUNNING or (row.status == FAILED and row.failed_from == RUNNING)
        kept = after == row._replace(words=row.words + may_hear)
        must(told if waits else kept, "a signal ends a wait for it, else it is kept")
    stops = can_stop(small, row) and (row.over_time or row.stop_reason is not None)
    if row.status == RUNNING and row.early and not row.claimed and not stops:
        looked_at = event == "due" and row.waiting_for in _TIMED
        hurried = event == "retry" and row.waiting_for == SIGNAL
        goes_on = after.early and after.waiting_for == row.waiting_for
        must(goes_on or not (looked_at or hurried), "a wait is not cut short")
