"""What a stream tells: each look at the database gives the messages of what changed since."""

import json
from collections.abc import Iterator
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from saga import views
from saga.engine import Engine
from saga.errors import SagaNotFound
from saga.filter import Filter
from saga.lists import list_sagas

# A longer one is nobody's version.
_LONGEST_ID = 18


class Watch(Protocol):
    """Something that is looked at again and again."""

    def look(self, connection: Connection) -> list[str]:
        """Messages of what changed since the look before; the first look tells how it stands."""
        ...


class SagaWatch:
    """One saga, whenever its version rose. Raises SagaNotFound where there is none."""

    def __init__(self, engine: Engine, saga_id: str, *, seen: str | None, masked: bool) -> None:
        self._registry = engine.registry
        self._saga_id: UUID = views.identified(saga_id)
        # Nonsense is as good as none: then all is told from the beginning.
        is_version = seen is not None and seen.isascii() and seen.isdecimal()
        self._seen = int(seen) if seen and is_version and len(seen) <= _LONGEST_ID else 0
        self._masked = masked
        self._is_first = True

    def look(self, connection: Connection) -> list[str]:
        version = views.version_of(connection, self._saga_id)
        if version == self._seen and not self._is_first:
            return []
        shown = views.show(connection, self._registry, self._saga_id, masked=self._masked)
        shown["events"] = [event for event in shown["events"] if event["seq"] > self._seen]
        self._seen, self._is_first = shown["saga"]["version"], False
        return [message("saga", shown, number=self._seen)]


class ListWatch:
    """The newest sagas that a filter leaves: each that changed, came or went. Raises BadFilter."""

    def __init__(self, engine: Engine, wanted: Filter, *, masked: bool) -> None:
        self._registry = engine.registry
        self._wanted = wanted
        self._masked = masked
        self._before: dict[str, int] = {}

    def look(self, connection: Connection) -> list[str]:
        page = list_sagas(connection, self._wanted, registry=self._registry, masked=self._masked)[
            "items"
        ]
        now = {saga["sagaId"]: saga["version"] for saga in page}
        messages = [message("saga", left) for left in self._gone(connection, now)]
        changed = (saga for saga in page if self._before.get(saga["sagaId"]) != saga["version"])
        messages += [message("saga", saga) for saga in reversed(list(changed))]
        self._before = now
        return messages

    def _gone(self, connection: Connection, now: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Those that the filter leaves no more: it is told where they came to."""
        for saga_id in self._before.keys() - now.keys():
            try:
                left = views.one(connection, saga_id, registry=self._registry, masked=self._masked)
            except SagaNotFound:  # purged
                continue
            if left["version"] != self._before[saga_id]:
                yield left


def message(event: str, data: dict[str, Any], *, number: int | None = None) -> str:
    """A server-sent event, as the HTML standard has them (section 9.2)."""
    numbered = "" if number is None else f"id: {number}\n"
    return f"{numbered}event: {event}\ndata: {json.dumps(data)}\n\n"
