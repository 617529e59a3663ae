"""Every interleaving of small sagas, to the fixpoint: ``decide`` with a model of the store around.

Two workers that are killed, frozen and come back; messages that are lost, doubled and late; a
provider that is slow, silent and misleading; recovery; time. Every state that can be reached is
looked at once, and from each of them good fortune leads to an end.

What the bounds could hide: policies have one retry, so that what needs three attempts of one step
is not seen (a second look's ten are one); a third worker is there only where it says so; two sagas
are never there, nor an unknown definition, nor a state that does not fit; a queue is always short.
"""

from collections.abc import Callable, Iterable

import pytest

from saga.moves import Keep, Move, Pause, Reopen, Resolve, Resume, Stop, TakeIn, WaitOn
from tests.unit.exploration.definitions import ALL, SELECTED, read
from tests.unit.exploration.explorer import Explorer

pytestmark = pytest.mark.unit


def explore(group: str, lines: Iterable[str]) -> int:
    """How many states the small sagas have together; fails with the history of a violation."""
    states = 0
    for line in dict.fromkeys(lines):
        explored = Explorer(read(line), workers=3 if group == "three workers" else 2).explore()
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

    proved(f"{states:,} states of {len(set(lines)):,} small sagas of {group}, 0 violations")


def test_the_interleavings_make_every_move_there_is() -> None:
    made: set[type[Move]] = set()
    for line in ("call<call | ask |", "ask<call sql<sql | |", "| | call"):
        explorer = Explorer(read(line))
        explorer.explore()
        made |= explorer.moves

    told = {Keep, TakeIn, Stop, Reopen, Resolve, Pause, Resume}
    assert made | {WaitOn} == set(Move.__args__) - told
