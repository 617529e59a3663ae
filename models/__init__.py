"""The business tables, and each saga's typed state."""

from models.app_upload_state import AppUploadState
from models.application import Application, ApplicationStatus
from models.application_view import ApplicationView
from models.base import Base
from models.device import Device, DeviceStatus
from models.device_port import DevicePort
from models.device_state import DeviceDeletionState, DeviceState, container_name
from models.device_view import DeviceView, QuotaView
from models.money import decimal_text
from models.order import Order, OrderStatus
from models.order_view import OrderView
from models.payment import Payment, PaymentMethod, PaymentStatus, Refund
from models.payment_view import PaymentView
from models.quota import (
    DeviceQuota,
    QuotaShare,
    QuotaStatus,
    ShareStatus,
    Taken,
    taken_of,
)
from models.refund_check import Difference, RefundCheck
from models.refund_notified import RefundNotified
from models.refund_state import RefundState
from models.specification import Specification
from models.sweep_alarm import SweepAlarm

__all__ = [
    "AppUploadState",
    "Application",
    "ApplicationStatus",
    "ApplicationView",
    "Base",
    "Device",
    "DeviceDeletionState",
    "DevicePort",
    "DeviceQuota",
    "DeviceState",
    "DeviceStatus",
    "DeviceView",
    "Difference",
    "Order",
    "OrderStatus",
    "OrderView",
    "Payment",
    "PaymentMethod",
    "PaymentStatus",
    "PaymentView",
    "QuotaShare",
    "QuotaStatus",
    "QuotaView",
    "Refund",
    "RefundCheck",
    "RefundNotified",
    "RefundState",
    "ShareStatus",
    "Specification",
    "SweepAlarm",
    "Taken",
    "container_name",
    "decimal_text",
    "taken_of",
]
