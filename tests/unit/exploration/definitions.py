"""Small sagas of every pattern of roles, told in a line: ``compensatable | pivot | retriable``.

A step is ``sql``, ``call``, or ``ask``: a call whose provider can be asked by a probe. Behind it
stands its compensation, if it has one: ``<sql``, ``<call``, ``<manual`` or ``<nothing``; a ``?``
behind all that says that the step may be skipped. Every step may wait for the signal ``word``.
"""

from dataclasses import replace
from typing import Any

from saga import (
    RetryPolicy,
    Saga,
    Step,
    compensatable,
    manual,
    nothing_to_compensate,
    on_signal,
    pivot,
    retriable,
    skip,
)
from saga.definition import Action
from saga.task import Probe
from tests.unit.exploration.model import WORD
from tests.unit.positions import TIMEOUT, State, ask, call, call_back, sql, sql_back

# Two attempts are enough to see a first, another, and a last one.
_ONE = RetryPolicy(retries=1)


def read(line: str) -> Saga[State]:
    """The saga of a line such as ``sql<sql ask<call | ask | sql``."""
    before, pivots, after = (part.split() for part in line.split("|"))
    steps = [_compensatable(f"small.before_{i}", word) for i, word in enumerate(before)]
    steps += [_pivot("small.pivot", word) for word in pivots]
    steps += [_retriable(f"small.after_{i}", word) for i, word in enumerate(after)]
    return Saga(name="small", version=1, state=State, timeout=TIMEOUT, steps=steps, signals=[_word])


@on_signal(WORD, State)
def _word(state: State, payload: State) -> State:  # noqa: ARG001
    return state


def _compensatable(name: str, word: str) -> Step[State]:
    work, _, back = word.partition("<")
    return compensatable(
        _work(name, work),
        compensation=_back(name, back),
        probe=_probe(name, work),
        retry=_ONE,
        compensation_retry=_ONE,
    )


def _pivot(name: str, word: str) -> Step[State]:
    work, _, back = word.partition("<")
    step = pivot(
        _work(name, work), compensation=_back(name, back), probe=_probe(name, work), retry=_ONE
    )
    return replace(step, compensation_retry=_ONE)


def _retriable(name: str, word: str) -> Step[State]:
    work, _, back = word.removesuffix("?").partition("<")
    step = retriable(
        _work(name, work),
        compensation=_back(name, back),
        retry=_ONE,
        give_up=skip if word.endswith("?") else None,
    )
    return replace(step, compensation_retry=_ONE)


def _work(name: str, work: str) -> Action[State]:
    return sql(name) if work == "sql" else call(name)


def _probe(name: str, work: str) -> Probe[State] | None:
    return ask(f"{name}_probe") if work == "ask" else None


def _back(name: str, back: str) -> Any:
    match back:
        case "sql":
            return sql_back(f"{name}_back")
        case "call":
            return call_back(f"{name}_back")
        case "manual":
            return manual("see")
        case "nothing":
            return nothing_to_compensate
    return None
