"""Which sagas a list shows, and where its next page begins."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from saga.errors import InvalidInput
from saga.position import Status

MOST = 500
_LONGEST_TEXT = 500
_PAST_BIGINT = 2**63
_NO_CURSOR = "must be the nextCursor of another page"


class BadFilter(InvalidInput):
    """A list was asked for with a value that cannot be; ``field`` names which."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field} {message}")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What a list of sagas is narrowed to; all that is given must hold.

    ``key`` is a whole business key. ``q`` is text found anywhere in the saga's id or business key,
    or in the error of a saga that did not complete. ``since`` (included) and ``until`` (not
    included) are about when the saga was started; naive instants are UTC. ``cursor`` is the
    ``nextCursor`` of the page before. Raises BadFilter.
    """

    type: str | None = None
    status: str | None = None
    step: str | None = None
    key: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    cursor: str | None = None

    def __post_init__(self) -> None:
        for name in ("type", "status", "step", "key", "q", "cursor"):
            _refuse_odd_text(name, getattr(self, name))
        if self.status is not None:
            known = self.status.upper()
            if known not in set(Status):
                raise BadFilter("status", f"must be one of {', '.join(Status)}")
            object.__setattr__(self, "status", known)
        if not 1 <= self.limit <= MOST:
            raise BadFilter("limit", f"must be a whole number from 1 to {MOST}")
        for name in ("since", "until"):
            instant = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                object.__setattr__(self, name, instant.replace(tzinfo=UTC))
        # A cursor that cannot be read is refused before anything is asked of the database.
        self.position  # noqa: B018

    @classmethod
    def parse(cls, given: Mapping[str, str | None]) -> Self:
        """Read a filter from text, as URLs and command lines carry it; empty means not given.

        Raises BadFilter, also for a name that is no filter.
        """
        values: dict[str, Any] = {}
        known = {field.name for field in fields(cls)}
        for name, text in given.items():
            if name not in known:
                raise BadFilter(name, f"is no filter; there are {', '.join(sorted(known))}")
            if not text:
                continue
            match name:
                case "limit":
                    values[name] = _whole_number(name, text)
                case "since" | "until":
                    values[name] = _instant(name, text)
                case _:
                    values[name] = text
        return cls(**values)

    @property
    def position(self) -> tuple[datetime, int] | None:
        """When the last saga of the page before was created, and its number."""
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            created_at, number = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            instant = datetime.fromisoformat(created_at).astimezone(UTC)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadFilter("cursor", _NO_CURSOR) from error
        if type(number) is not int or not 0 <= number < _PAST_BIGINT:
            raise BadFilter("cursor", _NO_CURSOR)
        return instant, number


def cursor_after(created_at: datetime, number: int) -> str:
    """The cursor of the page that begins after this saga."""
    position = json.dumps([created_at.isoformat(), number])
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _refuse_odd_text(name: str, text: str | None) -> None:
    if text is None:
        return
    # A command line may carry what is no UTF-8.
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise BadFilter(name, "must be text without U+0000")
    if len(text) > _LONGEST_TEXT:
        raise BadFilter(name, f"must be at most {_LONGEST_TEXT} characters long")


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(MOST)) + 1):
        raise BadFilter(name, f"must be a whole number from 1 to {MOST}")
    return int(text)


def _instant(name: str, text: str) -> datetime:
    try:
        # A + that nobody escaped reaches us as a space.
        instant = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        # PostgreSQL and Python disagree about instants at the edge of time.
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadFilter(name, "must be an instant such as 2026-07-01T12:00:00Z") from error
