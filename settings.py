"""The only reader of the environment. Every name is listed in docs/reference/settings.md."""

import ipaddress
import math
import re
import sys
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from saga.timing import Timing

_LAST_PORT = 65_535
# Far beyond what anybody means, and still far from what dates and timers cannot hold.
_LONGEST_SECONDS = 365 * 86_400

_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#@\\]+(/[^\s?#@\\]*)?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


class Settings(BaseSettings):
    """What the environment says; secrets have no default."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    database_url: SecretStr = SecretStr("postgresql://")
    celery_broker_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    saga_api_key: SecretStr | None = None
    saga_api_url: str | None = None
    saga_console_secret: SecretStr | None = None
    flower_url: str | None = None
    sandbox_url: str | None = None

    wechatpay_mchid: str | None = None
    wechatpay_cert_serial_no: str | None = None
    wechatpay_private_key: SecretStr | None = None
    wechatpay_private_key_file: str | None = None
    wechatpay_apiv3_key: SecretStr | None = None
    wechatpay_apiv3_key_file: str | None = None
    wechatpay_public_key: SecretStr | None = None
    wechatpay_public_key_file: str | None = None
    wechatpay_public_key_id: str | None = None
    wechatpay_url: str | None = None

    alipay_app_id: str | None = None
    alipay_private_key: SecretStr | None = None
    alipay_private_key_file: str | None = None
    alipay_public_key: SecretStr | None = None
    alipay_public_key_file: str | None = None
    alipay_url: str | None = None

    saga_lease_seconds: float = Field(10, gt=0)
    saga_grace_seconds: float = Field(5, gt=0)
    saga_patience_seconds: float = Field(10, gt=0)
    saga_scan_seconds: float = Field(2, gt=0)
    saga_second_looks_seconds: list[float] = [600, 86400]

    payment_refund_timeout_seconds: float = Field(300, gt=0)
    payment_refund_call_timeout_seconds: float = Field(30, gt=0)
    payment_refund_settle_after_seconds: float | None = Field(None, gt=0)
    payment_refund_first_retry_seconds: float = Field(2, gt=0)
    payment_refund_poll_seconds: float | None = Field(None, gt=0)

    payment_reconcile_seconds: float = Field(300, gt=0)

    staging_folder: str | None = None
    object_store_folder: str | None = None
    object_store_bucket: str | None = None
    object_store_endpoint: str | None = None
    object_store_region: str | None = None
    object_store_access_key_id: str | None = None
    object_store_secret_access_key: SecretStr | None = None
    object_store_secret_access_key_file: str | None = None
    object_link_seconds: float = Field(900, ge=1, le=604_800)

    app_upload_timeout_seconds: float = Field(600, gt=0)
    app_upload_call_timeout_seconds: float = Field(240, gt=0)
    app_upload_first_retry_seconds: float = Field(2, gt=0)
    app_upload_stall_seconds: float = Field(30, gt=0)
    app_notify_url: str | None = None
    app_notify_secret: SecretStr | None = None
    app_notify_secret_file: str | None = None
    app_tidy_seconds: float = Field(10, gt=0)

    device_host_url: str | None = None
    device_host_certs: str | None = None
    device_bind_address: str = "127.0.0.1"
    device_adb_address: str = "127.0.0.1"
    device_ports: str = "5555-6554"
    device_image: str = "celery-sagas-device"
    device_privileged: bool = False
    device_limits: bool = True
    device_storage_limit: bool = False
    device_setup: list[str] = [
        "wm size {width}x{height}",
        "wm density {dpi}",
        "settings put global stay_on_while_plugged_in 3",
    ]
    device_boot_seconds: float = Field(60, gt=0)
    device_poll_seconds: float = Field(3, gt=0)
    device_creation_timeout_seconds: float = Field(600, gt=0)
    device_call_timeout_seconds: float = Field(30, gt=0)
    device_first_retry_seconds: float = Field(2, gt=0)
    device_tidy_seconds: float = Field(30, gt=0)

    sweep_grace_seconds: float = Field(86400, gt=0)
    sweep_seconds: float = Field(3600, gt=0)

    @cached_property
    def reconcile_every(self) -> timedelta:
        return timedelta(seconds=self.payment_reconcile_seconds)

    @cached_property
    def app_upload_stall(self) -> timedelta:
        return timedelta(seconds=self.app_upload_stall_seconds)

    @cached_property
    def device_port_range(self) -> range:
        """The ports that devices may have, at least one."""
        first, last = map(int, self.device_ports.split("-"))
        return range(first, last + 1)

    @cached_property
    def object_link(self) -> timedelta:
        return timedelta(seconds=self.object_link_seconds)

    @field_validator("*")
    @classmethod
    def _is_no_eternity(cls, given: Any, info: ValidationInfo) -> Any:
        if (info.field_name or "").endswith("_seconds") and given is not None:
            for seconds in given if isinstance(given, list) else [given]:
                if math.isnan(seconds) or seconds > _LONGEST_SECONDS:
                    raise ValueError(f"must be at most {_LONGEST_SECONDS} (a year)")
        return given

    @field_validator("flower_url")
    @classmethod
    def _leads_browsers(cls, url: str | None) -> str | None:
        if url is not None and not _WEB_ADDRESS.fullmatch(url):
            raise ValueError(
                "must be an address that starts with http:// or https://, without a login, such as "
                "https://flower.example.com"
            )
        return url

    @field_validator("device_bind_address")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError("must be an IP address, such as 127.0.0.1") from None
        return address

    @field_validator("device_adb_address")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if not _HOST_NAME.fullmatch(host):
                raise ValueError(
                    "must be a host's name or IP address alone, such as 127.0.0.1: each device has "
                    "a port of its own"
                ) from None
        return host

    @field_validator("device_ports")
    @classmethod
    def _is_a_range(cls, ports: str) -> str:
        two = _RANGE.fullmatch(ports)
        first, last = map(int, two.groups()) if two else (0, 0)
        if not 0 < first <= last <= _LAST_PORT:
            raise ValueError(f"must be a range of ports, such as 5555-6554, up to {_LAST_PORT}")
        return ports

    @field_validator("device_image")
    @classmethod
    def _names_an_image(cls, image: str) -> str:
        if not image.strip() or set(image.replace("{android}", "")) & set("{}"):
            raise ValueError("must name an image, in which only {android} is filled in")
        return image

    @field_validator("device_setup")
    @classmethod
    def _can_be_filled_in(cls, commands: list[str]) -> list[str]:
        for command in commands:
            try:
                filled_in = command.format(width=1, height=1, dpi=1)
            except (LookupError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"{command!r} names something else than {{width}}, {{height}} and {{dpi}}; a "
                    "brace for the shell is written twice"
                ) from error
            if not filled_in.strip():
                raise ValueError("must not have an empty command")
        return commands

    def account(self, prefix: str) -> dict[str, str]:
        """What is set of a provider's account, such as ``WECHATPAY_``, by variable name."""
        return {
            name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self
            if name.upper().startswith(prefix) and value is not None
        }

    @cached_property
    def timing(self) -> Timing:
        return Timing(
            lease=timedelta(seconds=self.saga_lease_seconds),
            grace=timedelta(seconds=self.saga_grace_seconds),
            patience=timedelta(seconds=self.saga_patience_seconds),
            scan=timedelta(seconds=self.saga_scan_seconds),
            second_looks=tuple(
                timedelta(seconds=seconds) for seconds in self.saga_second_looks_seconds
            ),
        )


def _read() -> Settings:
    """The settings, or the end of this process, with all that is wrong with them.

    What was given is not told: it may be a secret.
    """
    try:
        return Settings()
    except SettingsError as error:
        # Of what is to be JSON, and raised before anything else is looked at.
        name = str(error).partition('field "')[2].partition('"')[0]
        sys.exit(f"saga: {name.upper()}: is not JSON")
    except ValidationError as error:
        faults = [
            f"{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        sys.exit("\n".join(f"saga: {fault}" for fault in faults))


settings = _read()
