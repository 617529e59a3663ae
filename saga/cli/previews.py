"""A preview of going back, for people."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from saga.cli.output import console


def print_preview(seen: dict[str, Any]) -> None:
    """Print what would run, in order, and what is known of each effect."""
    console.print(f"saga {seen['sagaId']} is {seen['status']}", soft_wrap=True)
    if not seen["allowed"]:
        what = seen["action"] or "nothing"
        console.print(f"{what} is not allowed now: {seen['whyNot']}", soft_wrap=True, markup=False)
    elif seen["runs"]:
        console.print(f"{seen['action']} would run, in this order:")
        console.print(_runs(seen["runs"]), soft_wrap=True)
    else:
        console.print(f"{seen['action']} would run no compensation")
    if seen["then"]:
        console.print(seen["then"], soft_wrap=True, markup=False)
    console.print()
    console.print(_effects(seen["effects"]), soft_wrap=True)


def _runs(runs: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("step", "effect", "by", "what"):
        table.add_column(column, overflow="fold")
    for run in runs:
        what = run["compensation"] or escape(run["advice"])
        table.add_row(run["step"], run["effect"].replace("_", " "), run["by"], what)
    return table


def _effects(effects: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("known of", "role", "effect"):
        table.add_column(column)
    for known in effects:
        role = known["role"] or "?"
        table.add_row(known["step"], role, known["effect"].replace("_", " "))
    return table
