"""Random sagas and random histories: whatever happens, the promise holds.

A small world plays the engine's part: it keeps what the row would keep, lets calls take effect or
not, and applies each move as the engine does.
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
    Poll,
    Rest,
    Retry,
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
from saga.task import Effect, External
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

    def happen(self) -> None:
        """Let one thing happen that can happen here."""
        self.at = replace(self.at, now=self.at.now + timedelta(seconds=self.chance.randint(0, 90)))
        if self.zombies and self.chance.random() < 0.2:
            self.decide(LateSuccess(self.zombies.pop()))
        elif self.at.claimed:
            self.settle()
        elif self.chance.random() < 0.2:
            self.decide(Due())
        elif self.at.status is Status.RUNNING or self.at.status is Status.COMPENSATING:
            self.begin()
        else:
            self.decide(Due())

    def begin(self) -> None:
        asking = self.at.waiting_for is WaitingFor.PROBE
        if not asking and self.at.status is Status.RUNNING and self.must_stop():
            return
        self.at = replace(self.at, attempt=self.at.attempt + 1, claimed=self.is_call or asking)
        if not self.at.claimed:
            self.settle()

    def must_stop(self) -> bool:
        """As the engine admits messages."""
        if self.step.role is Role.RETRIABLE or self.at.waiting_for is WaitingFor.POLL:
            return False
        return self.at.stop_reason is not None or self.at.is_over_time

    def settle(self) -> None:
        if self.chance.random() < 0.25 and self.at.claimed:
            if self.at.waiting_for is None and self.at.status is Status.RUNNING:
                self.zombies.append(self.at.step)
            self.decide(Due())
            return
        if self.at.waiting_for in {WaitingFor.PROBE, WaitingFor.SECOND_LOOK}:
            self.decide(self.chance.choice([FoundDone(), FoundNothing(), FoundNoAnswer()]))
            return
        events: list[Event] = [
            Succeeded(self.at.effect(self.at.step)),
            RefusedFinally(),
            AttemptFailed(Effect.NOT_STARTED),
        ]
        if self.is_call:
            events.append(AttemptFailed(Effect.UNKNOWN))
            if self.at.status is Status.RUNNING:
                events.append(Accepted(timedelta(seconds=60)))
        else:
            events.append(WorkerLost())
        self.decide(self.chance.choice(events))

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
        pivot = self.saga.pivot_index
        past = {
            step.name
            for step in self.saga.steps[pivot:]
            if before.effect(step.name) is Effect.DONE and before.status is Status.RUNNING
        }
        if isinstance(move, Compensate | Rest) and before.waiting_for is not WaitingFor.PROBE:
            assert not past, f"goes back although {past} is done"
        if isinstance(move, Compensate):
            role = self.saga.steps[self.saga.index(move.step)].role
            assert role is Role.COMPENSATABLE
        if before.claimed and isinstance(move, Compensate | Rest | Advance):
            assert not isinstance(self.story[-1][0], LateSuccess), "moved under a live claim"

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
            case Poll():
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


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_a_saga_comes_to_rest_with_every_effect_accounted_for(seed: int) -> None:
    chance = random.Random(seed)
    for saga in sagas(chance):
        for history in range(20):
            world = play(saga, seed=1000 * seed + history)

            assert world.at.status in ENDS, world.story[-5:]


@pytest.mark.parametrize("seed", range(20))
def test_a_success_that_comes_late_never_hides_in_a_saga_that_rests(seed: int) -> None:
    chance = random.Random(seed)
    for saga in sagas(chance):
        for history in range(20):
            world = play(saga, seed=1000 * seed + history)
            for zombie in [*world.zombies]:
                world.decide(LateSuccess(zombie))
                effect = world.at.effect(zombie)
                accounted = {Effect.DONE}
                assert effect in accounted or world.at.status is Status.FAILED, world.story[-5:]


def test_the_histories_reach_every_end_and_every_reason() -> None:
    ends, reasons = set(), set()
    for seed in range(20):
        for saga in sagas(random.Random(seed)):
            world = play(saga, seed)
            ends.add(world.at.status)
            reasons.add(world.at.stop_reason)

    assert ends == ENDS
    assert reasons >= set(StopReason)
