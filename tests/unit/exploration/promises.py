"""What must hold in every state, and whenever something is begun or reported."""

from typing import TYPE_CHECKING

from saga import Role
from saga.moves import Note
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
    COMPENSATED,
    COMPENSATING,
    COMPENSATION,
    COMPENSATION_FAILED,
    COMPLETED,
    DONE,
    EFFECT_COMPENSATED,
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
    Held,
    Row,
    Small,
    Worker,
    World,
)

if TYPE_CHECKING:
    from tests.unit.exploration.settlement import Settled


class Violation(Exception):
    """A promise does not hold."""


def must(holds: bool, promise: str) -> None:  # noqa: FBT001
    if not holds:
        raise Violation(promise)


def keep_order(small: Small, row: Row) -> None:
    """A compensation runs for what did or may have happened, the last of it first."""
    ordered = row.stop_reason == ORDERED
    by_itself = small.steps[row.step].role is Role.COMPENSATABLE
    must(by_itself or ordered, "only a person goes back this far")
    must(row.effects[row.step] in OPEN_EFFECTS, "nothing is there to compensate")
    later = set(row.effects[row.step + 1 :])
    stands = STANDING if ordered else OPEN_EFFECTS
    must(not later & stands, "compensations run in reverse order, and none past the pivot")


def keep_at_rest(small: Small, row: Row) -> None:
    if row.status in {COMPENSATED, TIMEOUT}:
        open_effects = {DONE, UNKNOWN, COMPENSATION_FAILED} & set(row.effects)
        must(not open_effects, "a saga never rests with an open effect")
        must(
            (row.status == TIMEOUT) == (row.stop_reason == "timeout"), "TIMEOUT means time ran out"
        )
    if row.status == COMPLETED:
        behind = is_behind(small, row, len(row.effects))
        must(behind, "COMPLETED means that all is done, but for what was skipped")


def is_behind(small: Small, row: Row, step: int) -> bool:
    """Whether every step before this one is done, or was skipped."""
    return all(
        effect == DONE or (skippable and effect in _SKIPPED)
        for effect, skippable in zip(row.effects[:step], small.skippable, strict=False)
    )


_SKIPPED = frozenset({NOT_DONE, UNKNOWN})


def keep_at_work(small: Small, world: World, kind: str, *, optimistic: bool = False) -> None:
    """What a worker begins is the saga's turn; ``world`` is as it was before.

    ``optimistic``: a transaction that is not counted before it begins, one more than the policy's.
    """
    row = world.row
    must(not any(worker.live for worker in world.workers), "two claims are alive in one epoch")
    must(not row.paused and world.held != Held.YES, "nothing is begun while the saga is paused")
    if kind == ACTION:
        forward = row.status == RUNNING and row.waiting_for not in {PROBE, SIGNAL}
        must(forward, "a step runs only while its saga goes forward")
        past_pivot = small.steps[row.step].role is Role.RETRIABLE
        goes_on = past_pivot or (row.step == small.pivot and accepted(small, row))
        must(goes_on or not row.over_time, "after its saga's time a step does not begin")
        must(goes_on or not world.cancelled, "a cancelled saga begins nothing before the pivot")
        behind = is_behind(small, row, row.step)
        must(behind, "a step runs when those before it are done, or skipped")
        most = small.steps[row.step].retry.retries + 1 + optimistic
        must(row.attempt < most, "a step is tried as often as its policy says")
    elif kind == COMPENSATION:
        must(row.status == COMPENSATING, "a compensation runs only while its saga goes back")
        must(small.is_runnable(row.step), "what only a person can compensate is left to one")
        stands = DONE in row.effects[small.pivot :] and row.stop_reason != ORDERED
        must(not stands, "what is known to stand is not pulled away")
        keep_order(small, row)
        # One that succeeded while its step's late success came in may have looked too early.
        again = small.external[row.step] and row.effects[row.step] == DONE
        most = small.steps[row.step].compensation_retry.retries + 1 + optimistic + again
        must(row.attempt < most, "a compensation is tried as often as its policy says")
    elif row.waiting_for == SECOND_LOOK:
        must(not row.asleep, "a second look is taken when its time has come")


