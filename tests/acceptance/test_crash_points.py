"""Real processes die of SIGKILL, one at each of the points where one can; every refund ends well.

A history is recorded first: each point that a process reaches, in a worker's child and main
process, in recovery, in the producer. Then it is gone through once for every point, and whoever
stands there dies.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.deaths import Death, Point, Then
from tests.acceptance.rounds import History, Refund, Rounds
from tests.acceptance.world import World
from tests.promise import PIVOT, TAKE
from workflows import refund

[RESTORE] = [refund.steps[0].compensation.name]


def _child(task: str, what: str) -> Death:
    return Death(Point(f"worker child {task}", what))


NEVER = {"kind": "refuse", "times": 20}
FORWARD = History(name="all goes well", end="COMPLETED")
REFUSED = History(name="it is refused", end="COMPENSATED", faults=[NEVER])
OTHERS = [
    History(
        name="the first step dies before it sends the next one",
        end="COMPLETED",
        deaths=[_child(TAKE, f"before send {PIVOT}")],
        looks=1,
    ),
    History(
        name="it is done and answered by 500", end="COMPLETED", faults=[{"kind": "error_after"}]
    ),
    History(
        name="the provider takes its time, and is asked again",
        end="COMPLETED",
        faults=[{"kind": "processing", "seconds": 0.2}],
        looks=1,
    ),
    History(
        name="the provider answers 500 until it is asked what happened",
        end="COMPENSATED",
        faults=[{"kind": "error_before", "times": 20}],
        looks=1,
    ),
    History(
        name="the call is slow, and its lease is renewed",
        end="COMPLETED",
        faults=[{"kind": "slow", "seconds": 2.5}],
        is_slow=True,
    ),
    History(
        name="the call dies when it was answered",
        end="COMPLETED",
        deaths=[_child(PIVOT, "after call")],
        looks=1,
    ),
    History(
        name="the refused call dies before it sends link_error",
        end="COMPENSATED",
        faults=[NEVER],
        deaths=[_child(PIVOT, "before send saga.compensate")],
        looks=1,
    ),
    History(
        name="the first step dies in its transaction",
        end="COMPLETED",
        deaths=[_child(TAKE, "wrote advance")],
    ),
    History(
        name="the compensation dies in its transaction",
        end="COMPENSATED",
        faults=[NEVER],
        deaths=[_child(RESTORE, "wrote rest")],
    ),
]

# What recovery and beat do for no saga; not a history's.
FOR_NOBODY = [
    Death(Point(who, what, 0))
    for who, what in (
        ("recovery child scans", "before commit"),
        ("recovery child scans", "after commit"),
        ("recovery child reports", "wrote beat"),
        ("recovery child reports", "before commit"),
        ("recovery child reports", "after commit"),
        ("recovery main saga.recover", "received"),
        ("recovery main saga.recover", "before acknowledgement"),
        ("recovery main saga.recover", "after acknowledgement"),
        ("beat", "before send saga.recover"),
        ("beat", "after send saga.recover"),
    )
]


SCANS = 5
SLOW = {
    Point(f"worker main {PIVOT}", "received"),
    Point(f"worker main {PIVOT}", "before acknowledgement"),
    Point("producer", "after commit"),
    Point("producer", "before publish"),
}


@pytest.fixture
def rounds(make_world: Callable[..., World], tmp_path: Path) -> Rounds:
    settings = {
        "MORTAL_FOLDER": str(tmp_path / "mortal"),
        "SAGA_PATIENCE_SECONDS": "6",
        "SAGA_LEASE_SECONDS": "4",
        "SAGA_SECOND_LOOKS_SECONDS": "[86400]",
        "PAYMENT_REFUND_FIRST_RETRY_SECONDS": "0.2",
        "PAYMENT_REFUND_TIMEOUT_SECONDS": "7200",
    }
    return Rounds(make_world(workers=2, concurrency=2, app="mortal", settings=settings))


@pytest.mark.timeout(7200)
def test_whoever_dies_wherever_the_refund_ends_as_it_should(
    rounds: Rounds,
    in_full: bool,  # noqa: FBT001 - a fixture
    proved: Callable[..., None],
) -> None:
    recorded = rounds.record([FORWARD, REFUSED, *(OTHERS if in_full else [])])
    points = [
        (history, point)
        for history, reached in recorded.items()
        for point in sorted(reached)
        if in_full or _is_quick(history, point)
    ]
    first = {(point.who, point.what): (history, point) for history, point in reversed(points)}
    of_sagas = [(history, point) for history, point in points if _works_a_saga(point)]
    # Producers and main processes do the same in every history.
    of_others = [each for each in first.values() if not _works_a_saga(each[1])]
    once = [each for each in first.values() if _works_a_saga(each[1])]
    alone = [Refund(history, Death(point)) for history, point in of_sagas + of_others]
    not_alone = [
        Refund(history, Death(point, then))
        for then, several in ((Then.WITH_ITS_MESSAGES, of_sagas), (Then.WITH_ITS_WORKER, once))
        for history, point in several
        if in_full
    ]
    doubled = [Refund(history, Death(point)) for history, point in of_sagas]
    doubled = doubled if in_full else doubled[::10]
    for_nobody = FOR_NOBODY if in_full else FOR_NOBODY[:SCANS]

    wrong = rounds.run(alone, for_nobody)
    wrong += rounds.run(not_alone)
    with rounds.sending_all_twice():
        wrong += rounds.run(doubled)
    wrong += rounds.all_again()

    assert not wrong, "\n".join(wrong)
    rounds.world.audit()
    deaths = len(alone) + len(for_nobody) + len(not_alone) + len(doubled)
    proved(
        f"{len(alone) + len(for_nobody)} crash points of real processes, {deaths:,} deaths, "
        "0 violations"
    )


def _works_a_saga(point: Point) -> bool:
    return " main " not in point.who and point.who != "producer"


def _is_quick(history: History, point: Point) -> bool:
    """Children are forked in no time; a main process or a producer takes seconds to start."""
    return point.who.startswith("worker child") or (history is FORWARD and point in SLOW)
