"""What there is to draw of a saga, before anybody draws it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from saga.definition import Role, Saga, Step
from saga.graph.where import Activity, Where
from saga.graph.words import duration, kind, retries, short
from saga.position import Status
from saga.task import (
    Effect,
    ExternalCompensation,
    Manual,
    NothingToCompensate,
    TransactionalCompensation,
)


@dataclass(frozen=True, kw_only=True)
class Back:
    """How a step is taken back: by the function ``name``, or as ``words`` say.

    ``if_ordered``: only when a person orders it.
    """

    name: str | None
    words: str
    if_ordered: bool


@dataclass(frozen=True, kw_only=True)
class Box:
    """One step. Its names are short; ``effect`` is None where no saga is drawn.

    ``activity`` is what goes on, at the step where the saga stands. ``tells`` is what a saga has to
    say about the step, beyond effect and activity.
    """

    name: str
    role: Role
    kind: str
    limits: str
    probe: str | None
    back: Back | None
    effect: Effect | None = None
    activity: Activity | None = None
    tells: str = ""
    is_skippable: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A definition, or one saga (``where``) that goes by it.

    ``no_return`` is how many boxes stand before the line of no return; None where there is no such
    line, because every step can be compensated.
    """

    saga_type: str
    version: int
    words: str
    boxes: tuple[Box, ...]
    no_return: int | None
    where: Where | None = None

    @property
    def goes_back(self) -> bool:
        """Whether there is a way back from somewhere."""
        return self.no_return != 0 or (self.where is not None and self.where.status in _BACK)

    @property
    def back_end(self) -> Status:
        """Where the way back ends."""
        timed_out = self.where is not None and self.where.status is Status.TIMEOUT
        return Status.TIMEOUT if timed_out else Status.COMPENSATED

    @property
    def why(self) -> str:
        """Why the saga stands where it does, with its steps' names as short as in the boxes."""
        return self.where.why.replace(f"{self.saga_type}.", "") if self.where else ""

    def told(self) -> Iterator[str]:
        """The whole picture in sentences, for who cannot see it."""
        if self.where is not None:
            yield f"Saga {self.where.saga_id} is {self.where.status}: {self.why}."
        for number, box in enumerate(self.boxes, start=1):
            yield f"Step {number}: {'; '.join(_told(box))}."
            if number == self.no_return:
                yield "From there on the saga only goes forward."


_BACK = {Status.COMPENSATING, Status.COMPENSATED, Status.TIMEOUT}


def _told(box: Box) -> Iterator[str]:
    yield f"{box.name}, {box.role}, {box.kind}, {box.limits}"
    if box.probe:
        yield f"probe {box.probe}"
    if box.back is not None:
        yield " ".join(filter(None, ("compensation:", box.back.name, f"({box.back.words})")))
    if box.effect is not None:
        yield f"effect {box.effect.replace('_', ' ')}"
    if box.activity is not None:
        yield f"the saga stands here, {box.activity}"
    if box.tells:
        yield box.tells


def drawn_as(saga: Saga[Any], where: Where | None = None) -> Picture:
    """What to draw of a definition; of one saga that goes by it, with where it stands."""
    return Picture(
        saga_type=saga.name,
        version=saga.version,
        words=f"version {saga.version} · timeout {duration(saga.timeout)}",
        boxes=tuple(_box(saga, step, where) for step in saga.steps),
        no_return=_no_return(saga),
        where=where,
    )


def _no_return(saga: Saga[Any]) -> int | None:
    for index, step in enumerate(saga.steps):
        if step.role is Role.PIVOT:
            return index + 1
        if step.role is Role.RETRIABLE:
            return index
    return None


def _box(saga: Saga[Any], step: Step[Any], where: Where | None) -> Box:
    stands_here = where is not None and where.step == step.name
    return Box(
        name=short(step.name, saga.name),
        role=step.role,
        kind=kind(step.action),
        limits=_limits(step),
        is_skippable=step.is_skippable,
        probe=short(step.probe.name, saga.name) if step.probe else None,
        back=_back(saga, step),
        effect=where.effects.get(step.name, Effect.NOT_STARTED) if where else None,
        activity=where.activity if where and stands_here else None,
        tells=_tells(step, where) if where else "",
    )


def _limits(step: Step[Any]) -> str:
    limits = f"{retries(step.retry)} · timeout {duration(step.timeout)}"
    return f"{limits} · skipped if it fails" if step.is_skippable else limits


def _back(saga: Saga[Any], step: Step[Any]) -> Back | None:
    if_ordered = step.role is not Role.COMPENSATABLE
    match step.compensation:
        case TransactionalCompensation() | ExternalCompensation() as work:
            again = retries(step.compensation_retry)
            words = f"{kind(work)} · {'if a person orders it' if if_ordered else again}"
            return Back(name=short(work.name, saga.name), words=words, if_ordered=if_ordered)
        case Manual(advice):
            by = "if a person orders it, by hand" if if_ordered else "by a person"
            return Back(name=None, words=f"{by}: {advice}", if_ordered=if_ordered)
        case NothingToCompensate():
            return Back(name=None, words="nothing to compensate", if_ordered=if_ordered)
        case None:
            return None
    assert_never(step.compensation)


def _tells(step: Step[Any], where: Where) -> str:
    told = []
    if where.step == step.name and where.activity is Activity.WAITING and where.waits_for:
        told.append(f"waiting for {where.waits_for}")
    effect = where.effects.get(step.name, Effect.NOT_STARTED)
    is_past = where.status is Status.COMPLETED or where.step != step.name
    if is_past and step.is_skipped(effect):
        told.append("skipped")
    tried = where.attempts.get(step.name, 0)
    if tried > 1:
        told.append(f"tried {tried} times")
    return " · ".join(told)
