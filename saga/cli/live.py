"""One saga as ``saga watch`` shows it on a terminal: all of it at once, as it is now."""

from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from saga.cli.sagas import colored, steps_table, timeline_table

# Blank lines, the titles of tables, and two lines for why.
_AROUND = 9
_FEWEST = 5


def view(seen: dict[str, Any], *, height: int) -> Group:
    """A saga as ``saga.views.show`` tells it, with as many of its newest events as fit."""
    saga = seen["saga"]
    kind = saga["sagaType"]
    key = escape(saga["businessKey"] or "")
    newest = max(height - len(seen["steps"]) - _AROUND, _FEWEST)
    return Group(
        Text.from_markup(f"{kind} {saga['sagaId']} is {colored(saga['status'])}  {key}"),
        Text(seen["why"]),
        Padding(steps_table(seen["steps"], kind), (1, 0)),
        timeline_table(seen["events"], kind, newest=newest),
    )
