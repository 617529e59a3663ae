"""What is wrong with a definition, in plain words: every fault, not only the first."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from saga.role import Role

if TYPE_CHECKING:
    from saga.definition import Saga, Step

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TASK_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def faults(saga: "Saga[Any]") -> Iterator[str]:
    if not _NAME.fullmatch(saga.name):
        yield f"its name {saga.name!r} must be lower case letters, digits and _"
    if saga.version < 1:
        yield "its version must be 1 or more"
    if saga.timeout <= timedelta(0):
        yield "its timeout must be longer than nothing"
    if not saga.steps:
        yield "it has no steps"
    yield from _faults_of_order([step.role for step in saga.steps])
    yield from _faults_of_names(work.name for step in saga.steps for work in step.works())
    yield from _faults_of_signals([signal.name for signal in saga.signals])
    yield from _faults_of_sensitive(saga)
    for step in saga.steps:
        yield from _faults_of_step(step)


def _faults_of_order(roles: Sequence[Role]) -> Iterator[str]:
    if roles.count(Role.PIVOT) > 1:
        yield "it has more than one pivot"
    rank = list(Role)
    for before, after in pairwise(roles):
        if rank.index(after) < rank.index(before):
            yield f"a {after} step follows a {before} one; the order is {', '.join(rank)}"
    if Role.RETRIABLE in roles and Role.COMPENSATABLE in roles and Role.PIVOT not in roles:
        yield "between compensatable and retriable steps there must be a pivot"


def _faults_of_names(names: Iterable[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if times > 1:
            yield f"the name {name!r} is used {times} times"
        if not _TASK_NAME.fullmatch(name):
            yield f"the name {name!r} must read like 'payment_refund.call_provider_refund'"
        elif name.startswith("saga."):
            yield f"the name {name!r} begins like the engine's own"


def _faults_of_signals(names: Sequence[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if times > 1:
            yield f"the signal {name!r} is defined {times} times"
        if not _NAME.fullmatch(name):
            yield f"the signal's name {name!r} must be lower case letters, digits and _"


def _faults_of_sensitive(saga: "Saga[Any]") -> Iterator[str]:
    if isinstance(saga.sensitive, str):
        yield f"sensitive must be a list of names, such as [{saga.sensitive!r}]"
        return
    known = saga.state.model_fields
    for name, times in Counter(saga.sensitive).items():
        if times > 1:
            yield f"the field {name!r} is said to be sensitive {times} times"
        if name not in known:
            there_are = ", ".join(known) or "none"
            what = f"the sensitive {name!r} is no field of {saga.state.__name__}"
            yield f"{what}; there are: {there_are}"


def _faults_of_step(step: "Step[Any]") -> Iterator[str]:
    if step.timeout <= timedelta(0):
        yield f"{step.name}: its timeout must be longer than nothing"
    if step.role is Role.COMPENSATABLE and step.compensation is None:
        yield f"{step.name}: a compensatable step needs a compensation (or nothing_to_compensate)"
    if step.is_skippable and step.role is not Role.RETRIABLE:
        yield f"{step.name}: only a retriable step can be skipped when it is given up"
    if step.probe is not None and not step.is_external:
        yield f"{step.name}: a transactional step needs no probe, the database knows"
