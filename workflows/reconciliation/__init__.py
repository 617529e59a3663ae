"""What we booked of refunds, beside what the providers say they did."""

from workflows.reconciliation.comparison import ADVICE, MEANING
from workflows.reconciliation.differences import OnFile, on_file
from workflows.reconciliation.reconciler import LIMIT, RECONCILE, WINDOW, Reconciled, Reconciler

__all__ = [
    "ADVICE",
    "LIMIT",
    "MEANING",
    "RECONCILE",
    "WINDOW",
    "OnFile",
    "Reconciled",
    "Reconciler",
    "on_file",
]
