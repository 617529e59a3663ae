"""What must hold in every state and in every transition."""

from typing import TYPE_CHECKING

from saga import Role
from saga.moves import Compensate, Dispatch, Fail, LookAgain, Note, Reopen, Rest
from tests.unit.exploration.canonical import accepted
from tests.unit.exploration.model import (
    ACTION,
    B_ACCEPTED,
    B_CLOSED,
    B_DONE,
    B_IN_FLIGHT,
    B_LATE,
    B_NOTHING,
    B_UNDONE,
    CANCELLED,
    COMPENSATED,
    COMPENSATING,
    COMPENSATION,
    COMPENSATION_FAILED,
    COMPLETED,
    DONE,
    EFFECT_COMPENSATED,
    FAILED,
    INTERVENTIONS,
    NOT_DONE,
    NOT_STARTED,
    OPEN_EFFECTS,
    ORDERED,
    PROBE,
    RUNNING,
    SECOND_LOOK,
    SIGNAL,
    STANDING,
    TIMEOUT,
    UNKNOWN,
    Ended,
    Held,
    Row,
    Small,
    World,
)

if TYPE_CHECKING:
    from tests.unit.exploration.settlement import Settled


class Violation(Exception):
    """A promise does not hold."""


def _must(holds: bool, promise: str) -> None:  # noqa: FBT001
    if not holds:
        raise Violation(promise)


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
    _must(after.status in ways[row.status], f"a saga never goes from {row.status} so")
    _keep_epoch(row, event, settled)
    _must(
        by_person or after.stop_reason in {row.stop_reason, None} or after.stop_reason not in _SAID,
        "only a person cancels, or orders to go back",
    )
    move = settled.move
    if isinstance(move, Reopen) and move.then is not None:
        move = move.then
    if isinstance(move, Compensate | Rest):
        after_pivot = after.effects[small.pivot :]
        goes_back = DONE not in after_pivot or after.stop_reason == ORDERED
        _must(goes_back, "past the pivot a saga never goes back by itself")
        looked_for = row.status == RUNNING and row.waiting_for == PROBE and row.step == small.pivot
        _must(not looked_for or after.look_at == row.step, "a probe's nothing is looked at again")
    if isinstance(move, Compensate):
        keep_order(small, after)
    keep_at_rest(after)
    _keep_waiting(small, row, event, after)
    if event not in {"resolve", "retry"}:
        _keep_known(small, row, after)
    if isinstance(settled.move, Fail) and row.status == RUNNING and small.probed[row.step]:
        long_enough = row.step < small.pivot or row.ended == Ended.LONG_AGO
        asked = row.waiting_for == PROBE and long_enough
        decided = after.effects[row.step] != UNKNOWN
        _must(asked or decided, "who can be asked is asked before a person must decide")


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
    _must(settled.rose or not by_recovery, "a lost claim is taken over in a new epoch")
    _must(settled.rose or not entered, "what was published for another status must not act")
    _must(settled.rose or not restarted, "what was published before a person acted must not act")
    _must(entered or taken_over or restarted or not settled.rose, "an epoch rises for nothing")


def _keep_known(small: Small, row: Row, after: Row) -> None:
    """Only a person who looked knows better."""
    for known, becomes in zip(row.effects, after.effects, strict=True):
        kept = becomes in {DONE, EFFECT_COMPENSATED, COMPENSATION_FAILED}
        _must(kept or known != DONE, "what is known to be done is not forgotten")
    for known, becomes in zip(row.effects[: small.pivot], after.effects, strict=False):
        _must((known, becomes) != (UNKNOWN, NOT_DONE), "nothing that is unknown is skipped")


def _keep_waiting(small: Small, row: Row, event: str, after: Row) -> None:
    is_pivot = small.steps[row.step].role is Role.PIVOT
    if row.status != RUNNING or not is_pivot or not accepted(small, row):
        return
    _must(event != "cancel", "what was accepted is not cancelled")
    if event in {"succeeded", "refused"} or (row.waiting_for == SIGNAL and not row.early):
        return
    tries_again = not row.claimed or row.attempt <= small.steps[row.step].retry.retries
    waits = after.status == RUNNING and accepted(small, after)
    _must(waits or not tries_again, "what was accepted is waited for, however late")


def keep_order(small: Small, row: Row) -> None:
    """A compensation runs for what did or may have happened, the last of it first."""
    ordered = row.stop_reason == ORDERED
    by_itself = small.steps[row.step].role is Role.COMPENSATABLE
    _must(by_itself or ordered, "only a person goes back this far")
    _must(row.effects[row.step] in OPEN_EFFECTS, "nothing is there to compensate")
    later = set(row.effects[row.step + 1 :])
    stands = STANDING if ordered else OPEN_EFFECTS
    _must(not later & stands, "compensations run in reverse order, and none past the pivot")


def keep_at_rest(row: Row) -> None:
    if row.status in {COMPENSATED, TIMEOUT}:
        open_effects = {DONE, UNKNOWN, COMPENSATION_FAILED} & set(row.effects)
        _must(not open_effects, "a saga never rests with an open effect")
        _must(
            (row.status == TIMEOUT) == (row.stop_reason == "timeout"), "TIMEOUT means time ran out"
        )
    if row.status == COMPLETED:
        _must(set(row.effects) == {DONE}, "COMPLETED means that all is done")


