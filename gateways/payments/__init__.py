"""The door to payment providers: one interface, one module for each provider."""

from gateways.payments.gateway import (
    PaymentGateway,
    ProviderBusy,
    RefundAnswer,
    RefundRefused,
    RefundRequest,
    RefundStatus,
    UnexpectedAnswer,
)
from gateways.payments.http import SandboxGateway

__all__ = [
    "PaymentGateway",
    "ProviderBusy",
    "RefundAnswer",
    "RefundRefused",
    "RefundRequest",
    "RefundStatus",
    "SandboxGateway",
    "UnexpectedAnswer",
]
