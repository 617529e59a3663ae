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
    "FileTooLarge",
    "NotAnApp",
    "PaymentNotFound",
    "RefundInput",
    "RefundTerms",
    "VersionExists",
    "download_name",
    "find_application",
    "refund",
    "request_refund",
    "request_upload",
    "start_upload",
    "upload",
]
