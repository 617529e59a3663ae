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
    "UnexpectedAnswer",
]
