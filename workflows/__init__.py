"""The story: one file a saga, with its order, roles, compensations, retries and timeout."""

from workflows.payment_refund import (
    PaymentNotFound,
    RefundInput,
    RefundTerms,
    refund,
    request_refund,
)

__all__ = ["PaymentNotFound", "RefundInput", "RefundTerms", "refund", "request_refund"]