def keep_late_success(row: Row, settled: "Settled", step: int, *, old_key: bool) -> None:
    """A worker that had lost its claim reported that ``step`` took effect."""
    after = settled.row
    tries_again = after.status == RUNNING and after.step == step and after.waiting_for != PROBE
    # What is going to be compensated once more is known well enough.
    ordered = after.status == COMPENSATING and after.stop_reason == ORDERED
    recorded = after.effects[step] in ({DONE, COMPENSATION_FAILED} if ordered else {DONE})
    alarmed = old_key and isinstance(settled.move, Note) and settled.move.alarm is not None
    must(
        (tries_again and not old_key) or recorded or alarmed,
        "a success that is reported late is recorded all the same",
    )
    at_work = row.claimed and row.status in {RUNNING, COMPENSATING}
    must(after.claimed or not at_work, "who lost its claim takes nobody else's away")


def keep_new_key(world: World) -> None:
    """Its step is about to get a new key; only who slept beyond every limit may still call."""
    row = world.row
    must(row.effects[row.step] == NOT_DONE, "a new key is given for what surely did not happen")
    truth = world.books[row.step]
    must(truth in {B_NOTHING, B_CLOSED, B_UNDONE, B_LATE}, "a new key makes no second effect")
    # Who has only a late word in hand under an older key still calls nobody.
    calls = any(
        worker.kind == ACTION
        and worker.step == row.step
        and not worker.overslept
        and not (worker.old_key and worker.phase == "succeeded")
        for worker in world.workers
    )
    # Under a key that its provider closed nobody does anything any more.
    must(
        not calls or truth in {B_LATE, B_CLOSED}, "nobody calls under an old key beside the new one"
    )


def keep_hearing(worker: Worker) -> None:
    """A worker between two transactions records what its step said in the first."""
    late = worker.deaf and worker.phase == "waits"
    must(not late, "what was said before a signal came does not wait for it once more")


def keep_found(after: Row, step: int) -> None:
    """A probe's answer was settled: the step took effect."""
    must(after.effects[step] in {DONE, EFFECT_COMPENSATED}, "what a probe found is recorded")


def keep_compensated(row: Row, after: Row, step: int, told: str) -> None:
    """A compensation succeeded that was ``told`` an effect of its step."""
    looked_too_early = told == UNKNOWN and row.effects[step] == DONE
    taken = after.effects[step] == EFFECT_COMPENSATED
    must(not (looked_too_early and taken), "a compensation bears only what it was told")


_STANDS = frozenset({B_IN_FLIGHT, B_ACCEPTED, B_DONE})


def keep_in_truth(small: Small, world: World) -> None:
    """What the row says agrees with what is true, as far as anybody can know."""
    row, books = world.row, world.books
    must(row.attempt >= 0, "no attempt is given back that was not counted")
    going_back = row.status == COMPENSATING and row.stop_reason != ORDERED
    if going_back or row.status in {COMPENSATED, TIMEOUT}:
        must(_STANDS.isdisjoint(books[small.pivot :]), "nothing goes back while the pivot stands")
    if row.status in {COMPENSATED, TIMEOUT}:
        for step, truth in enumerate(books):
            accounted = truth in {B_NOTHING, B_UNDONE, B_CLOSED, B_LATE}
            must(accounted or small.leaves_nothing[step], "a saga at rest left nothing behind")
        cancelled = world.cancelled and row.status != COMPENSATED
        must(not cancelled, "a cancelled saga rests COMPENSATED")
    if row.status == COMPLETED:
        for step, truth in enumerate(books):
            is_true = truth in {B_DONE, B_LATE}
            must(is_true or small.skippable[step], "what is COMPLETED is true, but for skips")
        has_pivot = small.pivot < len(small.steps)
        must(has_pivot or not world.cancelled, "a cancelled saga rests COMPENSATED")
    for step, effect in enumerate(row.effects):
        stands = books[step] in _STANDS
        skipped = small.skippable[step] and effect == NOT_DONE
        must(not (skipped and stands), "what is skipped as not done did not happen")
        if not small.external[step]:
            untouched = effect in {NOT_STARTED, NOT_DONE}
            must((books[step] == B_NOTHING) == untouched, "a transaction is what its row says")
            must(effect != UNKNOWN, "of a transaction everything is known")
    live = [worker for worker in world.workers if worker.live]
    must(len(live) <= row.claimed, "two claims are alive in one epoch")
