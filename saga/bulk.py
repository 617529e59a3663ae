"""The same for many sagas: one after the other, each as it was seen in the list."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

from saga.engine import Engine
from saga.errors import Conflict, NotFound
from saga.filter import MOST, Filter
from saga.lists import list_sagas
from saga.operator import Acted, Operator
from saga.position import Intervention, Status

Act: TypeAlias = Callable[[UUID, int | None], Acted]
Pages: TypeAlias = Callable[[Filter], Mapping[str, Any]]

# So many sagas are acted on at once, unless more are asked for.
MOST_AT_ONCE = 1_000

# Which sagas an action is for, where the filter does not say. ``decide.why_not`` decides on each.
_MEANT = {
    Intervention.RETRY: (Status.FAILED,),
    Intervention.COMPENSATE: (Status.FAILED,),
    Intervention.CANCEL: (Status.RUNNING,),
    Intervention.PAUSE: (Status.RUNNING, Status.COMPENSATING),
    Intervention.RESUME: (Status.RUNNING, Status.COMPENSATING),
}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One saga of many: ``acted``, or the ``refusal``, which names what is allowed."""

    saga_id: UUID
    acted: Acted | None = None
    refusal: Conflict | NotFound | None = None


class Bulk:
    """Acts on the sagas that a list shows, the newest first, at most ``most`` of them.

    Iterate it once: each step is one saga's own transaction, so that what is done stays done
    wherever it ends. A saga that moved since it was listed is told as refused, not forced.
    ``more`` is true afterwards where sagas were left over. ``total`` is how many there are to act
    on, as soon as the page is read that tells; None until then.
    """

    def __init__(self, pages: Pages, wanted: Filter, act: Act, *, most: int = MOST_AT_ONCE) -> None:
        self._pages = pages
        self._wanted = wanted
        self._act = act
        self._most = most
        self.more = False
        self.total: int | None = None

    def __iter__(self) -> Iterator[Tried]:
        left, cursor = self._most, self._wanted.cursor
        while True:
            page = self._pages(replace(self._wanted, limit=min(left, MOST), cursor=cursor))
            left -= len(page["items"])
            cursor = page["nextCursor"]
            if cursor is None or left <= 0:
                self.total = self._most - left
            for listed in page["items"]:
                yield self._try(UUID(listed["sagaId"]), listed["version"])
            if cursor is None or left <= 0:
                break
        self.more = cursor is not None

    def _try(self, saga_id: UUID, version: int) -> Tried:
        try:
            return Tried(saga_id=saga_id, acted=self._act(saga_id, version))
        except (Conflict, NotFound) as refusal:
            return Tried(saga_id=saga_id, refusal=refusal)


def pages_of(engine: Engine) -> Pages:
    """Pages as an engine's database has them."""

    def read(wanted: Filter) -> dict[str, Any]:
        with engine.database.connect() as connection:
            return list_sagas(connection, wanted)

    return read


def meant(wanted: Filter, what: Intervention) -> Filter:
    """The filter, narrowed to sagas that the action is for, where it names no status itself."""
    if what is Intervention.RESUME:
        wanted = replace(wanted, paused=True)
    if wanted.status is not None or wanted.retries is not None:
        return wanted
    return replace(wanted, status=",".join(_MEANT[what]))


def act(operator: Operator, what: Intervention, *, reason: str) -> Act:
    """What to do to each saga, at its version. RESOLVE is none of these: it is about one saga."""
    actions = {
        Intervention.RETRY: operator.retry,
        Intervention.COMPENSATE: operator.compensate,
        Intervention.CANCEL: operator.cancel,
        Intervention.PAUSE: operator.pause,
        Intervention.RESUME: operator.resume,
    }
    action = actions[what]
    return lambda saga_id, version: action(saga_id, reason=reason, version=version)
