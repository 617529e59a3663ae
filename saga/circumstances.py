"""Who settles, with what, and what went wrong, as the row and its events tell it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from saga.queries import StoredSignal
from saga.store import Record
from saga.timing import Timing


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Who settles, and with what.

    ``in_chain``: a chain goes on when the caller returns normally. ``state`` is the new state of
    a step that succeeded, ``error`` that of an attempt that did not, ``signal`` what came;
    ``detail`` goes into the event.
    """

    timing: Timing
    in_chain: bool
    task_id: str | None = None
    worker: str | None = None
    actor: str | None = None
    duration: timedelta | None = None
    state: Mapping[str, Any] | None = None
    error: Exception | None = None
    signal: StoredSignal | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def record(self, kind: str, **detail: Any) -> Record:
        said = {"error": describe(self.error)} if self.error is not None else {}
        return Record(
            kind=kind,
            task_id=self.task_id,
            worker=self.worker,
            actor=self.actor,
            duration=self.duration,
            detail={**self.detail, **said, **detail},
        )


def describe(error: BaseException, *, longest: int = 500) -> str:
    """One line about an error, for the row and for people; bounded.

    Without SQL parameters and without the values that a model refused: both may be secret.
    """
    said = getattr(error, "orig", None) or error
    text = _faults(said) if isinstance(said, ValidationError) else str(said)
    return plain(f"{type(said).__name__}: {text}", longest=longest)


def gist(error: BaseException) -> str:
    """As ``describe``, for logs and for Celery: also without what a database quotes of its rows."""
    said: BaseException = getattr(error, "orig", None) or error
    diagnosis = getattr(said, "diag", None)
    if diagnosis is None:
        return describe(error)
    text = diagnosis.message_primary or str(said).partition("\n")[0]
    return plain(f"{type(said).__name__}: {text}")


def _faults(error: ValidationError) -> str:
    return f"{error.title}: " + "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".removeprefix(": ")
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    )


def plain(text: str, *, longest: int = 500) -> str:
    """The text as one bounded line that any database takes: no U+0000, no lone surrogates."""
    line = " ".join(text.replace("\0", "").split()).encode(errors="replace").decode()
    return line if len(line) <= longest else line[: longest - 1] + "…"
