"""Every refusal is logged, and stands in the audit: so many a minute of each caller."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from saga.access import Principal, audit

log = structlog.get_logger("saga")

# Whoever tries keys, or a program with the wrong role in a loop, must not fill the table.
MOST_A_MINUTE = 60
_MINUTE_SECONDS = 60.0
_LONGEST_PATH = 200


@dataclass
class _Minute:
    began: float
    written: int = 0
    left_out: int = 0


class Refusals:
    """Writes refusals down. Those of one caller beyond MOST_A_MINUTE are counted, not written."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        # By key; all who have no good key are one caller. So there are as many as keys.
        self._minutes: dict[str | None, _Minute] = {}

    def refuse(self, request: Request, status: int, why: str, principal: Principal | None) -> None:
        """Record the refusal of this request; as ``record``."""
        path = request.scope["path"][:_LONGEST_PATH]
        try:
            saga_id = UUID(request.path_params.get("saga_id", ""))
        except ValueError:
            saga_id = None
        self.record(
            action=f"{request.method} {path}",
            path=path,
            status=status,
            why=why,
            principal=principal,
            saga_id=saga_id,
        )

    def record(
        self,
        *,
        action: str,
        path: str,
        status: int,
        why: str,
        principal: Principal | None,
        saga_id: UUID | None,
    ) -> None:
        """Blocks while it writes. A database that is away loses it; the log has it still."""
        name = None if principal is None else principal.name
        log.warning("refused", action=action, path=path, status=status, actor=name, why=why)
        left_out = self._left_out(None if principal is None else principal.key_id or principal.name)
        if left_out is None:
            return
        more = f" ({left_out} more refusals before this one are not written down)"
        try:
            with self._database.begin() as connection:
                audit.record(
                    connection,
                    actor=name,
                    role=None if principal is None else principal.role,
                    action=action,
                    target=path,
                    saga_id=saga_id,
                    refused=True,
                    why=f"{status}: {why}{more if left_out else ''}",
                )
        except SQLAlchemyError as error:
            log.warning("refusal not audited", action=action, why=type(error).__name__)

    def _left_out(self, who: str | None) -> int | None:
        """How many were left out since the last one written; None: leave out this one, too."""
        now = self._clock()
        with self._lock:
            minute = self._minutes.setdefault(who, _Minute(began=now))
            if now - minute.began >= _MINUTE_SECONDS:
                minute.began, minute.written = now, 0
            if minute.written >= MOST_A_MINUTE:
                minute.left_out += 1
                return None
            minute.written += 1
            left_out, minute.left_out = minute.left_out, 0
            return left_out
