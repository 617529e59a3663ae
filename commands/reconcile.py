"""``saga reconcile``: what we booked of refunds, beside what the providers did."""

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from saga import Engine
from saga.cli import connect, current, print_json
from saga.cli.database import database_errors
from saga.cli.errors import UsageError
from saga.cli.output import console
from saga.filter import BadFilter, Filter
from saga.views import iso
from workflows.reconciliation import (
    ADVICE,
    MEANING,
    WINDOW,
    OnFile,
    Reconciled,
    Reconciler,
    on_file,
)


def reconcile(
    *,
    since: Annotated[
        str | None, typer.Option(help="Started so long ago or less, such as 3d; 48h unless given.")
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Ask nobody: tell what was found before.")
    ] = False,
) -> None:
    """Ask the providers about all refunds of the last 48 hours, and tell what differs.

    Ends with exit code 1 when something differs.
    """
    if listed and since is not None:
        raise UsageError("--list asks nobody: it goes without --since")
    window = WINDOW if since is None else _window(since)
    engine = connect().engine
    with database_errors():
        done = Reconciled() if listed else _ask(engine, window)
        differences = _on_file(engine.database)
    if current().json:
        print_json(_json(done, differences))
    else:
        _tell(None if listed else done, differences)
    if differences:
        raise typer.Exit(1)


def _window(text: str) -> timedelta:
    try:
        window = Filter.parse({"olderThan": text}).older_than
    except BadFilter as error:
        raise UsageError("--since must be a duration such as 90m, 48h or 3d") from error
    if not window:
        raise UsageError("--since must be longer than nothing")
    return window


def _ask(engine: Engine, window: timedelta) -> Reconciled:
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("asking the providers", total=None)
        return Reconciler(engine).run(
            window=window,
            progress=lambda done: progress.update(task, total=done.due, advance=1),
        )


def _on_file(database: Database) -> list[OnFile]:
    with Session(database) as session, session.begin():
        return on_file(session)


def _json(done: Reconciled, differences: list[OnFile]) -> dict[str, Any]:
    return {
        "checked": done.checked,
        "underWay": done.under_way,
        "notAnswered": done.not_answered,
        "differences": [
            {
                "refundNo": found.refund_no,
                "sagaId": str(found.saga_id),
                "paymentId": found.payment_id,
                "ours": found.ours,
                "theirs": found.theirs,
                "difference": found.difference.value,
                "foundAt": iso(found.found_at),
            }
            for found in differences
        ],
    }


def _tell(done: Reconciled | None, differences: list[OnFile]) -> None:
    if done is not None:
        console.print(
            f"{done.checked} refunds compared, {done.under_way} under way, "
            f"{done.not_answered} that no provider answered for"
            + (": ask again later" if done.not_answered else "")
        )
    if not differences:
        console.print("no difference")
        return
    table = Table(title=_count(differences), title_justify="left")
    for column in ("payment", "refund number", "ours", "theirs", "what it means", "what to do"):
        table.add_column(column, overflow="fold")
    for found in differences:
        table.add_row(
            found.payment_id,
            found.refund_no,
            found.ours,
            found.theirs,
            MEANING[found.difference],
            ADVICE[found.difference],
        )
    console.print(table)
    console.print("of each: saga show ID, where ID is the first part of its refund number")


def _count(differences: list[OnFile]) -> str:
    return "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
