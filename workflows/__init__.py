"""The story: one file a saga, with its order, roles, compensations, retries and timeout."""

from workflows.app_details import AppDetails, AppInput
from workflows.app_upload import (
    ApplicationNotFound,
    FileTooLarge,
    NotAnApp,
    VersionExists,
    download_name,
    find_application,
    request_upload,
    start_upload,
    upload,
)
from workflows.device_creation import (
    DeviceNotFound,
    NotInQuota,
    QuotaNotFound,
    UserUnknown,
    creation,
    find_device,
    quota_of,
    request_device,
)
from workflows.device_deletion import deletion, request_deletion
from workflows.device_input import DeviceDeletionInput, DeviceInput
from workflows.payment_refund import (
    PaymentNotFound,
    RefundInput,
    RefundTerms,
    refund,
    request_refund,
)

__all__ = [
    "AppDetails",
    "AppInput",
    "ApplicationNotFound",
    "DeviceDeletionInput",
    "DeviceInput",
    "DeviceNotFound",
    "FileTooLarge",
    "NotAnApp",
    "NotInQuota",
    "PaymentNotFound",
    "QuotaNotFound",
    "RefundInput",
    "RefundTerms",
    "UserUnknown",
    "VersionExists",
    "creation",
    "deletion",
    "download_name",
    "find_application",
    "find_device",
    "quota_of",
    "refund",
    "request_deletion",
    "request_device",
    "request_refund",
    "request_upload",
    "start_upload",
    "upload",
]
