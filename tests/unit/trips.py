"""A trip's saga, and rows of it: where it stands is said as differences."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.orm import Session

from saga import (
    DidNotHappen,
    Effect,
    Forward,
    IdempotencyKey,
    Saga,
    Status,
    compensatable,
    external,
    pivot,
    probe,
    retriable,
    transactional,
    transactional_compensation,
)
from saga.row import Row

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class Trip(BaseModel):
    pass


@transactional("trip.reserve")
def reserve(state: Trip, session: Session) -> Trip:  # noqa: ARG001
    return state


@transactional_compensation("trip.give_back")
def give_back(state: Trip, session: Session, forward: Forward) -> None:
    pass


@external("trip.pay")
def pay(state: Trip, key: IdempotencyKey) -> Trip:  # noqa: ARG001
    return state


@probe("trip.find_payment")
def find_payment(state: Trip, key: IdempotencyKey) -> DidNotHappen:  # noqa: ARG001
    return DidNotHappen()


@transactional("trip.confirm")
def confirm(state: Trip, session: Session) -> Trip:  # noqa: ARG001
    return state


trip = Saga(
    name="trip",
    version=1,
    state=Trip,
    timeout=timedelta(minutes=5),
    steps=[
        compensatable(reserve, compensation=give_back),
        pivot(pay, probe=find_payment),
        retriable(confirm),
    ],
)

STEPS = [step.name for step in trip.steps]


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def standing(step: str, **differences: Any) -> Row:
    row = Row(
        saga_id=UUID(int=7),
        saga_type="trip",
        definition_version=1,
        status=Status.RUNNING,
        step=step,
        step_index=STEPS.index(step) if step in STEPS else 0,
        attempt=0,
        now=NOON,
        timeout_at=after(300),
        epoch=1,
        version=5,
        state={},
        dispatches=1,
        retry_count=0,
        max_retries=3,
        claimed_by=None,
        claim_deadline=None,
        wake_at=after(10),
        not_before=None,
        look_at=None,
        unknown_since=None,
        business_key="trip:1",
        error_message=None,
        started_at=NOON,
        completed_at=None,
        created_at=NOON,
        updated_at=NOON,
        generations={},
        effects=dict.fromkeys(STEPS[: STEPS.index(step)] if step in STEPS else [], Effect.DONE),
    )
    return replace(row, **differences)


CALLED = {"claimed": True, "claimed_by": UUID(int=1), "claim_deadline": after(35), "attempt": 1}
RESERVED = {"trip.reserve": Effect.DONE}
UNSURE = RESERVED | {"trip.pay": Effect.UNKNOWN}
BACK = "trip.give_back runs, then the saga is COMPENSATED"
ASKS = "trip.find_payment asks what became of trip.pay"
