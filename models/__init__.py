"""The business tables, and each saga's typed state."""

from models.base import Base
from models.order import Order, OrderStatus
from models.payment import Payment, PaymentMethod, PaymentStatus, Refund
from models.refund_state import RefundState

__all__ = [
    "Base",
    "Order",
    "OrderStatus",
    "Payment",
    "PaymentMethod",
    "PaymentStatus",
    "Refund",
    "RefundState",
]
