"""Which small sagas are explored: the short selection of every run, and all of a full one."""

from collections.abc import Iterable
from itertools import product

from tests.unit.exploration.explorer import Bounds
from tests.unit.exploration.operators import DECISIONS

_WORKS = ("sql", "call", "ask")
_BACKS = ("sql", "call", "manual", "nothing")


def _lines(*parts: Iterable[str]) -> list[str]:
    """Every saga of these parts, each given as its alternatives."""
    return [" ".join(words) for words in product(*parts)]


_COMPENSATABLE = [f"{work}<{back}" for work, back in product(_WORKS, _BACKS)]
_BEFORE = ("sql<sql", "call<manual", "ask<call")
_RETRIABLE = ("sql", "call")
_BAR = ("|",)

_PIVOTS = [f"{work}{back}" for work, back in product(_WORKS, ("", "<sql", "<call", "<manual"))]
_LAST = [f"{work}{back}" for work, back in product(_RETRIABLE, ("", "<sql", "<call", "<manual"))]

BOUNDS = {
    "of one step": Bounds(),
    "of two steps": Bounds(),
    "of three steps": Bounds(),
    "of four and five steps": Bounds(),
    "with three workers": Bounds(workers=3),
    "that wait": Bounds(signals=1),
    "that wait and get two signals": Bounds(signals=2),
    "with one act of people": Bounds(acts=1),
    "with two acts of people": Bounds(acts=2),
    "with two decisions of people": Bounds(acts=2, kinds=DECISIONS),
    "with three decisions of people": Bounds(acts=3, kinds=DECISIONS),
    "that wait, with one act of people": Bounds(signals=1, acts=1),
    "that may need a person": Bounds(needs=True),
    "that wait and may need a person": Bounds(signals=1, needs=True),
    "that may need a person, with two decisions of people": Bounds(
        needs=True, acts=2, kinds=DECISIONS
    ),
    "whose probes may find them accepted": Bounds(finds=True, acts=1, kinds=frozenset({"cancel"})),
    "that wait, and whose probes may find them accepted": Bounds(signals=1, finds=True),
    "told from outside": Bounds(needs=True, tells=1),
    "told from outside, with one decision of people": Bounds(
        needs=True, tells=1, acts=1, kinds=DECISIONS
    ),
    "with steps that may be skipped": Bounds(needs=True),
    "with steps that may be skipped, and two decisions of people": Bounds(acts=2, kinds=DECISIONS),
}

# The simplest of each kind, and what is known to be hard and small.
SELECTED = {
    "of one step": [
        *["sql<sql | |", "sql<call | |", "sql<manual | |", "sql<nothing | |"],
        *["call<call | |", "call<manual | |", "call<nothing | |", "ask<call | |"],
        *_lines(_BAR, _WORKS, _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE),
    ],
    "of two steps": [
        *["sql<sql call<call | |", "sql<sql | sql |", "sql<call | ask |"],
        *["| sql | call", "| call | sql", "| | sql call"],
    ],
    "of three steps": ["sql<sql | ask | call", "call<call | sql | sql", "| sql | sql call"],
    "of four and five steps": ["sql<sql | ask | sql call"],
    "with three workers": ["| ask |", "call<call | |"],
    "that wait": ["| sql |", "| call |", "| | call"],
    "that wait and get two signals": ["| call |"],
    "with one act of people": ["sql<sql | |", "| call |", "| | call<call"],
    "with two acts of people": ["sql<sql | |"],
    "with two decisions of people": [
        *["call<call | |", "| call<call |", "| | call<call"],
        *["sql<sql | sql<sql |", "sql<sql | sql | sql"],
    ],
    "with three decisions of people": ["| call<call |"],
    "that wait, with one act of people": ["| sql |"],
    "that may need a person": ["ask<call | |", "sql<sql | call | call"],
    "that wait and may need a person": ["| call |"],
    "that may need a person, with two decisions of people": ["| call<call |", "| | call<call"],
    "whose probes may find them accepted": ["ask<call | |"],
    "that wait, and whose probes may find them accepted": ["| ask |"],
    "told from outside": ["| call |"],
    "told from outside, with one decision of people": ["| call |", "| | call"],
    "with steps that may be skipped": ["| | call?", "| | sql? call"],
    "with steps that may be skipped, and two decisions of people": ["| | sql? sql<sql"],
}

