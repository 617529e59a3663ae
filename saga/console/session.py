"""Who is logged in: a signed cookie says whose key it was, and never holds the key itself."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

from saga.access import Principal
from saga.access.keyring import Keyring, NotAdmitted

COOKIE = "saga_console"
LASTS = timedelta(hours=12)

# A cookie of ours is much shorter.
_LONGEST_COOKIE = 1_000


@dataclass(frozen=True, kw_only=True)
class Session:
    """One login. ``token`` is in each of its forms: other sites cannot know it."""

    principal: Principal
    token: str


class Sessions:
    """Opens sessions and reads them, signed with what is made from ``secret``.

    So all processes that know the secret know the same sessions, and all of them end with it.
    A session is as good as the key that opened it: each request asks whether that still is.
    """

    def __init__(self, keyring: Keyring, *, secret: str) -> None:
        self._keyring = keyring
        self._secret = secret

    def open(self, principal: Principal) -> str:
        """The cookie of a new session."""
        whose = principal.key_id or self._keyring.mark_of_environment
        opened: str = self._signer.dumps([whose, secrets.token_urlsafe(16)])
        return opened

    def read(self, cookie: str | None) -> Session | None:
        """The session; None where it is none, is over, or its key is no good any more.

        Blocks, and raises what a database that is away raises.
        """
        if not cookie or len(cookie) > _LONGEST_COOKIE:
            return None
        try:
            key_id, token = self._signer.loads(cookie, max_age=int(LASTS.total_seconds()))
        except BadSignature:
            return None
        try:
            return Session(principal=self._keyring.of_id(key_id), token=token)
        except NotAdmitted:
            return None

    @cached_property
    def _signer(self) -> URLSafeTimedSerializer:
        # Slow on purpose: who holds a cookie must not find a short secret by trying.
        secret = hashlib.scrypt(
            self._secret.encode(errors="surrogateescape"),
            salt=b"the sessions of the console",
            n=2**14,
            r=8,
            p=1,
        )
        return URLSafeTimedSerializer(secret, salt="session")


def session_of(request: Request) -> Session:
    """The session of a request that was let in."""
    session = request.state.session
    assert isinstance(session, Session)
    return session


def who(request: Request) -> Principal:
    """Whose request this is."""
    return session_of(request).principal
