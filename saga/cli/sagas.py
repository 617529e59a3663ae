"""``saga list``, ``show`` and ``why``: what became of sagas."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from saga.cli.errors import UsageError
from saga.cli.invocation import current
from saga.cli.loading import sagas
from saga.cli.options import Filters, spread
from saga.cli.output import console, print_json
from saga.counts import MOST_COUNTED
from saga.filter import MOST
from saga.position import RESTING, Status
from saga.timeline import entries, short, took

COLORS = {
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "COMPENSATING": "yellow",
    "COMPENSATED": "yellow",
    "TIMEOUT": "yellow",
    "FAILED": "bold red",
}

_WIDE_ENOUGH = 150  # characters, for all columns of a list

_Id = Annotated[str, typer.Argument(metavar="ID", help="The saga's id.")]


def register(root: typer.Typer) -> None:
    root.command("list")(list_)
    root.command()(show)
    root.command()(why)


@spread
def list_(
    filters: Filters,
    *,
    limit: Annotated[str | None, typer.Option(help=f"1 to {MOST}; 50 if not given.")] = None,
    cursor: Annotated[str | None, typer.Option(help="nextCursor of the page before.")] = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Count them by type and status instead.")
    ] = False,
) -> None:
    """List sagas, the newest first."""
    page_of = {"limit": limit, "cursor": cursor}
    wanted = filters.wanted(**page_of)
    if counts:
        _count({*filters.given(), *(name for name, text in page_of.items() if text)})
        return
    service = sagas()
    page = service.list_sagas(service.whole_step(wanted))
    if current().json:
        print_json(page)
        return
    if page["items"]:
        console.print(table_of(page["items"]), soft_wrap=True)
    else:
        console.print("none so far" if page["nextCursor"] else "no sagas")
    if page["nextCursor"]:
        console.print(f"more: the same with --cursor {page['nextCursor']}", soft_wrap=True)


def _count(filters: set[str]) -> None:
    if filters:
        raise UsageError(f"--counts counts all sagas: leave out {', '.join(sorted(filters))}")
    counted = sagas().count_sagas()
    if current().json:
        print_json(counted)
    elif counted["counts"]:
        console.print(_counts(counted["counts"]), soft_wrap=True)
        console.print(f"at rest: only those started since {counted['since']}", soft_wrap=True)
    else:
        console.print("no sagas")


def _counts(counts: dict[str, dict[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("type")
    for status in Status:
        table.add_column(colored(status), justify="right")
    for saga_type, found in counts.items():
        told = (_bounded(found.get(status, 0), status) for status in Status)
        table.add_row(saga_type, *told)
    return table


def _bounded(number: int, status: Status) -> str:
    more = status in RESTING and number == MOST_COUNTED
    return f"{number}+" if more else str(number)


def show(saga_id: _Id) -> None:
    """Show one saga: where it stands, its steps, and all that happened."""
    seen = sagas().show(saga_id)
    if current().json:
        print_json(seen)
        return
    saga = seen["saga"]
    kind = saga["sagaType"]
    title = f"{kind} {saga['sagaId']} is {colored(saga['status'])}"
    console.print(f"{title}  {escape(saga['businessKey'] or '')}", soft_wrap=True)
    console.print(seen["why"], soft_wrap=True, markup=False)
    if saga["errorMessage"]:
        console.print(f"error: {saga['errorMessage']}", soft_wrap=True, markup=False)
    allowed = ", ".join(seen["allowedActions"]) or "nothing"
    console.print(f"an operator may now: {allowed}", soft_wrap=True)
    console.print()
    console.print(steps_table(seen["steps"], kind), soft_wrap=True)
    console.print()
    console.print(f"started {saga['startedAt']}")
    if seen["events"] and seen["events"][0]["seq"] > 1:
        console.print("the newest events alone; times count from the first of them")
    console.print(timeline_table(seen["events"], kind), soft_wrap=True)


def why(saga_id: _Id) -> None:
    """Say in plain words where a saga stands and what would happen next."""
    seen = sagas().show(saga_id)
    if current().json:
        print_json({"sagaId": seen["saga"]["sagaId"], "why": seen["why"]})
    else:
        console.print(seen["why"], soft_wrap=True, markup=False)


def colored(status: str) -> str:
    """Give a status in rich's markup."""
    return f"[{COLORS.get(status, 'default')}]{status}[/]"


def table_of(listed: list[dict[str, Any]]) -> Table:
    """Sagas as a page of a list has them; as many columns as there is room for."""
    narrow = console.width < _WIDE_ENOUGH
    table = Table(box=None, pad_edge=False)
    table.add_column("saga", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for column in ("step",) if narrow else ("started", "type", "step", "key"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for saga in listed:
        step = short(saga["currentStep"], saga["sagaType"])
        started = f"{saga['startedAt'][:19]}Z"
        wide = (started, saga["sagaType"], step, escape(saga["businessKey"] or ""))
        table.add_row(saga["sagaId"], colored(saga["status"]), *((step,) if narrow else wide))
    return table


def steps_table(steps: list[dict[str, Any]], saga_type: str) -> Table:
    """Each step with what is known of its effect."""
    table = Table(box=None, pad_edge=False)
    for column in ("step", "role", "effect", "attempts"):
        table.add_column(column)
    for step in steps:
        effect = step["effect"].replace("_", " ")
        role = step["role"] or "?"
        table.add_row(short(step["name"], saga_type), role, effect, str(step["attempts"]))
    return table


def timeline_table(
    events: list[dict[str, Any]], saga_type: str, *, newest: int | None = None
) -> Table:
    """What happened, oldest first: all of it, or so many of the newest."""
    table = Table(box=None, pad_edge=False)
    for column in ("after", "step", "attempt", "outcome", "took", "worker"):
        table.add_column(column)
    told = list(entries(events, saga_type))
    for entry in told if newest is None else told[-newest:]:
        table.add_row(
            took(entry.after_seconds),
            entry.step,
            str(entry.attempt or ""),
            escape(entry.outcome),
            entry.duration,
            escape(entry.worker),
        )
    return table
