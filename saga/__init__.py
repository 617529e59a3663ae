"""Durable sagas for Celery: business processes that end done or undone, never half-way."""

from saga.application import ExtraProcess, Producer, SagaApp
from saga.database import connect
from saga.definition import Role, Saga, Step, compensatable, pivot, retriable
from saga.engine import Engine, Started
from saga.errors import (
    BusinessKeyTaken,
    Conflict,
    DefinitionError,
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    Refused,
    SagaError,
    SagaNotFound,
    StartError,
    StepMisbehaved,
    TryAgain,
)
from saga.operator import Acted, Operator
from saga.position import Outcome, Status
from saga.retry import PollPolicy, RetryPolicy
from saga.task import (
    CannotTell,
    DidNotHappen,
    Effect,
    Forward,
    Happened,
    IdempotencyKey,
    external,
    external_compensation,
    manual,
    nothing_to_compensate,
    probe,
    transactional,
    transactional_compensation,
)
from saga.timing import Timing
from saga.waiting import PollAgain, Signal, SleepUntil, Wait, on_signal, sleep_until

__all__ = [
    "Acted",
    "BusinessKeyTaken",
    "CannotTell",
    "Conflict",
    "DefinitionError",
    "DidNotHappen",
    "Effect",
    "Engine",
    "ExtraProcess",
    "Forward",
    "Happened",
    "IdempotencyKey",
    "IdempotencyKeyReused",
    "InvalidInput",
    "NotFound",
    "Operator",
    "Outcome",
    "PollAgain",
    "PollPolicy",
    "Producer",
    "Refused",
    "RetryPolicy",
    "Role",
    "Saga",
    "SagaApp",
    "SagaError",
    "SagaNotFound",
    "Signal",
    "SleepUntil",
    "StartError",
    "Started",
    "Status",
    "Step",
    "StepMisbehaved",
    "Timing",
    "TryAgain",
    "Wait",
    "compensatable",
    "connect",
    "external",
    "external_compensation",
    "manual",
    "nothing_to_compensate",
    "on_signal",
    "pivot",
    "probe",
    "retriable",
    "sleep_until",
    "transactional",
    "transactional_compensation",
]
