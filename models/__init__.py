"""The business tables, and each saga's typed state."""

from models.base import Base
from models.money import decimal_text
from models.order import Order, OrderStatus
from models.payment import Payment, PaymentMethod, PaymentStatus, Refund
from models.payment_view import PaymentView
from models.refund_state import RefundState

__all__ = [
    "Base",
    "Order",
    "OrderStatus",
    "Payment",
    "PaymentMethod",
    "PaymentStatus",
    "PaymentView",
    "Refund",
    "RefundState",
    "decimal_text",
]
