"""Every interleaving of small sagas, to the fixpoint: ``decide`` with a model of the store around.

Two workers that are killed, frozen and come back; messages that are lost, doubled and late; a
provider that is slow, silent and misleading; recovery; time; signals; and people, who do whatever
``why_not`` allows. Every state that can be reached is looked at once, and from each of them good
fortune leads to an end.

What the bounds could hide: policies have one retry, so that what needs three attempts of one step
is not seen (a second look's ten are one); a third worker, two signals or three acts of people are
there only where it says so; two sagas are never there, nor an unknown definition, nor a state that
does not fit; nor does a step wait for two kinds of signals; a queue is always short; one step of a
type is not paused, only all of it. A worker between two transactions of one attempt drops its
message whenever another commits an attempt, also where the row could look the same once more.
"""

from collections.abc import Callable, Iterable

import pytest

from saga.moves import Move
from tests.unit.exploration.definitions import read
from tests.unit.exploration.explorer import Bounds, Explorer
from tests.unit.exploration.selection import ALL, BOUNDS, SELECTED

pytestmark = pytest.mark.unit


def explore(group: str, lines: Iterable[str]) -> int:
    """How many states the small sagas have together; fails with the history of a violation."""
    states = 0
    for line in dict.fromkeys(lines):
        explored = Explorer(read(line), BOUNDS[group]).explore()
        assert explored.violation is None, f"{line}: {explored.violation}"
        states += explored.states
    return states


@pytest.mark.parametrize("group", SELECTED)
def test_no_interleaving_breaks_a_promise(
    group: str,
    in_full: bool,  # noqa: FBT001
    proved: Callable[[str], None],
) -> None:
    lines = (ALL if in_full else SELECTED)[group]

    states = explore(group, lines)

    count = len(set(lines))
    sagas = "small saga" if count == 1 else "small sagas"
    proved(f"{states:,} states of {count:,} {sagas} {group}, 0 violations")


def test_the_interleavings_make_every_move_there_is() -> None:
    made: set[type[Move]] = set()
    for line, bounds in (
        ("call<call | ask |", Bounds()),
        ("ask<call sql<sql | |", Bounds()),
        ("| sql |", Bounds(signals=1, acts=1)),
        ("call<call | |", Bounds(acts=1)),
    ):
        explorer = Explorer(read(line), bounds)
        explorer.explore()
        made |= explorer.moves

    assert made == set(Move.__args__)
