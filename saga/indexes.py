"""Which indexes have the sagas that a filter wants, and what must hold of each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from saga.filter import Filter
from saga.position import RESTING, Status
from saga.schema.step_3 import ERROR_CLASS

NEWEST_FIRST = "created_at DESC NULLS LAST, id DESC NULLS LAST"
STANDING = ("status", "saga_type", "current_step")

IS_OPEN = "completed_at IS NULL"
IS_AT_REST = "completed_at IS NOT NULL"
_IS_AT_WORK = "status IN ('RUNNING', 'COMPENSATING')"


@dataclass(frozen=True, kw_only=True)
class Index:
    """Sagas for which ``which`` holds, by ``columns`` and then by ``order``.

    ``answers`` is the name of the condition that holds for all of them.
    """

    which: str
    columns: tuple[str, ...] = ()
    order: str = NEWEST_FIRST
    answers: str = ""


_BY_AGE = Index(which="true", order="created_at DESC, id DESC")
_OPEN = Index(which=IS_OPEN, columns=STANDING)
_AT_REST = Index(which=IS_AT_REST, columns=STANDING)
_BY_ERROR = Index(
    which=f"error_message IS NOT NULL AND {ERROR_CLASS} = %(error)s",
    columns=STANDING,
    answers="error",
)
_RETRYING = Index(
    which=f"retry_count > 0 AND {_IS_AT_WORK}",
    columns=(*STANDING, "retry_count"),
    answers="at_work",
)
_PAUSED = Index(which="paused IS NOT NULL", columns=STANDING, answers="paused")
_WITH_KEY = tuple(
    Index(which=f"business_key = %(key)s AND {held}", answers="key")
    for held in ("holds_key", "NOT holds_key")
)
# Nothing may be found twice, not even a saga whose key is its id.
_NAMED = (
    Index(
        which="saga_id = %(id)s::uuid AND business_key IS DISTINCT FROM %(q)s",
        answers="q",
    ),
    *(
        Index(which=f"business_key = %(q)s AND {held}", answers="q")
        for held in ("holds_key", "NOT holds_key")
    ),
)


def indexes(wanted: Filter, *, named: bool) -> tuple[Index, ...]:
    """The indexes that together have all that is wanted, and nothing of it twice.

    ``named``: the free text is the id or the business key of a saga, and that is what is meant.
    """
    if wanted.key is not None:
        return _WITH_KEY
    if wanted.error is not None:
        return (_BY_ERROR,)
    if wanted.retries is not None:
        return (_RETRYING,)
    if wanted.paused:
        return (_PAUSED,)
    if wanted.q is not None:
        return _NAMED if named else (_OPEN,)
    statuses = {Status(status) for status in wanted.statuses} or set(Status)
    if wanted.type is None and wanted.step is None and statuses == set(Status):
        return (_BY_AGE,)
    apart = ((_OPEN, set(Status) - RESTING), (_AT_REST, set(RESTING)))
    return tuple(index for index, those in apart if statuses & those)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What must hold. If it is about one ``column``, it is that column with ``sql`` behind it.

    ``is_equal``: it leaves one value of the column.
    """

    name: str
    sql: str
    column: str = ""
    is_equal: bool = False

    def of(self, table: str = "") -> str:
        return f"{table}{self.column} {self.sql}" if self.column else f"({self.sql})"


_HAS_NAME = "saga_id = %(id)s::uuid OR business_key = %(q)s"
# No index finds a text, and nobody has a million sagas at rest looked through.
_TEXT_IN_NAMES = "saga_id::text ILIKE %(text)s OR business_key ILIKE %(text)s"
_HAS_TEXT = f"{IS_OPEN} AND ({_TEXT_IN_NAMES} OR error_message ILIKE %(text)s)"
_HAS_TEXT_IN_NAMES = f"{IS_OPEN} AND ({_TEXT_IN_NAMES})"


def conditions(wanted: Filter, *, named: bool, masked: bool = False) -> Iterator[Condition]:
    """All that must hold of a saga, but for the time when it was started.

    ``masked``: no text is looked for in errors.
    """
    if len(wanted.statuses) == 1:
        yield Condition(name="status", column="status", sql="= %(status)s", is_equal=True)
    elif wanted.statuses:
        yield Condition(name="status", column="status", sql="= ANY(%(statuses)s)")
    if wanted.type is not None:
        yield Condition(name="type", column="saga_type", sql="= %(type)s", is_equal=True)
    if wanted.step is not None:
        yield Condition(name="step", column="current_step", sql="= %(step)s", is_equal=True)
    if wanted.key is not None:
        yield Condition(name="key", column="business_key", sql="= %(key)s", is_equal=True)
    if wanted.error is not None:
        yield Condition(name="error", sql=f"{ERROR_CLASS} = %(error)s")
    if wanted.retries is not None:
        yield Condition(name="retries", column="retry_count", sql=">= %(retries)s")
        yield Condition(name="at_work", sql=_IS_AT_WORK)
    if wanted.paused:
        yield Condition(name="paused", sql="paused IS NOT NULL")
    if wanted.q is not None:
        text = _HAS_TEXT_IN_NAMES if masked else _HAS_TEXT
        yield Condition(name="q", sql=_HAS_NAME if named else text)
