"""What ``saga doctor`` should know of this application besides the engine."""

from collections.abc import Iterable, Iterator

import httpx
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from gateways.account import AccountFaulty, is_open
from gateways.payments.accounts import AlipayAccount, WechatPayAccount
from saga.doctor import Finding
from settings import settings
from tasks import doors

_PATIENCE_SECONDS = 2


def pending(config: Config, connection: Connection) -> Iterable[str]:
    """Name the migrations that the database does not have yet, in the order of their coming."""
    script = ScriptDirectory.from_config(config)
    standing = MigrationContext.configure(connection).get_current_heads()
    try:
        missing = list(script.iterate_revisions("heads", standing or "base"))
    except CommandError:
        # A newer release was here; its revisions are unknown to this one.
        return ()
    return [f"{revision.revision} ({revision.doc})" for revision in reversed(missing)]


def findings() -> Iterator[Finding]:
    """Judge the settings that have no safe default, and payment providers."""
    if settings.saga_api_key is None:
        yield Finding.warn(
            "SAGA_API_KEY",
            "is not set: the HTTP API lets nobody in",
            "set SAGA_API_KEY to a long random text",
        )
    else:
        yield Finding.ok("SAGA_API_KEY", "is set")
    yield from _providers()
    if settings.sandbox_url is not None:
        yield _sandbox(settings.sandbox_url)


def _providers() -> Iterator[Finding]:
    """Judge how payment providers are set up, calling none of them."""
    for method in doors.PROVIDERS:
        yield from _provider(method)
    if settings.saga_api_url is None:
        if settings.wechatpay_mchid is not None:
            yield Finding.warn(
                "SAGA_API_URL",
                "is not set: WeChat Pay is not told where to call back, only polled",
                "set it to the address at which the outside reaches this API",
            )
        return
    for fault in doors.api_url_faults():
        yield Finding.bad(fault.variable, fault.detail, fault.advice)


def _provider(method: str) -> Iterator[Finding]:
    name = f"{method} payments"
    try:
        account = doors.payment_account(method)
    except AccountFaulty as faulty:
        for fault in faulty.faults:
            yield Finding.bad(fault.variable, fault.detail, fault.advice)
        return
    if account is None:
        yield Finding.warn(
            name,
            f"not set: {method} payments cannot be refunded",
            f"set {doors.PROVIDERS[method]}…, as docs/reference/settings.md says, or run: saga up",
        )
        return
    if is_open(account.url):
        yield Finding.warn(
            name,
            f"{account.url} is not https: what is sent there can be read and answered on the way",
            "give the https address",
        )
        return
    match account:
        case WechatPayAccount(mchid=mchid):
            url = doors.notify_url(method)
            calls = "is polled" if url is None else f"calls back to {url}"
            yield Finding.ok(name, f"is set up (merchant {mchid}, {calls})")
        case AlipayAccount(app_id=app_id):
            yield Finding.ok(
                name, f"is set up (application {app_id}, calls back where its payments said)"
            )


def _sandbox(url: str) -> Finding:
    try:
        with httpx.Client(timeout=_PATIENCE_SECONDS, trust_env=False) as client:
            client.get(f"{url}/healthz").raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding.bad(
            "payment provider",
            f"the sandbox at {url} does not answer: {error}",
            "start it, or correct SANDBOX_URL; refunds wait and then fail",
        )
    return Finding.ok("payment provider", f"the sandbox at {url} answers")
