"""The story: one file a saga, with its order, roles, compensations, retries and timeout."""

from workflows.payment_refund import RefundInput, refund, request_refund

__all__ = ["RefundInput", "refund", "request_refund"]
