"""Which sagas a list shows, and where its next page begins."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from saga.errors import InvalidInput
from saga.position import Status

MOST = 500
_LONGEST_TEXT = 500
_PAST_BIGINT = 2**63
_PAST_INTEGER = 2**31
_LONGEST = timedelta(days=36_500)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,10})([smhd])")
_NO_DURATION = "must be a duration such as 90s, 15m, 2h or 3d, at most 36500d"
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

    ``status`` is one status or several with commas between. ``key`` is a whole business key.
    ``error`` is the class of the last error, such as TimeoutError. ``retries`` is how many failed
    attempts what is in hand has at least, among sagas at work. ``paused`` leaves those that stand
    still. ``q`` is text found anywhere in the id, the business key or the error of an open saga;
    of a saga at rest it is the whole id or the whole key. ``since`` (included) and ``until`` (not
    included) are about when the saga was started, ``older_than`` about how long ago that is; naive
    instants are UTC. ``cursor`` is the ``nextCursor`` of the page before. Raises BadFilter.
    """

    type: str | None = None
    status: str | None = None
    step: str | None = None
    key: str | None = None
    error: str | None = None
    retries: int | None = None
    paused: bool = False
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    older_than: timedelta | None = None
    limit: int = 50
    cursor: str | None = None

    def __post_init__(self) -> None:
        for name in ("type", "status", "step", "key", "error", "q", "cursor"):
            _refuse_odd_text(name, getattr(self, name))
        if self.status is not None:
            if not self.statuses or not set(self.statuses) <= set(Status):
                raise BadFilter("status", f"must be of {', '.join(Status)}")
            object.__setattr__(self, "status", ",".join(self.statuses))
        if not 1 <= self.limit <= MOST:
            raise BadFilter("limit", f"must be a whole number from 1 to {MOST}")
        if self.retries is not None and not 1 <= self.retries < _PAST_INTEGER:
            raise BadFilter("retries", "must be a whole number from 1")
        if self.older_than is not None and not timedelta(0) <= self.older_than <= _LONGEST:
            raise BadFilter("olderThan", _NO_DURATION)
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
        for name, text in given.items():
            if name not in NAMES:
                raise BadFilter(name, f"is no filter; there are {', '.join(sorted(NAMES))}")
            if text:
                values[NAMES[name]] = _read(name, text)
        return cls(**values)

    @property
    def statuses(self) -> tuple[str, ...]:
        """Each wanted status once; none: any will do."""
        words = (self.status or "").upper().split(",")
        return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))

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


# What a filter is called in URLs, and in Python.
NAMES = {
    "olderThan" if field.name == "older_than" else field.name: field.name
    for field in fields(Filter)
}


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


def _read(name: str, text: str) -> Any:
    match name:
        case "limit":
            return _whole_number(name, text, f"from 1 to {MOST}")
        case "retries":
            return _whole_number(name, text, "from 1")
        case "since" | "until":
            return _instant(name, text)
        case "olderThan":
            return duration(name, text)
        case "paused":
            if text != "yes":
                raise BadFilter(name, "must be yes")
            return True
    return text


def _whole_number(name: str, text: str, which: str) -> int:
    # More digits than any number that may be.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_PAST_INTEGER))):
        raise BadFilter(name, f"must be a whole number {which}")
    return int(text)


def duration(name: str, text: str) -> timedelta:
    """So long as the text says, such as 90s, 15m, 2h or 3d. Raises BadFilter on ``name``."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadFilter(name, _NO_DURATION)
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        raise BadFilter(name, _NO_DURATION) from error


def _instant(name: str, text: str) -> datetime:
    try:
        # A + that nobody escaped reaches us as a space.
        instant = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        # PostgreSQL and Python disagree about instants at the edge of time.
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadFilter(name, "must be an instant such as 2026-07-01T12:00:00Z") from error
