"""Sagas to decide about, and where they stand, told in the words of a story."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel
from sqlalchemy.orm import Session

from saga import (
    DidNotHappen,
    Forward,
    IdempotencyKey,
    Role,
    Saga,
    Status,
    compensatable,
    external,
    external_compensation,
    manual,
    nothing_to_compensate,
    pivot,
    probe,
    retriable,
    transactional,
    transactional_compensation,
)
from saga.position import Position, StopReason, WaitingFor
from saga.task import (
    Effect,
    External,
    ExternalCompensation,
    Probe,
    Transactional,
    TransactionalCompensation,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
TIMEOUT = timedelta(minutes=5)


class State(BaseModel):
    pass


def sql(name: str) -> Transactional[State]:
    def run(state: State, session: Session) -> State:  # noqa: ARG001
        return state

    return transactional(name)(run)


def call(name: str) -> External[State]:
    def run(state: State, key: IdempotencyKey) -> State:  # noqa: ARG001
        return state

    return external(name)(run)


def sql_back(name: str) -> TransactionalCompensation[State]:
    def run(state: State, session: Session, forward: Forward) -> None:
        pass

    return transactional_compensation(name)(run)


def call_back(name: str) -> ExternalCompensation[State]:
    def run(state: State, forward: Forward) -> None:
        pass

    return external_compensation(name)(run)


def ask(name: str) -> Probe[State]:
    def run(state: State, key: IdempotencyKey) -> DidNotHappen:  # noqa: ARG001
        return DidNotHappen()

    return probe(name)(run)


# A refund: take the payment, call the provider (who can be asked), book it.
take, refund_call, book, tell = (
    sql("refund.take"),
    call("refund.call"),
    sql("refund.book"),
    call("refund.tell"),
)
refund = Saga(
    name="refund",
    version=1,
    state=State,
    timeout=TIMEOUT,
    steps=[
        compensatable(take, compensation=sql_back("refund.give_back")),
        pivot(
            refund_call,
            probe=ask("refund.find"),
            compensation=manual("see that the money is here again"),
        ),
        retriable(book),
        retriable(tell),
    ],
)

# An order of a device: calls before the pivot, with and without a probe; the pivot is SQL.
check, make, attach, own = (
    sql("device.check"),
    call("device.make"),
    call("device.attach"),
    sql("device.own"),
)
device = Saga(
    name="device",
    version=1,
    state=State,
    timeout=TIMEOUT,
    steps=[
        compensatable(check, compensation=nothing_to_compensate),
        compensatable(make, compensation=call_back("device.remove")),
        compensatable(
            attach, compensation=call_back("device.detach"), probe=ask("device.find_attached")
        ),
        pivot(own),
    ],
)

# A letter: nobody can be asked whether it left.
letter_call = call("letter.send")
letter = Saga(name="letter", version=1, state=State, timeout=TIMEOUT, steps=[pivot(letter_call)])

# A visit: what a person must take back stands before what a machine can.
invite, reserve, announce = sql("visit.invite"), sql("visit.reserve"), sql("visit.announce")
visit = Saga(
    name="visit",
    version=1,
    state=State,
    timeout=TIMEOUT,
    steps=[
        compensatable(invite, compensation=manual("call the guest")),
        compensatable(reserve, compensation=sql_back("visit.release")),
        compensatable(announce, compensation=sql_back("visit.withdraw")),
    ],
)

# A clean-up only goes forward.
sweep, report = sql("cleanup.sweep"), call("cleanup.report")
cleanup = Saga(
    name="cleanup",
    version=1,
    state=State,
    timeout=TIMEOUT,
    steps=[retriable(sweep), retriable(report)],
)


class At(Position):
    """A position that can be told on: ``at(refund, refund_call).in_attempt(4).over_time()``."""

    def but(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def knowing(self, effects: dict[Any, Effect]) -> Self:
        named = {work.name: effect for work, effect in effects.items()}
        return self.but(effects={**self.effects, **named})

    def in_attempt(self, number: int) -> Self:
        return self.but(attempt=number)

    def unknown(self) -> Self:
        """Nobody knows whether an earlier attempt of the current step took effect."""
        return self.but(effects={**self.effects, self.step: Effect.UNKNOWN})

    def claimed_by_a_worker(self) -> Self:
        return self.but(claimed=True)

    def over_time(self) -> Self:
        return self.but(timeout_at=NOON)

    def accepted(self) -> Self:
        """The provider took the order and has not said its final word."""
        return self.unknown().but(waiting_for=WaitingFor.POLL)

    def probing(self, reason: StopReason, *, ended: timedelta = timedelta(hours=-1)) -> Self:
        """At the probe; the last call ended at noon and ``ended``."""
        return self.unknown().but(
            waiting_for=WaitingFor.PROBE, stop_reason=reason, call_ended_at=NOON + ended
        )


def at(saga: Saga[Any], step: Any) -> At:
    """In the first attempt of the step, in time; all steps before it are done."""
    index = saga.index(step.name)
    return At(
        status=Status.RUNNING,
        step=step.name,
        attempt=1,
        effects={before.name: Effect.DONE for before in saga.steps[:index]},
        now=NOON,
        timeout_at=NOON + TIMEOUT,
    )


def going_back(saga: Saga[Any], step: Any, reason: StopReason = StopReason.GAVE_UP) -> At:
    """In the first attempt of the step's compensation; what comes after it is accounted for."""
    later = saga.steps[saga.index(step.name) + 1 :]
    accounted = {each.name: Effect.COMPENSATED for each in later if each.role is Role.COMPENSATABLE}
    return at(saga, step).but(
        status=Status.COMPENSATING,
        stop_reason=reason,
        effects={**at(saga, step).effects, step.name: Effect.DONE, **accounted},
    )


def resting(saga: Saga[Any], step: Any, status: Status, reason: StopReason) -> At:
    """Everything before the step is compensated, and the step did not happen."""
    index = saga.index(step.name)
    return at(saga, step).but(
        status=status,
        stop_reason=reason,
        effects={
            **{before.name: Effect.COMPENSATED for before in saga.steps[:index]},
            step.name: Effect.NOT_DONE,
        },
    )
