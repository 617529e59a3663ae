"""Which door a piece of work goes through, as the settings say."""

# What speaks to providers is imported where it is used: without it, all start in half the time.
# ruff: noqa: PLC0415

from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gateways.payments import PaymentGateway
from gateways.payments.wallet import WalletGateway
from saga import connect
from settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine as Database

    from gateways.account import Fault
    from gateways.devices import ContainerHost
    from gateways.devices.accounts import HostAccount
    from gateways.devices.adb import AdbDevice
    from gateways.notices import Notices
    from gateways.objects import ObjectStore
    from gateways.objects.accounts import BucketAccount
    from gateways.payments.accounts import AlipayAccount, WechatPayAccount
    from gateways.staging import Staging

# A gateway gives up a little before its step is told to, so that its own error is recorded.
_EARLIER = 0.9
_NOTICE_TIMEOUT = timedelta(seconds=10)
# Of a step's time; of a device that does not answer the container host is asked in the rest.
_ADB_SHARE = 0.6
PROVIDERS = {"wechat": "WECHATPAY_", "alipay": "ALIPAY_"}
"""How the settings of a payment method's provider begin."""


class NoSuchDoor(Exception):
    """No gateway is set up for what was asked."""


@lru_cache
def payment_gateway(method: str) -> PaymentGateway:
    """The gateway of a payment method. Raises NoSuchDoor, which says what to set.

    Raises AccountFaulty for an account that is set up wrongly: `check` tells so at the start.
    """
    if method == "balance":
        return WalletGateway(connect(settings.database_url.get_secret_value(), pool_size=1))
    timeout = timedelta(seconds=settings.payment_refund_call_timeout_seconds * _EARLIER)
    account = payment_account(method)
    if account is None:
        raise NoSuchDoor(
            f"no provider is set up for {method} payments: set {PROVIDERS.get(method, 'it')}…, "
            "as docs/reference/settings.md says"
        )
    from gateways.payments.accounts import WechatPayAccount

    if isinstance(account, WechatPayAccount):
        from gateways.payments.wechat import WechatPayGateway

        return WechatPayGateway(account, timeout)
    from gateways.payments.alipay import AlipayGateway

    return AlipayGateway(account, timeout)


def payment_account(method: str) -> "WechatPayAccount | AlipayAccount | None":
    """Our account at the provider of a payment method; None if it is not set up or has none.

    Raises AccountFaulty.
    """
    from gateways.payments.accounts import AlipayAccount, WechatPayAccount

    match method:
        case "wechat":
            return WechatPayAccount.read(settings.account(PROVIDERS[method]))
        case "alipay":
            return AlipayAccount.read(settings.account(PROVIDERS[method]))
        case _:
            return None


def notify_url(method: str) -> str | None:
    """Where the provider of a payment method is to call back; None: it is only polled."""
    if settings.saga_api_url is None or method not in PROVIDERS:
        return None
    return f"{settings.saga_api_url.rstrip('/')}/api/webhooks/{method}"


def api_url_faults() -> "list[Fault]":
    """What is wrong with where providers are to call back."""
    from gateways.account import Fault, is_address

    url = settings.saga_api_url
    if url is None:
        return []
    if not is_address(url):
        return [
            Fault(
                "SAGA_API_URL",
                "is not an http or https address",
                "give the one at which providers reach this API",
            )
        ]
    is_real = settings.wechatpay_mchid is not None and settings.wechatpay_url is None
    if is_real and not url.lower().startswith("https:"):
        return [
            Fault(
                "SAGA_API_URL",
                "is not https, and WeChat Pay refuses what is to be called back there",
                "give an https address, or unset it to be only polled",
            )
        ]
    return []


def check() -> None:
    """Raise AccountFaulty with all that is wrong with how other systems are set up; calls nobody.

    What needs no fault is made: a worker's processes then have it from before their fork.
    """
    from gateways.account import AccountFaulty

    faults = api_url_faults()

    def look(door: "Callable[[], object]") -> None:
        try:
            door()
        except AccountFaulty as faulty:
            faults.extend(faulty.faults)
        except NoSuchDoor:
            pass  # what is not set up is told by who needs it

    for method in PROVIDERS:
        look(lambda method=method: payment_account(method) and payment_gateway(method))  # type: ignore[misc]
    look(bucket_account)
    look(host_account)
    look(notices)
    if faults:
        raise AccountFaulty(faults)


def bucket_account() -> "BucketAccount | None":
    """Our bucket; None if it is not set up. Raises AccountFaulty."""
    from gateways.objects.accounts import BucketAccount

    given = settings.account("OBJECT_STORE_")
    given.pop("OBJECT_STORE_FOLDER", None)  # where there is no bucket
    return BucketAccount.read(given)


@lru_cache
def object_store() -> "ObjectStore":
    """Where applications are kept. Raises NoSuchDoor, which says what to set, or AccountFaulty."""
    timeout = timedelta(seconds=settings.app_upload_call_timeout_seconds * _EARLIER)
    account = bucket_account()
    if account is not None:
        from gateways.objects.bucket import BucketStore

        return BucketStore(account, timeout)
    if settings.object_store_folder is not None:
        from gateways.objects.folder import FolderStore

        return FolderStore(Path(settings.object_store_folder))
    raise NoSuchDoor(
        "no object store is set up: set OBJECT_STORE_BUCKET, or OBJECT_STORE_FOLDER, as "
        "docs/reference/settings.md says"
    )


@lru_cache
def staging() -> "Staging":
    """Where files wait for their upload. Raises NoSuchDoor, which says what to set."""
    from gateways.staging import Staging

    if settings.staging_folder is None:
        raise NoSuchDoor(
            "no staging is set up: set STAGING_FOLDER to a folder that the API and all workers see"
        )
    return Staging(Path(settings.staging_folder))


@lru_cache
def notices() -> "Notices | None":
    """Who is told of new versions; None if nobody is. Raises AccountFaulty."""
    from gateways.notices import NoticeAccount, Notices

    account = NoticeAccount.read(settings.account("APP_NOTIFY_"))
    return None if account is None else Notices(account, timeout=_NOTICE_TIMEOUT)


@lru_cache
def database() -> "Database":
    """Our own database, for what an external step looks up and notes there itself."""
    return connect(settings.database_url.get_secret_value(), pool_size=1)


def host_account() -> "HostAccount | None":
    """How the container host is reached; None if none is set up. Raises AccountFaulty."""
    from gateways.devices.accounts import HostAccount

    return HostAccount.read(settings.account("DEVICE_HOST_"))


@lru_cache
def container_host() -> "ContainerHost":
    """Where devices run. Raises NoSuchDoor, which says what to set, or AccountFaulty."""
    account = host_account()
    if account is None:
        raise NoSuchDoor(
            "no container host is set up: set DEVICE_HOST_URL, as docs/reference/settings.md says"
        )
    from gateways.devices.engine import DockerHost

    return DockerHost(account, _device_call())


def adb(port: int) -> "AdbDevice":
    """The device behind a port of the container host; nothing is connected yet."""
    from gateways.devices.adb import AdbDevice

    return AdbDevice(settings.device_adb_address, port, timeout=_device_call() * _ADB_SHARE)


def _device_call() -> timedelta:
    return timedelta(seconds=settings.device_call_timeout_seconds * _EARLIER)
