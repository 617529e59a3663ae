"""Pages of sagas, the newest first, each found by the index that its filter asks for.

A page never reads much more than it shows, whatever PostgreSQL's statistics say. An index has
columns before its order, such as status, type and step: the few values that they have are found by
jumping from one to the next, each gives its newest sagas, and those are merged. What no index
answers, free text above all, is looked for among so many sagas a page: such a page may hold fewer
than were asked for though more follow.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from saga.filter import Filter, cursor_after
from saga.indexes import Condition, Index, conditions, indexes
from saga.masks import masked_page
from saga.registry import Registry
from saga.views import SAGA, plain

# So many sagas a page are looked at where no index tells which of them are meant.
LOOKED_AT = 3_000
# So many pages without anything to show are read for one that is masked.
_MOST_HIDDEN = 10

_LAST_ERROR = re.compile(r"[(]last error: ([^\s:]{1,100}):")
_ERROR = re.compile(r"([^\s:]{1,100}):")

_Place: TypeAlias = tuple[datetime, int]


def list_sagas(
    connection: Connection,
    wanted: Filter | None = None,
    *,
    registry: Registry | None = None,
    masked: bool = False,
) -> dict[str, Any]:
    """``{"items": [Saga], "nextCursor"}``, newest first; nextCursor is null on the last page.

    Sagas that are started meanwhile do not shift the pages. A page may hold fewer than ``limit``,
    even none, though more follow: go on until nextCursor is null. Who is told them ``masked``
    finds nothing by what is hidden: ``q`` is not looked for in errors, and ``error`` only in what
    is left of them. ``registry`` says what is sensitive; without one, all that might be is masked.
    """
    wanted = wanted or Filter()
    page = _read(connection, wanted, masked=masked)
    if masked:
        page = _masked(connection, registry, page, wanted)
    return {
        "items": [saga for saga, _ in page.sagas],
        "nextCursor": cursor_after(*page.after) if page.after else None,
    }


@dataclass(frozen=True, kw_only=True)
class _Page:
    """Sagas, each with its place in the list; the next page begins ``after`` one."""

    sagas: Sequence[tuple[dict[str, Any], _Place]]
    after: _Place | None


def _read(connection: Connection, wanted: Filter, *, masked: bool) -> _Page:
    named = wanted.q is not None and _is_name(connection, wanted)
    sql = statement(wanted, named=named, masked=masked)
    found = connection.exec_driver_sql(sql, params(wanted)).mappings().all()
    rows = [row for row in found if row["id"] is not None]
    page = [
        (plain({name: row[name] for name in SAGA}), (row["created_at"], row["id"]))
        for row in rows[: wanted.limit]
    ]
    after = None
    if len(rows) > len(page):
        after = page[-1][1]
    elif found[0]["cut_id"] is not None:
        after = found[0]["cut_at"], found[0]["cut_id"]
    return _Page(sagas=page, after=after)


def _masked(
    connection: Connection, registry: Registry | None, page: _Page, wanted: Filter
) -> _Page:
    """The page without what was only found by what is hidden in it; or a later one, if all was."""
    for _ in range(_MOST_HIDDEN):
        told = masked_page(connection, registry, [saga for saga, _ in page.sagas])
        shown = [
            (saga, place)
            for saga, (_, place) in zip(told, page.sagas, strict=True)
            if wanted.error in {None, _class_of(saga["errorMessage"])}
        ]
        if len(shown) == len(told):
            return _Page(sagas=shown, after=page.after)
        if shown:
            return _Page(sagas=shown, after=shown[-1][1])
        if page.after is None:
            break
        wanted = replace(wanted, cursor=cursor_after(*page.after))
        page = _read(connection, wanted, masked=True)
    return _Page(sagas=(), after=None)


def _class_of(error: str | None) -> str | None:
    """As ``saga.schema.step_3.ERROR_CLASS`` has it."""
    found = _LAST_ERROR.search(error or "") or _ERROR.match(error or "")
    return found[1] if found else None


def _is_name(connection: Connection, wanted: Filter) -> bool:
    """Whether the text is the id or the business key of a saga."""
    sql = (
        "SELECT EXISTS (SELECT FROM saga_state WHERE saga_id = %(id)s::uuid) "
        "OR EXISTS (SELECT FROM saga_state WHERE business_key = %(q)s AND holds_key) "
        "OR EXISTS (SELECT FROM saga_state WHERE business_key = %(q)s AND NOT holds_key)"
    )
    return bool(connection.exec_driver_sql(sql, params(wanted)).scalar_one())


def params(wanted: Filter) -> dict[str, Any]:
    """The values of the statement's parameters."""
    position = wanted.position or (None, None)
    return {
        "type": wanted.type,
        "statuses": list(wanted.statuses),
        "status": wanted.statuses[0] if wanted.statuses else None,
        "step": wanted.step,
        "key": wanted.key,
        "error": wanted.error,
        "retries": wanted.retries,
        "q": wanted.q,
        "id": _id(wanted.q),
        "text": _pattern(wanted.q),
        "since": wanted.since,
        "until": wanted.until,
        "older_than": wanted.older_than,
        "cursor_at": position[0],
        "cursor_id": position[1],
    }


