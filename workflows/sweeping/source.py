"""What a place is to a sweep that looks through it, and how its doors' errors are told."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Protocol, TypeVar

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from gateways.account import AccountFaulty
from gateways.devices import HostError
from gateways.objects import StoreError
from gateways.staging import StagingError
from tasks.doors import NoSuchDoor
from workflows.sweeping.judgement import Kind, Thing

BATCH = 1000
"""How many things are asked about at once; memory is bounded by it."""

NO_GRACE = timedelta(0)


class SourceAway(Exception):
    """The place cannot be looked through or cleared now; the message says what to do."""


class NotSetUp(SourceAway):
    """There is no such place here."""


class Source(Protocol):
    """A place that a sweep looks through. What it does may raise SourceAway."""

    kind: Kind
    shortest_grace: timedelta
    """Below this nothing is an orphan, whatever grace was asked for: it may be arriving."""

    def things(self) -> Iterator[Thing]:
        """All that lies there, with bounded memory."""

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:
        """The names of those things that a record owns."""

    def remove(self, thing: Thing) -> None:
        """Remove it; gone already is fine."""


class Inventory(Protocol):
    """Records of what should lie somewhere. What it does may raise SourceAway."""

    kind: Kind

    def missing(self, database: Database) -> Iterator[list[Thing]]:
        """What a record says is there, and is not: for each batch of records those of it."""


Item = TypeVar("Item")


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cut into lists of BATCH at most."""
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch


@contextmanager
def told() -> Iterator[None]:
    """Tell the doors' errors in a sweep's own words."""
    try:
        yield
    except NoSuchDoor as error:
        raise NotSetUp(str(error)) from error
    except (AccountFaulty, StoreError, StagingError, HostError) as error:
        raise SourceAway(str(error)) from error
