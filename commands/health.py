"""What ``saga doctor`` should know of this application besides the engine."""

from collections.abc import Iterable, Iterator

import httpx
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from saga.doctor import Finding
from settings import settings

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
    """Judge the settings that have no safe default."""
    if settings.saga_api_key is None:
        yield Finding.warn(
            "SAGA_API_KEY",
            "is not set: the HTTP API lets nobody in",
            "set SAGA_API_KEY to a long random text",
        )
    else:
        yield Finding.ok("SAGA_API_KEY", "is set")
    yield _provider()


def _provider() -> Finding:
    if settings.sandbox_url is None:
        return Finding.warn(
            "SANDBOX_URL",
            "is not set: wechat and alipay payments cannot be refunded",
            "set SANDBOX_URL, or run: saga up",
        )
    try:
        with httpx.Client(timeout=_PATIENCE_SECONDS, trust_env=False) as client:
            client.get(f"{settings.sandbox_url}/healthz").raise_for_status()
    except httpx.HTTPError as error:
        return Finding.bad(
            "payment provider",
            f"the sandbox at {settings.sandbox_url} does not answer: {error}",
            "start it, or correct SANDBOX_URL; refunds wait and then fail",
        )
    return Finding.ok("payment provider", f"the sandbox at {settings.sandbox_url} answers")
