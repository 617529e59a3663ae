"""Which door a piece of work goes through, as the settings say."""

from datetime import timedelta
from functools import lru_cache

from gateways.payments import PaymentGateway, SandboxGateway
from gateways.payments.wallet import WalletGateway
from saga import connect
from settings import settings

# A gateway gives up a little before its step is told to, so that its own error is recorded.
_EARLIER = 0.9


class NoSuchDoor(Exception):
    """No gateway is set up for what was asked."""


@lru_cache
def payment_gateway(method: str) -> PaymentGateway:
    """The gateway of a payment method. Raises NoSuchDoor, which says what to set."""
    if method == "balance":
        return WalletGateway(connect(settings.database_url.get_secret_value(), pool_size=1))
    if settings.sandbox_url is None:
        raise NoSuchDoor(f"no provider is set up for {method} payments: set SANDBOX_URL")
    timeout = timedelta(seconds=settings.payment_refund_call_timeout_seconds * _EARLIER)
    return SandboxGateway(settings.sandbox_url, timeout)
