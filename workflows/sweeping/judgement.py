"""What lies somewhere, who owns it, and what that comes to: pure."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from saga.position import RESTING


class Kind(StrEnum):
    """What a thing is. Alarms store it, so that a value once given stays."""

    STAGED_FILE = "staged_file"
    UPLOAD = "upload"
    OBJECT = "object"
    RECORD = "record"
    CONTAINER = "container"
    PORT = "port"
    SHARE = "share"


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that lies somewhere, as a listing tells it.

    ``name`` is its own among all of its kind; ``key`` is what people and records call it.
    ``saga_id`` is the saga that its name tells of, None where it is none of our names. ``since`` is
    aware; ``handle`` is what its source removes it by.
    """

    kind: Kind
    name: str
    key: str
    saga_id: UUID | None
    size_bytes: int | None
    since: datetime
    handle: Hashable = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the database says of a thing: its saga's status, None for no saga, and its record."""

    status: str | None = None
    has_record: bool = False


NOBODY = Facts()


class Verdict(StrEnum):
    """What is to be thought of a thing."""

    OWNED = "owned"
    """A record or an open or FAILED saga has it."""
    YOUNG = "young"
    """Nobody owns it; it is not older than the grace time, and may be arriving."""
    FOREIGN = "foreign"
    """Its name is none of ours: whoever put it there knows why."""
    ORPHAN = "orphan"
    """Nobody owns it, for longer than the grace time."""
    STRAY = "stray"
    """As an orphan, but this database never heard of its saga: it may be another one's."""
    MISSING = "missing"
    """A record says that it is there, and it is not."""


# A store and a container host may be shared, and a database restored from before what lies there.
_OURS_ALONE = frozenset({Kind.STAGED_FILE, Kind.PORT, Kind.SHARE})


def is_over(status: str | None) -> bool:
    """Whether the saga rests, and so needs nothing of its own any more.

    No saga is not over, it may be about to start; a status of a newer engine may need anything.
    """
    return status in RESTING


def judge(thing: Thing, facts: Facts, *, now: datetime, grace: timedelta) -> Verdict:
    """Judge what lies somewhere; what is missing needs no judgement."""
    if facts.has_record or (facts.status is not None and not is_over(facts.status)):
        return Verdict.OWNED
    if now - thing.since <= grace:
        return Verdict.YOUNG
    if thing.saga_id is None:
        return Verdict.FOREIGN
    is_stray = facts.status is None and thing.kind not in _OURS_ALONE
    return Verdict.STRAY if is_stray else Verdict.ORPHAN


def why(thing: Thing, facts: Facts, verdict: Verdict) -> str:
    """Say how it came to the verdict, to people."""
    match verdict:
        case Verdict.OWNED:
            return "a record or a saga has it"
        case Verdict.YOUNG:
            return "nobody owns it yet"
        case Verdict.FOREIGN:
            return "its name is none that this application gives"
        case Verdict.MISSING:
            return "the record is available, and its object is not in the store"
        case Verdict.STRAY:
            return "no saga of this database has its id"
        case Verdict.ORPHAN if facts.status is None:
            return "no saga has its id"
        case Verdict.ORPHAN if thing.kind in _RECORDED:
            return f"its saga is {facts.status}, and no record has it"
        case Verdict.ORPHAN:
            return f"its saga is {facts.status}"
    assert_never(verdict)


# What a record may own; whatever else there is, only a saga may.
_RECORDED = frozenset({Kind.OBJECT, Kind.CONTAINER, Kind.PORT, Kind.SHARE})

ADVICE = {
    Verdict.OWNED: "nothing",
    Verdict.YOUNG: "nothing yet",
    Verdict.FOREIGN: "find who put it there; a sweep never removes it",
    Verdict.ORPHAN: "remove it: saga sweep --remove",
    Verdict.STRAY: "be sure that no other database has it; then: saga sweep --remove --strays",
    Verdict.MISSING: "bring the file back under this key, or make the version unavailable",
}
"""What to do about a thing, by its verdict."""
