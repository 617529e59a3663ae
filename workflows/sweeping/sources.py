"""Where things lie that a sweep looks through, each behind the same few functions.

A new place is one class, here or in a file beside this one, and its name in ``SOURCES``.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from gateways.objects import ObjectStore, PendingUpload
from gateways.staging import Staging
from tasks.doors import object_store, staging
from workflows.sweeping import ownership
from workflows.sweeping.device_sources import Containers, Ports, Shares
from workflows.sweeping.judgement import Kind, Thing
from workflows.sweeping.source import BATCH, NO_GRACE, Inventory, Source, told

PREFIX = "apps/"
_KEY = re.compile(r"apps/[^/]+/[A-Za-z0-9._-]*_(?P<saga>[0-9a-f]{32})\.apk")
# An upload that stalls is cut off long before; its check and its start take seconds.
_ARRIVAL = timedelta(minutes=5)


def saga_of(key: str) -> UUID | None:
    """The saga that an object's key names; None where the key is none of ours."""
    named = _KEY.fullmatch(key)
    return None if named is None else UUID(hex=named["saga"])


class StagedFiles:
    """What waits in staging for its upload."""

    kind = Kind.STAGED_FILE
    # A saga may start with it as long as its request is under way.
    shortest_grace = _ARRIVAL

    def __init__(self, door: Callable[[], Staging] = staging) -> None:
        self._door = door

    def things(self) -> Iterator[Thing]:
        with told():
            for found in self._door().files():
                yield Thing(
                    kind=self.kind,
                    name=found.file.name,
                    key=str(found.file),
                    saga_id=found.id,
                    size_bytes=found.size,
                    since=found.modified_at,
                )

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:  # noqa: ARG002 - a record owns the object, and needs no staged file
        return frozenset()

    def remove(self, thing: Thing) -> None:
        assert thing.saga_id is not None, "a foreign file is never removed"
        with told():
            self._door().remove(thing.saga_id)


class Uploads:
    """What somebody began to write into the object store and did not finish."""

    kind = Kind.UPLOAD
    shortest_grace = NO_GRACE

    def __init__(self, door: Callable[[], ObjectStore] = object_store) -> None:
        self._door = door

    def things(self) -> Iterator[Thing]:
        with told():
            for found in self._door().uploads(PREFIX):
                yield Thing(
                    kind=self.kind,
                    name=f"{found.key}#{found.upload_id}",
                    key=found.key,
                    saga_id=saga_of(found.key),
                    size_bytes=None,
                    since=found.begun_at,
                    handle=found,
                )

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:  # noqa: ARG002 - a record has its object; who still writes to its key is late
        return frozenset()

    def remove(self, thing: Thing) -> None:
        assert isinstance(thing.handle, PendingUpload), "it came from here"
        with told():
            self._door().abort(thing.handle)


class Objects:
    """What lies in the object store."""

    kind = Kind.OBJECT
    shortest_grace = NO_GRACE

    def __init__(self, door: Callable[[], ObjectStore] = object_store) -> None:
        self._door = door

    def things(self) -> Iterator[Thing]:
        with told():
            for found in self._door().objects(PREFIX):
                yield Thing(
                    kind=self.kind,
                    name=found.key,
                    key=found.key,
                    saga_id=saga_of(found.key),
                    size_bytes=found.size_bytes,
                    since=found.modified_at,
                )

    def on_record(self, session: Session, things: Sequence[Thing]) -> frozenset[str]:
        return ownership.keys_on_record(session, [thing.key for thing in things])

    def remove(self, thing: Thing) -> None:
        with told():
            self._door().remove(thing.key)


class AvailableRecords:
    """The versions that users can have: of each the object must be there."""

    kind = Kind.RECORD

    def __init__(self, door: Callable[[], ObjectStore] = object_store) -> None:
        self._door = door

    def missing(self, database: Database) -> Iterator[list[Thing]]:
        after: ownership.Available | None = None
        while True:
            with Session(database) as session, session.begin():
                batch = ownership.available(session, after=after, most=BATCH)
            if not batch:
                return
            lost = {found.object_key: found for found in self._without_object(batch)}
            with Session(database) as session, session.begin():
                # It may have been withdrawn while the store was asked.
                still = ownership.keys_available(session, list(lost))
            yield [
                Thing(
                    kind=self.kind,
                    name=key,
                    key=key,
                    saga_id=saga_of(key),
                    size_bytes=lost[key].size_bytes,
                    since=lost[key].available_at or datetime.now(UTC),
                )
                for key in sorted(still)
            ]
            after = batch[-1]

    def _without_object(
        self, batch: Sequence[ownership.Available]
    ) -> Iterator[ownership.Available]:
        """Look folder by folder: a listing for each costs less than a question for each key."""
        with told():
            store = self._door()
            for folder, in_folder in groupby(batch, key=_folder):
                wanted = {found.object_key: found for found in in_folder}
                for seen in store.objects(folder):
                    wanted.pop(seen.key, None)
                    if not wanted:
                        break
                yield from wanted.values()


def _folder(record: ownership.Available) -> str:
    folder, slash, _ = record.object_key.rpartition("/")
    return folder + slash


SOURCES: tuple[Callable[[], Source], ...] = (
    *(StagedFiles, Uploads, Objects),
    *(Containers, Ports, Shares),
)
INVENTORIES: tuple[Callable[[], Inventory], ...] = (AvailableRecords,)