def _id(text: str | None) -> str | None:
    try:
        return None if text is None else str(UUID(text))
    except ValueError:
        return None


def _pattern(text: str | None) -> str | None:
    """What ILIKE finds anywhere; % and _ stand for themselves."""
    if text is None:
        return None
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def statement(wanted: Filter, *, named: bool = False, masked: bool = False) -> str:
    """The one statement of a page, so that all of it is true of one moment.

    ``named``: the free text is the id or the business key of a saga. ``masked``: it is not looked
    for in errors.
    """
    asked = list(conditions(wanted, named=named, masked=masked))
    walks = [
        _Walk.along(index, asked, wanted, name=f"met_{number}")
        for number, index in enumerate(indexes(wanted, named=named))
    ]
    jumps = "".join(f"{jump(walk.name, walk.which, walk.met)},\n" for walk in walks if walk.met)
    seen = "\nUNION ALL\n".join(walk.sql() for walk in walks)
    columns = ", ".join(f'saga.{column} AS "{name}"' for name, column in SAGA.items())
    # Nobody has seen what lies behind the place where a walk was cut off.
    return f"""WITH RECURSIVE {jumps}seen AS (
{seen}),
cut AS (SELECT created_at, id FROM seen WHERE is_last ORDER BY created_at DESC, id DESC LIMIT 1),
page AS (
    SELECT seen.created_at, seen.id FROM seen LEFT JOIN cut ON true
    WHERE fits AND (cut.id IS NULL OR (seen.created_at, seen.id) >= (cut.created_at, cut.id))
    ORDER BY seen.created_at DESC, seen.id DESC LIMIT {wanted.limit + 1})
SELECT cut.created_at AS cut_at, cut.id AS cut_id, page.created_at, page.id, {columns}
FROM (SELECT) AS always LEFT JOIN cut ON true LEFT JOIN page ON true
LEFT JOIN saga_state AS saga ON saga.id = page.id
ORDER BY page.created_at DESC, page.id DESC"""  # noqa: S608 - only our own constants


def jump(name: str, which: str, columns: Sequence[str]) -> str:
    """A table of all values that the columns have, each found by one look into their index."""
    values, before = ", ".join(columns), ", ".join(f"before.{column}" for column in columns)
    return f"""{name} AS (
    (SELECT {values} FROM saga_state WHERE {which} ORDER BY {values} LIMIT 1)
    UNION ALL
    SELECT after.* FROM {name} AS before, LATERAL (
        SELECT {values} FROM saga_state WHERE {which} AND ({values}) > ({before})
        ORDER BY {values} LIMIT 1) AS after)"""  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """The newest sagas of one index, for each of the values ``met`` in its other columns.

    ``chosen`` is which of the values are wanted; ``fits`` what else must hold of each saga.
    """

    name: str
    index: Index
    which: str
    met: Sequence[str]
    chosen: str
    fits: str
    between: str
    limit: int

    @classmethod
    def along(
        cls, index: Index, asked: Sequence[Condition], wanted: Filter, *, name: str
    ) -> "_Walk":
        left = [one for one in asked if one.name != index.answers]
        by_column = {one.column: one for one in left if one.column in index.columns}
        pinned: list[str] = []
        for column in index.columns:
            if column not in by_column or not by_column[column].is_equal:
                break
            pinned.append(column)
        met = [column for column in index.columns if column not in pinned]
        return cls(
            name=name,
            index=index,
            which=" AND ".join([index.which, *(by_column[column].of() for column in pinned)]),
            met=met,
            chosen=_all(by_column[column].of("met.") for column in met if column in by_column),
            fits=_all(one.of() for one in left if one.column not in index.columns),
            between=_all(_between(wanted)),
            limit=wanted.limit,
        )

    def sql(self) -> str:
        same = _all(f"{column} = met.{column}" for column in self.met)
        source = f"{self.name} AS met, LATERAL" if self.met else "LATERAL"
        order, most = self.index.order, self._most()
        return f"""SELECT walked.*, nth = {most} AS is_last FROM {source} (
    SELECT created_at, id, ({self.fits}) AS fits, row_number() OVER (ORDER BY {order}) AS nth
    FROM saga_state WHERE {self.which} AND {same} AND {self.between}
    ORDER BY {order} LIMIT {most}) AS walked
WHERE {self.chosen}"""  # noqa: S608

    def _most(self) -> str:
        """How far to walk for each value met."""
        page = self.limit + 1
        if self.fits == _ANY:
            return str(page)
        if not self.met:
            return str(max(page, LOOKED_AT))
        values = f"FROM {self.name} AS met WHERE {self.chosen}"
        return f"(SELECT greatest({page}, {LOOKED_AT} / greatest(count(*), 1)) {values})"


_ANY = "true"


def _all(parts: Iterator[str]) -> str:
    return " AND ".join(parts) or _ANY


def _between(wanted: Filter) -> Iterator[str]:
    if wanted.since is not None:
        yield "created_at >= %(since)s"
    if wanted.until is not None:
        yield "created_at < %(until)s"
    if wanted.older_than is not None:
        yield "created_at <= statement_timestamp() - %(older_than)s"
    if wanted.cursor is not None:
        yield "(created_at, id) < (%(cursor_at)s, %(cursor_id)s)"
