"""What must hold in every state and in every transition."""

from typing import TYPE_CHECKING

from saga import Role
from saga.moves import Compensate, Fail, LookAgain, Rest
from tests.unit.exploration.model import (
    ACTION,
    B_ACCEPTED,
    B_CLOSED,
    B_DONE,
    B_IN_FLIGHT,
    B_LATE,
    B_NOTHING,
    B_UNDONE,
    COMPENSATED,
    COMPENSATING,
    COMPENSATION,
    COMPENSATION_FAILED,
    COMPLETED,
    DONE,
    EFFECT_COMPENSATED,
    FAILED,
    NOT_DONE,
    NOT_STARTED,
    OPEN_EFFECTS,
    POLL,
    PROBE,
    RUNNING,
    SECOND_LOOK,
    TIMEOUT,
    UNKNOWN,
    Ended,
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
_NEW_EPOCH = {COMPENSATING, COMPENSATED, TIMEOUT, FAILED}


def keep_in_transition(small: Small, row: Row, event: str, settled: "Settled") -> None:
    """A transition goes where the protocol's picture goes, and the epoch with it."""
    after = settled.row
    _must(after.status in _WAYS[row.status], f"a saga never goes from {row.status} so")
    failed = isinstance(settled.move, Fail)
    entered = failed or (after.status != row.status and after.status in _NEW_EPOCH)
    taken_over = row.claimed and not after.claimed
    # A prober that was lost in its last attempt has nothing to say; its token is no good any more.
    by_recovery = taken_over and event == "due" and not isinstance(settled.move, LookAgain)
    _must(settled.rose or not by_recovery, "a lost claim is taken over in a new epoch")
    _must(settled.rose or not entered, "what was published for another status must not act")
    _must(entered or taken_over or not settled.rose, "an epoch rises for nothing")
    if isinstance(settled.move, Compensate | Rest):
        after_pivot = after.effects[small.pivot :]
        _must(DONE not in after_pivot, "past the pivot a saga never goes back by itself")
        looked_for = row.status == RUNNING and row.waiting_for == PROBE and row.step == small.pivot
        _must(not looked_for or after.look_at == row.step, "a probe's nothing is looked at again")
    if isinstance(settled.move, Compensate):
        keep_order(small, after)
    keep_at_rest(after)
    _keep_waiting(small, row, event, after)
    for known, becomes in zip(row.effects, after.effects, strict=True):
        kept = becomes in {DONE, EFFECT_COMPENSATED, COMPENSATION_FAILED}
        _must(kept or known != DONE, "what is known to be done is not forgotten")
    for known, becomes in zip(row.effects[: small.pivot], after.effects, strict=False):
        _must((known, becomes) != (UNKNOWN, NOT_DONE), "nothing that is unknown is skipped")
    if isinstance(settled.move, Fail) and row.status == RUNNING and small.probed[row.step]:
        long_enough = row.step < small.pivot or row.ended == Ended.LONG_AGO
        asked = row.waiting_for == PROBE and long_enough
        decided = after.effects[row.step] != UNKNOWN
        _must(asked or decided, "who can be asked is asked before a person must decide")


def _keep_waiting(small: Small, row: Row, event: str, after: Row) -> None:
    if row.waiting_for != POLL or row.step != small.pivot or event in {"succeeded", "refused"}:
        return
    tries_again = not row.claimed or row.attempt <= small.steps[row.step].retry.retries
    is_pivot = small.steps[row.step].role is Role.PIVOT
    waits = after.waiting_for == POLL
    _must(waits or not (is_pivot and tries_again), "what was accepted is waited for, however late")


def keep_order(small: Small, row: Row) -> None:
    """A compensation runs for what did or may have happened, the last of it first."""
    _must(small.steps[row.step].role is Role.COMPENSATABLE, "only a person goes back this far")
    _must(row.effects[row.step] in OPEN_EFFECTS, "nothing is there to compensate")
    later = set(row.effects[row.step + 1 :])
    _must(not later & OPEN_EFFECTS, "compensations run in reverse order, and none past the pivot")


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
    if kind == ACTION:
        forward = row.status == RUNNING and row.waiting_for != PROBE
        _must(forward, "a step runs only while its saga goes forward")
        stops = row.over_time and row.waiting_for != POLL
        past_pivot = small.steps[row.step].role is Role.RETRIABLE
        _must(past_pivot or not stops, "after its saga's time a step does not begin")
        _must(set(row.effects[: row.step]) <= {DONE}, "a step runs when those before it are done")
        most = small.steps[row.step].retry.retries + 1 + optimistic
        _must(row.attempt < most, "a step is tried as often as its policy says")
    elif kind == COMPENSATION:
        _must(row.status == COMPENSATING, "a compensation runs only while its saga goes back")
        _must(DONE not in row.effects[small.pivot :], "what is known to stand is not pulled away")
        keep_order(small, row)
        # One that succeeded while its step's late success came in may have looked too early.
        again = small.external[row.step] and row.effects[row.step] == DONE
        most = small.steps[row.step].compensation_retry.retries + 1 + optimistic + again
        _must(row.attempt < most, "a compensation is tried as often as its policy says")
    elif row.waiting_for == SECOND_LOOK:
        _must(not row.asleep, "a second look is taken when its time has come")


def keep_late_success(row: Row, after: Row, step: int) -> None:
    """A worker that had lost its claim reported that ``step`` took effect."""
    tries_again = after.status == RUNNING and after.step == step and after.waiting_for != PROBE
    recorded = after.effects[step] == DONE
    _must(tries_again or recorded, "a success that is reported late is recorded all the same")
    at_work = row.claimed and row.status in {RUNNING, COMPENSATING}
    _must(after.claimed or not at_work, "who lost its claim takes nobody else's away")


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
    if row.status in {COMPENSATING, COMPENSATED, TIMEOUT}:
        _must(_STANDS.isdisjoint(books[small.pivot :]), "nothing goes back while the pivot stands")
    if row.status in {COMPENSATED, TIMEOUT}:
        for step, truth in enumerate(books):
            accounted = truth in {B_NOTHING, B_UNDONE, B_CLOSED, B_LATE}
            _must(accounted or small.leaves_nothing[step], "a saga at rest left nothing behind")
    if row.status == COMPLETED:
        _must({B_DONE, B_LATE}.issuperset(books), "what is COMPLETED is true")
    for step, effect in enumerate(row.effects):
        if not small.external[step]:
            untouched = effect in {NOT_STARTED, NOT_DONE}
            _must((books[step] == B_NOTHING) == untouched, "a transaction is what its row says")
            _must(effect != UNKNOWN, "of a transaction everything is known")
    live = [worker for worker in world.workers if worker.live]
    _must(len(live) <= row.claimed, "two claims are alive in one epoch")