ALL = {
    "of one step": [
        *_lines(_COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _WORKS, _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE),
    ],
    "of two steps": [
        *_lines(_COMPENSATABLE, _COMPENSATABLE, _BAR, _BAR),
        *_lines(_COMPENSATABLE, _BAR, _WORKS, _BAR),
        *_lines(_BAR, _WORKS, _BAR, _RETRIABLE),
        *_lines(_BAR, _BAR, _RETRIABLE, _RETRIABLE),
    ],
    "of three steps": [
        *_lines(_BEFORE, _COMPENSATABLE, _BAR, _WORKS, _BAR),
        *_lines(_COMPENSATABLE, _BAR, _WORKS, _BAR, _RETRIABLE),
        *_lines(_BAR, _WORKS, _BAR, _RETRIABLE, _RETRIABLE),
        *_lines(["sql<sql", "ask<call"], ["call<call"], _COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE, _RETRIABLE, _RETRIABLE),
    ],
    "of four and five steps": [
        "sql<sql call<call | ask | call",
        "sql<sql | ask | sql call",
        "call<sql sql<call | sql | call sql",
        "ask<sql sql<call | call | sql",
        "sql<sql call<call | ask | sql call",
        *_lines(["sql<sql", "ask<call"], ["call<call", "ask<sql"], _BAR, _WORKS, _BAR, ["call"]),
        *_lines(["call<sql", "ask<call"], _BAR, ["call", "ask"], _BAR, ["sql call", "call call"]),
        "ask<call ask<call | ask | call call",
    ],
    "with three workers": [
        *SELECTED["with three workers"],
        *_lines(_COMPENSATABLE, _BAR, ["call", "ask"], _BAR),
    ],
    "that wait": [
        *_lines(_COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _WORKS, _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE),
        *_lines(["sql<sql", "ask<call"], ["call<sql", "call<manual"], _BAR, _BAR),
        *_lines(["sql<sql", "call<call"], _BAR, _WORKS, _BAR),
        *_lines(_BAR, _WORKS, _BAR, _RETRIABLE),
        *_lines(_BAR, _BAR, _RETRIABLE, _RETRIABLE),
        "sql<sql | ask | call",
    ],
    "that wait and get two signals": [
        *_lines(["sql<sql", "call<call"], _BAR, _BAR),
        *_lines(_BAR, _WORKS, _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE),
    ],
    "with one act of people": [
        *_lines(_COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _PIVOTS, _BAR),
        *_lines(_BAR, _BAR, _LAST),
        *_lines(["sql<sql"], _BAR, _WORKS, _BAR),
        *_lines(["sql<sql", "call<call"], ["call<call", "sql<nothing", "call<manual"], _BAR, _BAR),
        *_lines(_BAR, ["sql", "call<call"], _BAR, ["sql<sql", "call"]),
    ],
    "with two acts of people": [
        *_lines(["sql<sql", "call<call", "call<manual"], _BAR, _BAR),
        *_lines(_BAR, ["sql", "call<call", "call<manual"], _BAR),
        *_lines(_BAR, _BAR, ["sql<sql", "call<call"]),
    ],
    "with two decisions of people": [
        *_lines(_COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _PIVOTS, _BAR),
        *_lines(_BAR, _BAR, _LAST),
        *_lines(["sql<sql", "call<call"], ["call<call", "sql<nothing", "call<manual"], _BAR, _BAR),
        *_lines(["sql<sql", "call<call"], _BAR, ["sql<sql", "call", "call<call"], _BAR),
        *_lines(_BAR, ["sql<sql", "call", "ask"], _BAR, ["sql<sql", "call", "call<call"]),
        *_lines(_BAR, _BAR, _RETRIABLE, ["sql<sql", "call<call"]),
        *["sql<sql | call<call | call<call", "sql<sql sql<call call<sql | |"],
        *["sql<sql | sql | sql", "sql<sql sql<sql sql<sql | |", "sql<sql sql<sql | call |"],
    ],
    "with three decisions of people": [
        *_lines(["sql<sql", "call<call", "call<manual"], _BAR, _BAR),
        *_lines(_BAR, ["sql<sql", "call<call", "ask"], _BAR),
        *_lines(_BAR, _BAR, ["sql<sql", "call<call"]),
        *["| call<call | sql<sql", "sql<sql call<call | |"],
    ],
    "that wait, with one act of people": [
        *_lines(["sql<sql", "call<call"], _BAR, _BAR),
        *_lines(_BAR, ["sql", "call<call"], _BAR),
        *_lines(_BAR, _BAR, ["sql<sql", "call"]),
    ],
    "that may need a person": [
        "sql<sql | call | call",
        *_lines(_COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _WORKS, _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE),
        *_lines(["sql<sql", "ask<call"], _BAR, _WORKS, _BAR),
        *_lines(_BAR, _WORKS, _BAR, _RETRIABLE),
        "call<call | ask | sql",
    ],
    "that wait and may need a person": [
        *_lines(["sql<sql", "call<call", "ask<call"], _BAR, _BAR),
        *_lines(_BAR, ["sql", "call"], _BAR),
        *_lines(_BAR, _BAR, _RETRIABLE),
    ],
    "that may need a person, with two decisions of people": [
        "| sql<sql | call",
        *_lines(_COMPENSATABLE, _BAR, _BAR),
        *_lines(_BAR, _PIVOTS, _BAR),
        *_lines(_BAR, _BAR, _LAST),
        *_lines(["sql<sql"], _BAR, ["call", "ask"], _BAR),
        *_lines(_BAR, ["sql", "call"], _BAR, _RETRIABLE),
    ],
    "whose probes may find them accepted": [
        *["| ask |", "ask<call | |"],
        *_lines(["sql<sql", "call<call", "ask<call"], _BAR, ["ask"], _BAR),
        *_lines(["ask<sql", "ask<manual", "ask<nothing"], _BAR, _BAR),
        *_lines(_BAR, ["ask", "ask<call"], _BAR, _RETRIABLE),
        "sql<sql | ask | call",
    ],
    "that wait, and whose probes may find them accepted": [
        *_lines(["sql<sql", "ask<call"], _BAR, ["ask"], _BAR),
        *["| ask |", "ask<call | |", "| ask | call"],
    ],
    "told from outside": [
        *["call<call | call |", "| call |"],
        *_lines(["sql<sql", "ask<call"], _BAR, ["call", "ask"], _BAR),
        *_lines(["call<call", "call<nothing", "ask<call"], _BAR, _BAR),
        *_lines(_BAR, ["ask"], _BAR, _RETRIABLE),
        *["| | call", "sql<sql | ask | call"],
    ],
    "told from outside, with one decision of people": [
        *["| call |", "| | call", "call<call | |"],
        *_lines(_BAR, ["call", "call<call"], _BAR, ["sql", "call"]),
        *["| ask |", "ask<call | |", "sql<sql | call |"],
    ],
    "with steps that may be skipped": [
        *SELECTED["with steps that may be skipped"],
        *["| | sql?", "| | sql? sql", "| sql | sql? call"],
    ],
    "with steps that may be skipped, and two decisions of people": [
        *["| | sql? sql<sql", "| | call<call?", "| | sql<sql? sql<sql", "| | call? sql"],
    ],
}
