"""How the settings of payment providers are taken: at the start, by the doctor, and by refunds."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from commands import health
from gateways.account import AccountFaulty
from gateways.payments import NumberReused, RefundRequest
from gateways.payments.sandbox.merchant import environment
from gateways.payments.wallet import WalletGateway
from settings import settings
from tasks.doors import NoSuchDoor, check, notify_url, payment_gateway

pytest_plugins = ["tests.integration.merchant"]

PROJECT = Path(__file__).resolve().parents[2]
HALF = {"WECHATPAY_MCHID": "1900000001", "WECHATPAY_APIV3_KEY": "a secret that is too short"}


@pytest.fixture(autouse=True)
def no_gateway_is_kept() -> Iterator[None]:
    yield
    payment_gateway.cache_clear()


def set_up(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    ours = ("wechatpay_", "alipay_", "saga_api_url", "sandbox_url")
    for name in type(settings).model_fields:
        if name.startswith(ours):
            monkeypatch.setattr(settings, name, variables.get(name.upper()) or None)
    payment_gateway.cache_clear()


def told() -> dict[str, tuple[str, str]]:
    return {found.name: (found.level.value, found.detail) for found in health.findings()}


def test_a_worker_and_the_api_refuse_to_start_with_an_account_set_up_by_half() -> None:
    said = os.environ | HALF | {"CELERY_BROKER_URL": "redis://127.0.0.1:1", "SAGA_API_URL": "here"}
    starts = [
        ["-m", "celery", "-A", "app", "worker"],
        ["-m", "uvicorn", "--factory", "app:create_api", "--port", "0"],
    ]

    processes = [
        subprocess.Popen(
            [sys.executable, *start],
            cwd=PROJECT,
            env=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for start in starts
    ]

    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "saga: SAGA_API_URL is not an http or https address" in output
        assert "saga: WECHATPAY_APIV3_KEY is not 32 bytes long" in output
        assert "saga: WECHATPAY_PRIVATE_KEY is not set" in output
        assert "Traceback" not in output
        assert HALF["WECHATPAY_APIV3_KEY"] not in output


def test_the_doctor_tells_how_each_provider_is_set_up(
    monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    given = environment("https://pay.example.com", keys)
    api = {"SAGA_API_URL": "https://us.example.com/"}
    set_up(monkeypatch, **given, **api)
    check()
    found = told()
    calls = "calls back to https://us.example.com/api/webhooks/wechat"
    assert found["wechat payments"] == ("ok", f"is set up (merchant 1900000001, {calls})")
    assert found["alipay payments"][0] == "ok"
    assert notify_url("balance") is None

    set_up(monkeypatch, **environment("http://pay.example.com", keys))
    found = told()
    assert found["wechat payments"][0] == found["alipay payments"][0] == "warn"
    assert "is not https" in found["alipay payments"][1]
    assert found["SAGA_API_URL"][0] == "warn"
    assert notify_url("wechat") is None

    set_up(monkeypatch, **given | {"WECHATPAY_APIV3_KEY": "both", "SAGA_API_URL": "here"})
    found = told()
    assert found["WECHATPAY_APIV3_KEY"][0] == found["SAGA_API_URL"][0] == "bad"
    assert found["alipay payments"][0] == "ok"


def test_wechat_pay_itself_is_given_no_address_that_it_refuses(
    monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    real = environment("https://pay.example.com", keys) | {"WECHATPAY_URL": ""}
    set_up(monkeypatch, **real, SAGA_API_URL="http://us.example.com")

    with pytest.raises(AccountFaulty, match="SAGA_API_URL is not https"):
        check()
    assert told()["SAGA_API_URL"][0] == "bad"

    set_up(monkeypatch, **real, SAGA_API_URL="https://us.example.com")
    check()


def test_a_method_without_a_provider_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch)

    check()
    assert told()["alipay payments"][0] == "warn"
    with pytest.raises(NoSuchDoor, match="set ALIPAY_"):
        payment_gateway("alipay")


def test_the_wallet_does_not_take_another_refund_for_this_one(database: Database) -> None:
    wallet = WalletGateway(database)
    first = RefundRequest(
        refund_no="R1",
        payment_no="PAY1",
        payment_minor=100,
        amount_minor=60,
        currency="CNY",
        reason="",
    )
    assert wallet.refund(first) == wallet.refund(first)

    for payment_no, amount_minor in (("PAY1", 50), ("PAY2", 60)):
        other = RefundRequest(
            refund_no="R1",
            payment_no=payment_no,
            payment_minor=100,
            amount_minor=amount_minor,
            currency="CNY",
            reason="",
        )
        with pytest.raises(NumberReused):
            wallet.refund(other)
    with pytest.raises(NumberReused):
        wallet.find_refund("R1", payment_no="PAY2")