def keep_at_work(small: Small, world: World, kind: str, *, optimistic: bool = False) -> None:
    """What a worker begins is the saga's turn; ``world`` is as it was before.

    ``optimistic``: a transaction that is not counted before it begins, one more than the policy's.
    """
    row = world.row
    _must(not any(worker.live for worker in world.workers), "two claims are alive in one epoch")
    _must(not row.paused and world.held != Held.YES, "nothing is begun while the saga is paused")
    if kind == ACTION:
        forward = row.status == RUNNING and row.waiting_for not in {PROBE, SIGNAL}
        _must(forward, "a step runs only while its saga goes forward")
        past_pivot = small.steps[row.step].role is Role.RETRIABLE
        goes_on = past_pivot or (row.step == small.pivot and accepted(small, row))
        _must(goes_on or not row.over_time, "after its saga's time a step does not begin")
        _must(goes_on or not world.cancelled, "a cancelled saga begins nothing before the pivot")
        _must(set(row.effects[: row.step]) <= {DONE}, "a step runs when those before it are done")
        most = small.steps[row.step].retry.retries + 1 + optimistic
        _must(row.attempt < most, "a step is tried as often as its policy says")
    elif kind == COMPENSATION:
        _must(row.status == COMPENSATING, "a compensation runs only while its saga goes back")
        stands = DONE in row.effects[small.pivot :] and row.stop_reason != ORDERED
        _must(not stands, "what is known to stand is not pulled away")
        keep_order(small, row)
        # One that succeeded while its step's late success came in may have looked too early.
        again = small.external[row.step] and row.effects[row.step] == DONE
        most = small.steps[row.step].compensation_retry.retries + 1 + optimistic + again
        _must(row.attempt < most, "a compensation is tried as often as its policy says")
    elif row.waiting_for == SECOND_LOOK:
        _must(not row.asleep, "a second look is taken when its time has come")


def keep_late_success(row: Row, settled: "Settled", step: int, *, old_key: bool) -> None:
    """A worker that had lost its claim reported that ``step`` took effect."""
    after = settled.row
    tries_again = after.status == RUNNING and after.step == step and after.waiting_for != PROBE
    # What is going to be compensated once more is known well enough.
    ordered = after.status == COMPENSATING and after.stop_reason == ORDERED
    recorded = after.effects[step] in ({DONE, COMPENSATION_FAILED} if ordered else {DONE})
    alarmed = old_key and isinstance(settled.move, Note) and settled.move.alarm is not None
    _must(
        (tries_again and not old_key) or recorded or alarmed,
        "a success that is reported late is recorded all the same",
    )
    at_work = row.claimed and row.status in {RUNNING, COMPENSATING}
    _must(after.claimed or not at_work, "who lost its claim takes nobody else's away")


def keep_new_key(world: World) -> None:
    """Its step is about to get a new key; only who slept beyond every limit may still call."""
    row = world.row
    _must(row.effects[row.step] == NOT_DONE, "a new key is given for what surely did not happen")
    truth = world.books[row.step]
    _must(truth in {B_NOTHING, B_CLOSED, B_UNDONE, B_LATE}, "a new key makes no second effect")
    calls = any(
        worker.kind == ACTION and worker.step == row.step and not worker.overslept
        for worker in world.workers
    )
    _must(not calls or truth == B_LATE, "nobody calls under an old key beside the new one")


def keep_found(after: Row, step: int) -> None:
    """A probe's answer was settled: the step took effect."""
    _must(after.effects[step] in {DONE, EFFECT_COMPENSATED}, "what a probe found is recorded")


def keep_compensated(row: Row, after: Row, step: int, told: str) -> None:
    """A compensation succeeded that was ``told`` an effect of its step."""
    looked_too_early = told == UNKNOWN and row.effects[step] == DONE
    taken = after.effects[step] == EFFECT_COMPENSATED
    _must(not (looked_too_early and taken), "a compensation bears only what it was told")


_STANDS = frozenset({B_IN_FLIGHT, B_ACCEPTED, B_DONE})


def keep_in_truth(small: Small, world: World) -> None:
    """What the row says agrees with what is true, as far as anybody can know."""
    row, books = world.row, world.books
    _must(row.attempt >= 0, "no attempt is given back that was not counted")
    going_back = row.status == COMPENSATING and row.stop_reason != ORDERED
    if going_back or row.status in {COMPENSATED, TIMEOUT}:
        _must(_STANDS.isdisjoint(books[small.pivot :]), "nothing goes back while the pivot stands")
    if row.status in {COMPENSATED, TIMEOUT}:
        for step, truth in enumerate(books):
            accounted = truth in {B_NOTHING, B_UNDONE, B_CLOSED, B_LATE}
            _must(accounted or small.leaves_nothing[step], "a saga at rest left nothing behind")
        cancelled = world.cancelled and row.status != COMPENSATED
        _must(not cancelled, "a cancelled saga rests COMPENSATED")
    if row.status == COMPLETED:
        _must({B_DONE, B_LATE}.issuperset(books), "what is COMPLETED is true")
    for step, effect in enumerate(row.effects):
        if not small.external[step]:
            untouched = effect in {NOT_STARTED, NOT_DONE}
            _must((books[step] == B_NOTHING) == untouched, "a transaction is what its row says")
            _must(effect != UNKNOWN, "of a transaction everything is known")
    live = [worker for worker in world.workers if worker.live]
    _must(len(live) <= row.claimed, "two claims are alive in one epoch")
