"""The audit: what was done besides starting sagas, and what was refused, by whom and why."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from saga.access.roles import Role
from saga.circumstances import plain
from saga.database import committing
from saga.errors import Conflict, InvalidInput
from saga.logs import log_error
from saga.views import iso

log = structlog.get_logger("saga")

MOST = 500
_LONGEST_TEXT = 500
_LONGEST_CURSOR = 40


class BadAuditPage(InvalidInput):
    """A page of the audit that cannot be; ``field`` says which value is wrong."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field} {message}")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Writes down what one actor does, and what is refused to them."""

    database: Database
    actor: str
    role: Role | None = None

    def note(
        self,
        connection: Connection,
        action: str,
        *,
        saga_id: UUID | None = None,
        target: str | None = None,
        why: str | None = None,
    ) -> None:
        """Write down what is done, in the transaction that does it."""
        record(
            connection,
            actor=self.actor,
            role=self.role,
            action=action,
            target=target,
            saga_id=saga_id,
            why=why,
        )

    @contextmanager
    def refusals(
        self, action: str, *, saga_id: UUID | None = None, target: str | None = None
    ) -> Iterator[None]:
        """Write down a Conflict, in a transaction of its own, and let it go on."""
        try:
            yield
        except Conflict as refusal:
            try:
                with committing(self.database) as connection:
                    record(
                        connection,
                        actor=self.actor,
                        role=self.role,
                        action=action,
                        target=target,
                        saga_id=saga_id,
                        refused=True,
                        why=str(refusal),
                    )
            except SQLAlchemyError as error:
                # What was refused stays refused, written down or not.
                log_error(log, "refusal not audited", error, action=action, actor=self.actor)
            raise


def record(
    connection: Connection,
    *,
    actor: str | None,
    action: str,
    role: Role | None = None,
    target: str | None = None,
    saga_id: UUID | None = None,
    refused: bool = False,
    why: str | None = None,
) -> None:
    """Write an entry inside the caller's transaction. Texts are cut; none may be secret."""
    connection.exec_driver_sql(
        "INSERT INTO saga_audit (at, actor, role, action, target, saga_id, outcome, why) VALUES "
        "(clock_timestamp(), %(actor)s, %(role)s, %(action)s, %(target)s, %(saga_id)s::uuid, "
        "%(outcome)s, %(why)s)",
        {
            "actor": _short(actor),
            "role": role.value if role is not None else None,
            "action": _short(action),
            "target": _short(target),
            "saga_id": str(saga_id) if saga_id is not None else None,
            "outcome": "refused" if refused else "done",
            "why": _short(why),
        },
    )


def list_audit(
    connection: Connection, *, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """``{"items": [Entry], "nextCursor"}``, the newest first; nextCursor is null on the last page.

    Raises BadAuditPage.
    """
    if not 1 <= limit <= MOST:
        raise BadAuditPage("limit", f"must be a whole number from 1 to {MOST}")
    found = connection.exec_driver_sql(
        "SELECT id, at, actor, role, action, target, saga_id, outcome, why FROM saga_audit "
        "WHERE %(before)s IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(most)s",
        {"before": _before(cursor), "most": limit + 1},
    ).all()
    page = found[:limit]
    return {
        "items": [
            {
                "at": iso(entry.at),
                "actor": entry.actor,
                "role": entry.role,
                "action": entry.action,
                "target": entry.target,
                "sagaId": None if entry.saga_id is None else str(entry.saga_id),
                "outcome": entry.outcome,
                "why": entry.why,
            }
            for entry in page
        ],
        "nextCursor": _cursor(page[-1].id) if len(found) > limit else None,
    }


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        if len(cursor) > _LONGEST_CURSOR:
            raise ValueError(cursor)  # noqa: TRY301
        padded = cursor + "=" * (-len(cursor) % 4)
        number = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        if not number.isdecimal() or len(number) > 18:  # noqa: PLR2004 - a bigint's digits
            raise ValueError(number)  # noqa: TRY301
    except ValueError as error:
        raise BadAuditPage("cursor", "must be the nextCursor of another page") from error
    return int(number)


def _short(text: str | None) -> str | None:
    return None if text is None else plain(text, longest=_LONGEST_TEXT)
