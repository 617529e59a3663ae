"""Random sagas and random histories: whatever happens, the promise holds.

A small world plays the engine's part: it keeps what the row would keep and applies each move as the
engine does. It knows the truth besides: which steps took effect, whatever was answered. Providers
do not lie to probes; workers freeze, die and come back when they like.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from saga import RetryPolicy, Role, Saga, Status, Step, manual, nothing_to_compensate
from saga.decide import decide
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
from saga.position import (
    Accepted,
    AttemptFailed,
    Due,
    Event,
    FoundDone,
    FoundNoAnswer,
    FoundNothing,
    LateSuccess,
    Position,
    RefusedFinally,
    StopReason,
    Succeeded,
    WaitingFor,
    WorkerLost,
)
from saga.task import Effect, External, NothingToCompensate
from tests.unit.positions import NOON, TIMEOUT, State, ask, call, call_back, sql, sql_back

pytestmark = pytest.mark.unit

OPEN = {Effect.DONE, Effect.UNKNOWN, Effect.COMPENSATION_FAILED}
ENDS = {Status.COMPLETED, Status.COMPENSATED, Status.TIMEOUT, Status.FAILED}


def sagas(chance: random.Random) -> Iterator[Saga[State]]:
    """Every pattern of roles of up to two, one and two steps, with works drawn by chance."""
    for before in range(3):
        for pivots in range(2):
            for after in range(3):
                roles = [
                    *[Role.COMPENSATABLE] * before,
                    *[Role.PIVOT] * pivots,
                    *[Role.RETRIABLE] * after,
                ]
                if roles and not (before and after and not pivots):
                    yield Saga(
                        name="some",
                        version=1,
                        state=State,
                        timeout=TIMEOUT,
                        steps=[step(index, role, chance) for index, role in enumerate(roles)],
                    )


def step(index: int, role: Role, chance: random.Random) -> Step[State]:
    name = f"some.step_{index}"
    is_call = chance.random() < 0.6
    backs = [
        call_back(f"{name}_back"),
        sql_back(f"{name}_back"),
        nothing_to_compensate,
        manual("see"),
    ]
    return Step(
        action=call(name) if is_call else sql(name),
        role=role,
        compensation=chance.choice(backs) if role is Role.COMPENSATABLE else None,
        probe=ask(f"{name}_probe")
        if is_call and role is not Role.RETRIABLE and chance.random() < 0.6
        else None,
        timeout=timedelta(seconds=30),
        compensation_retry=RetryPolicy(retries=2),
    )


@dataclass
class World:
    """One saga's row, and what truly happened to it."""

    saga: Saga[State]
    chance: random.Random
    at: Position = field(init=False)
    zombies: list[str] = field(default_factory=list)
    truth: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    believed: Effect = Effect.NOT_STARTED
    was_true: bool = False
    story: list[tuple[Event, Move]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = Position(
            status=Status.RUNNING,
            step=self.saga.steps[0].name,
            attempt=0,
            now=NOON,
            timeout_at=NOON + TIMEOUT,
        )

    @property
    def step(self) -> Step[State]:
        return self.saga.steps[self.saga.index(self.at.step)]

    @property
    def is_call(self) -> bool:
        if self.at.status is Status.COMPENSATING:
            return type(self.step.compensation).__name__ == "ExternalCompensation"
        return isinstance(self.step.action, External)

    @property
    def is_probing(self) -> bool:
        return self.at.waiting_for in {WaitingFor.PROBE, WaitingFor.SECOND_LOOK}

    def maybe(self, likelihood: float = 0.5) -> bool:
        return self.chance.random() < likelihood

    def happen(self) -> None:
        """Let one thing happen that can happen here."""
        self.at = replace(self.at, now=self.at.now + timedelta(seconds=self.chance.randint(0, 90)))
        for step in sorted(self.accepted):
            if self.maybe(0.2):
                self.accepted.discard(step)
                if self.maybe():
                    self.truth.add(step)
        if self.zombies and self.maybe(0.2):
            self.wake(self.zombies.pop())
        elif self.at.claimed:
            self.settle()
        elif self.maybe(0.8):
            self.begin()
        else:
            self.decide(Due())

    def wake(self, zombie: str) -> None:
        """A frozen worker's call goes through at last, and it says so."""
        self.truth.add(zombie)
        self.decide(LateSuccess(zombie))

    def begin(self) -> None:
        if not self.is_probing and self.at.status is Status.RUNNING and self.must_stop():
            return
        is_call = self.is_call or self.is_probing
        self.at = replace(self.at, attempt=self.at.attempt + 1, claimed=is_call)
        self.believed = self.at.effect(self.at.step)
        self.was_true = self.at.step in self.truth | self.accepted
        if not self.at.claimed:
            self.settle()

    def must_stop(self) -> bool:
        """As the engine admits messages."""
        if self.step.role is Role.RETRIABLE or self.at.waiting_for is WaitingFor.POLL:
            return False
        return self.at.stop_reason is not None or self.at.is_over_time

    def settle(self) -> None:
        if self.at.claimed and self.maybe(0.25):
            self.lose_the_worker()
        elif self.is_probing:
            self.decide(self.probed())
        elif self.at.status is Status.COMPENSATING:
            self.decide(self.compensated())
        elif self.is_call:
            self.decide(self.called())
        else:
            self.decide(self.ran())

    def lose_the_worker(self) -> None:
        if not self.is_probing and self.at.status is Status.RUNNING:
            if self.maybe(0.3):
                self.zombies.append(self.at.step)
            if self.maybe():
                self.truth.add(self.at.step)
        self.decide(Due())

    def probed(self) -> Event:
        if self.maybe(0.3) or self.at.step in self.accepted:
            return FoundNoAnswer()
        return FoundDone() if self.at.step in self.truth else FoundNothing()

    def compensated(self) -> Event:
        if self.maybe(0.4):
            return self.chance.choice([RefusedFinally(), AttemptFailed(Effect.UNKNOWN)])
        if self.was_true or self.believed is Effect.DONE:
            self.truth.discard(self.at.step)
        self.accepted.discard(self.at.step)
        return Succeeded(self.believed)

    def called(self) -> Event:
        step, chance = self.at.step, self.chance.random()
        if chance < 0.2:
            return AttemptFailed(Effect.NOT_STARTED)
        if chance < 0.4:
            if self.maybe():
                self.truth.add(step)
            return AttemptFailed(Effect.UNKNOWN)
        misleading = self.at.effect(step) is Effect.UNKNOWN and self.at.waiting_for is None
        if chance < 0.55 and step not in self.accepted and (step not in self.truth or misleading):
            return RefusedFinally()
        if chance < 0.75 and step not in self.truth:
            self.accepted.add(step)
            return Accepted(after=timedelta(seconds=60))
        self.accepted.discard(step)
        self.truth.add(step)
        return Succeeded()

    def ran(self) -> Event:
        if self.maybe():
            self.truth.add(self.at.step)
            return Succeeded()
        return self.chance.choice(
            [RefusedFinally(), AttemptFailed(Effect.NOT_STARTED), WorkerLost()]
        )

    def decide(self, event: Event) -> None:
        before = self.at
        move = decide(self.saga, before, event, jitter=self.chance.random())
        self.story.append((event, move))
        self.check(before, move)
        self.at = self.apply(before, move)
        if self.at.status in {Status.COMPENSATED, Status.TIMEOUT}:
            left = {step for step, effect in self.at.effects.items() if effect in OPEN}
            assert not left, f"rests with open effects: {left}"

    def check(self, before: Position, move: Move) -> None:
        event = self.story[-1][0]
        if before.status is Status.RUNNING and isinstance(move, Compensate | Rest):
            past = {step.name for step in self.saga.steps[self.saga.pivot_index :]}
            assert not past & self.truth, "goes back although there is no way back"
        if isinstance(move, Compensate):
            at, steps = self.saga.index(move.step), self.saga.steps
            assert steps[at].role is Role.COMPENSATABLE
            effects = {**before.effects, **move.effects}
            later = {effects.get(step.name) for step in steps[at + 1 :]}
            assert not later & OPEN, "not in reverse order"
        if before.claimed and isinstance(event, LateSuccess):
            resting = before.status in {Status.COMPENSATED, Status.TIMEOUT}
            assert isinstance(move, Note) or resting, "moved under a live claim"

    def apply(self, at: Position, move: Move) -> Position:
        effects = {**at.effects, **getattr(move, "effects", {})}
        idle = replace(at, claimed=False, effects=effects)
        fresh = replace(idle, attempt=0, waiting_for=None, call_ended_at=None)
        match move:
            case Advance(to):
                done = {**effects, at.step: Effect.DONE}
                return replace(fresh, step=to, effects=done, stop_reason=None)
            case Complete():
                done = {**effects, at.step: Effect.DONE}
                return replace(fresh, status=Status.COMPLETED, effects=done)
            case Retry(effect=effect):
                kept = {**effects, at.step: effect}
                return replace(idle, effects=kept, call_ended_at=at.now)
            case WaitFor():
                kept = {**effects, at.step: Effect.UNKNOWN}
                attempt = at.attempt - 1
                return replace(idle, effects=kept, attempt=attempt, waiting_for=WaitingFor.POLL)
            case AskProbe(reason=reason, after=after):
                asked = at.waiting_for is WaitingFor.PROBE
                kept = effects if asked else {**effects, at.step: Effect.UNKNOWN}
                return replace(
                    idle,
                    effects=kept,
                    now=at.now + after,
                    attempt=at.attempt if asked else 0,
                    waiting_for=WaitingFor.PROBE,
                    stop_reason=reason,
                    call_ended_at=at.call_ended_at or at.now,
                )
            case Compensate(step=step, reason=reason):
                return replace(fresh, status=Status.COMPENSATING, step=step, stop_reason=reason)
            case Rest(status=status, reason=reason, look_at=look_at):
                looking = WaitingFor.SECOND_LOOK if look_at else None
                rested = replace(fresh, status=status, stop_reason=reason, waiting_for=looking)
                return replace(rested, step=look_at or at.step)
            case Fail():
                return replace(fresh, status=Status.FAILED)
            case Dispatch(taken_over=taken_over, overdue=overdue):
                lost = taken_over and at.status is Status.RUNNING and at.waiting_for is None
                kept = {**effects, at.step: Effect.UNKNOWN} if lost else effects
                return replace(idle, effects=kept, overdue=at.overdue or overdue)
            case LookAgain():
                return replace(fresh, looks=at.looks + 1)
            case Note():
                return replace(at, effects=effects)


def play(saga: Saga[Any], seed: int, *, most: int = 400) -> World:
    world = World(saga, random.Random(seed))
    for _ in range(most):
        if world.at.status in ENDS:
            break
        world.happen()
    return world


def worlds(seed: int) -> Iterator[World]:
    for saga in sagas(random.Random(seed)):
        for history in range(20):
            yield play(saga, seed=1000 * seed + history)


SEEDS = pytest.mark.parametrize("seed", range(8))


@SEEDS
def test_whatever_happens_a_saga_comes_to_rest(seed: int) -> None:
    for world in worlds(seed):
        assert world.at.status in ENDS, world.story[-5:]


@SEEDS
def test_once_all_workers_are_heard_of_what_rests_is_true(seed: int) -> None:
    for world in worlds(seed):
        while world.zombies:
            world.wake(world.zombies.pop())

        nothing = {
            step.name
            for step in world.saga.steps
            if isinstance(step.compensation, NothingToCompensate)
        }
        if world.at.status is Status.COMPLETED:
            assert world.truth == {step.name for step in world.saga.steps}, world.story
        elif world.at.status is not Status.FAILED:
            assert not (world.truth | world.accepted) - nothing, world.story


@SEEDS
def test_second_looks_come_to_an_end_and_find_what_hid(seed: int) -> None:
    for world in worlds(seed):
        if world.at.waiting_for is WaitingFor.SECOND_LOOK:
            hidden = world.at.step if world.maybe() else None
            if hidden is not None:
                world.truth.add(hidden)
            world.zombies.clear()
            for _ in range(200):
                if world.at.waiting_for is None or world.at.looks:
                    break
                world.happen()
            found = world.at.status is Status.FAILED
            assert found or world.at.looks, world.story[-5:]
            assert (
                hidden is None
                or found
                or FoundNoAnswer() in [event for event, _ in world.story[-15:]]
            )


def test_the_histories_reach_every_end_and_every_reason() -> None:
    every = [world.at for seed in range(3) for world in worlds(seed)]

    assert {at.status for at in every} == ENDS
    assert {at.stop_reason for at in every} >= set(StopReason) - {
        StopReason.CANCELLED,
        StopReason.ORDERED,
    }
    assert WaitingFor.SECOND_LOOK in {at.waiting_for for at in every}
