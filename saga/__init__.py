"""Durable sagas for Celery: business processes that end done or undone, never half-way."""

from saga.application import ExtraProcess, Producer, SagaApp
from saga.database import connect
from saga.definition import Role, Saga, Step, compensatable, pivot, retriable
from saga.engine import Engine, Started
from saga.errors import (
    BusinessKeyTaken,
    ClaimLost,
    Conflict,
    DefinitionError,
    IdempotencyKeyReused,
    InvalidInput,
    LoanError,
    NeedsPerson,
    NotFound,
    Refused,
    SagaError,
    SagaNotFound,
    StartError,
    StepMisbehaved,
    TryAgain,
)
from saga.loan import borrowed
from saga.operator import Acted, Operator
from saga.position import Outcome, Status
from saga.reporting import progress
from saga.retry import PollPolicy, RetryPolicy, skip
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
from saga.worker import CeleryPublisher, producer, register

__all__ = [
    "Acted",
    "BusinessKeyTaken",
    "CannotTell",
    "CeleryPublisher",
    "ClaimLost",
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
    "LoanError",
    "NeedsPerson",
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
    "borrowed",
    "compensatable",
    "connect",
    "external",
    "external_compensation",
    "manual",
    "nothing_to_compensate",
    "on_signal",
    "pivot",
    "probe",
    "producer",
    "progress",
    "register",
    "retriable",
    "skip",
    "sleep_until",
    "transactional",
    "transactional_compensation",
]
