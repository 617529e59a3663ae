"""Steps as people name them: short, without their saga's name."""

from collections.abc import Iterable
from dataclasses import replace

from saga.filter import Filter
from saga.registry import Registry


def whole(given: str, names: Iterable[str]) -> str:
    """The one step whose name is, or ends in, what was given; else that itself, to be refused."""
    known = tuple(dict.fromkeys(names))
    if given in known:
        return given
    meant = [name for name in known if name.endswith(f".{given}")]
    return meant[0] if len(meant) == 1 else given


def of_step(wanted: Filter, registry: Registry) -> Filter:
    """The filter with its step's whole name, where it was given short."""
    if wanted.step is None:
        return wanted
    known = [saga for saga in registry if wanted.type in {None, saga.name}]
    names = (step.name for saga in known for step in saga.steps)
    return replace(wanted, step=whole(wanted.step, names))
