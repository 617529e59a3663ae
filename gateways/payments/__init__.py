"""The door to payment providers: one interface, one module for each provider."""

from gateways.payments.gateway import (
    CallbackRejected,
    NumberReused,
    PaymentGateway,
    PersonNeeded,
    ProviderBusy,
    RefundAnswer,
    RefundNotice,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)
from gateways.payments.http import SandboxGateway

__all__ = [
    "CallbackRejected",
    "NumberReused",
    "PaymentGateway",
    "PersonNeeded",
    "ProviderBusy",
    "RefundAnswer",
    "RefundNotice",
    "RefundRefused",
    "RefundRequest",
    "RefundStatus",
    "SandboxGateway",
    "UnexpectedAnswer",
]
