"""A picture as a Mermaid flowchart.

https://mermaid.js.org/syntax/flowchart.html
"""

from collections.abc import Iterator
from itertools import pairwise

from saga.definition import Role
from saga.graph.layout import wrapped
from saga.graph.picture import Back, Box, Picture
from saga.graph.where import Activity
from saga.position import Status
from saga.task import Effect

_LONGEST_LINE = 44  # characters
_MOST_LINES = 4

# Colours that can be read on light and dark pages alike.
_CLASSES = {
    "step": "fill:#f8fafc,stroke:#64748b,color:#0f172a",
    "pivot": "fill:#fef3c7,stroke:#b45309,color:#451a03",
    "back": "fill:#f8fafc,stroke:#94a3b8,color:#334155,stroke-dasharray:5 4",
    "rests": "fill:#f1f5f9,stroke:#64748b,color:#0f172a",
    "done": "fill:#dcfce7,stroke:#15803d,color:#052e16",
    "unknown": "fill:#f3e8ff,stroke:#7e22ce,color:#3b0764",
    "compensated": "fill:#ffedd5,stroke:#c2410c,color:#431407",
    "failed": "fill:#fee2e2,stroke:#b91c1c,color:#450a0a",
    "waiting": "fill:#fef9c3,stroke:#a16207,color:#422006",
    "running": "fill:#dbeafe,stroke:#1d4ed8,color:#172554",
    "not_started": "fill:#f8fafc,stroke:#94a3b8,color:#475569",
    "here": "stroke-width:4px",
}

_EFFECTS = {
    Effect.NOT_STARTED: ("○ not started", "not_started"),
    Effect.DONE: ("✓ done", "done"),
    Effect.NOT_DONE: ("⊘ not done", "not_started"),
    Effect.UNKNOWN: ("? unknown", "unknown"),
    Effect.COMPENSATED: ("↩ compensated", "compensated"),
    Effect.COMPENSATION_FAILED: ("✗ compensation failed", "failed"),
}

_ACTIVITIES = {
    Activity.RUNNING: ("▶ running", "running"),
    Activity.WAITING: ("◷ waiting", "waiting"),
    Activity.PAUSED: ("‖ paused", "waiting"),
    Activity.COMPENSATING: ("↩ compensating", "compensated"),
    Activity.FAILED: ("✗ FAILED", "failed"),
}

_ENDS = {
    Status.COMPLETED: ("completed", "done"),
    Status.COMPENSATED: ("compensated", "compensated"),
    Status.TIMEOUT: ("compensated", "compensated"),
    Status.FAILED: ("failed", "failed"),
}


def mermaid(picture: Picture) -> str:
    """The flowchart, ending with a new line."""
    return "\n".join(_lines(picture)) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield "flowchart TD"
    title = [f"<b>{picture.saga_type}</b>", _text(picture.words)]
    if picture.where is not None:
        title += [_text(picture.where.saga_id), f"<b>{picture.where.status}</b>"]
    yield f'    begin(["{"<br/>".join(title)}"])'
    for number, box in enumerate(picture.boxes, start=1):
        left, right = ("{{", "}}") if box.role is Role.PIVOT else ("[", "]")
        yield f'    step{number}{left}"{"<br/>".join(_step(box))}"{right}'
        if box.back is not None:
            yield f'    back{number}("{"<br/>".join(_back(box.back))}")'
    yield '    completed(["COMPLETED"])'
    if picture.goes_back:
        yield f'    compensated(["{picture.back_end}"])'
    yield '    failed(["FAILED<br/>a person must decide"])'
    yield from _edges(picture)
    for name, style in _CLASSES.items():
        yield f"    classDef {name} {style}"
    yield from _classes(picture)


def _step(box: Box) -> Iterator[str]:
    yield f"<b>{_text(box.name)}</b>"
    if box.effect is not None and not (box.activity and box.effect is Effect.NOT_STARTED):
        yield _EFFECTS[box.effect][0]
    if box.activity is not None:
        yield f"<b>{_ACTIVITIES[box.activity][0]}</b>"
    if box.tells:
        yield from _wrapped(box.tells)
    yield _text(f"{box.role} · {box.kind}")
    yield _text(box.limits)
    if box.probe is not None:
        yield _text(f"probe: {box.probe}")


def _back(back: Back) -> Iterator[str]:
    if back.name is not None:
        yield _text(back.name)
    yield from _wrapped(back.words)


def _edges(picture: Picture) -> Iterator[str]:
    nodes = ["begin", *(f"step{number}" for number in range(1, len(picture.boxes) + 1))]
    for number, (before, after) in enumerate(pairwise([*nodes, "completed"])):
        is_line = number == picture.no_return
        yield (
            f'    {before} ==>|"no way back from here"| {after}'
            if is_line
            else (f"    {before} --> {after}")
        )
    way_back: list[str] = []
    for number, box in enumerate(picture.boxes, start=1):
        if box.back is not None:
            yield f"    step{number} -.- back{number}"
        if box.role is Role.COMPENSATABLE:
            way_back.append(f"back{number}")
        elif box.role is Role.PIVOT:
            way_back.append(f"step{number}")
    if way_back:
        for before, after in pairwise([*way_back[::-1], "compensated"]):
            yield f"    {before} -.-> {after}"
    risky = [n for n, box in enumerate(picture.boxes, start=1) if not box.is_skippable]
    yield f"    step{risky[-1] if risky else len(picture.boxes)} -.-> failed"


def _classes(picture: Picture) -> Iterator[str]:
    for number, box in enumerate(picture.boxes, start=1):
        yield f"    class step{number} {_class(box)}"
        if box.activity is not None:
            yield f"    class step{number} here"
        if box.back is not None:
            yield f"    class back{number} back"
    reached, name = _ENDS.get(picture.where.status, ("", "")) if picture.where else ("", "")
    ends = ["begin", "completed", *["compensated"] * picture.goes_back, "failed"]
    yield f"    class {','.join(end for end in ends if end != reached)} rests"
    if reached:
        yield f"    class {reached} {name}"
        yield f"    class {reached} here"


def _class(box: Box) -> str:
    if box.activity is not None:
        return _ACTIVITIES[box.activity][1]
    if box.effect is not None:
        return _EFFECTS[box.effect][1]
    return "pivot" if box.role is Role.PIVOT else "step"


def _wrapped(text: str) -> Iterator[str]:
    for line in wrapped(text, fits=lambda line: len(line) <= _LONGEST_LINE, most=_MOST_LINES):
        yield _text(line)


_PLAIN = frozenset(" .,:()/-_·")


def _text(text: str) -> str:
    """A label's text, of which nothing is Mermaid's, HTML's or Markdown's any more."""
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    if letter.isalnum() or letter in _PLAIN:
        return letter
    return f"#{ord(letter)};" if letter.isprintable() else " "
