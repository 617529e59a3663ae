"""The business tables, and each saga's typed state."""

from models.app_upload_state import AppUploadState
from models.application import Application, ApplicationStatus
from models.application_view import ApplicationView
from models.base import Base
from models.money import decimal_text
from models.order import Order, OrderStatus
from models.order_view import OrderView
from models.payment import Payment, PaymentMethod, PaymentStatus, Refund
from models.payment_view import PaymentView
from models.refund_check import Difference, RefundCheck
from models.refund_notified import RefundNotified
from models.refund_state import RefundState
from models.sweep_alarm import SweepAlarm

__all__ = [
    "AppUploadState",
    "Application",
    "ApplicationStatus",
    "ApplicationView",
    "Base",
    "Difference",
    "Order",
    "OrderStatus",
    "OrderView",
    "Payment",
    "PaymentMethod",
    "PaymentStatus",
    "PaymentView",
    "Refund",
    "RefundCheck",
    "RefundNotified",
    "RefundState",
    "SweepAlarm",
    "decimal_text",
]
