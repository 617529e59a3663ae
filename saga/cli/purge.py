"""``saga purge``: the end of what came to rest long ago."""

from typing import Annotated

import typer

from saga.cli.database import database_errors
from saga.cli.errors import CliError, UsageError
from saga.cli.invocation import current
from saga.cli.loading import connect
from saga.cli.options import login_name
from saga.cli.output import console, has_terminal, print_json
from saga.cli.progress import counting
from saga.filter import BadFilter, duration
from saga.retention import Purged, count_old, purge


def register(root: typer.Typer) -> None:
    root.command("purge")(purge_)


def purge_(
    *,
    older_than: Annotated[
        str, typer.Option(help="At rest for longer than this, such as 90d; 2h, 15m, 30s work, too.")
    ],
    type_: Annotated[
        str | None, typer.Option("--type", help="Of this type alone; the audit stays then.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    actor: Annotated[str | None, typer.Option(help="Who; else your login name.")] = None,
) -> None:
    """Delete sagas at rest, with their events and signals, and old entries of the audit.

    Open and FAILED sagas stay, and those whose second look is to come. It may be stopped anywhere,
    and run again, while workers run.
    """
    try:
        age = duration("--older-than", older_than)
    except BadFilter as error:
        raise UsageError(str(error)) from None
    engine = connect().engine
    with database_errors():
        old = count_old(engine.database, older_than=age, saga_type=type_)
        if dry_run:
            _tell_old(old)
            return
        _confirm(old, yes=yes)
        done = Purged(sagas=0, audit=0)
        with counting() as counter:
            for done in purge(
                engine.database, older_than=age, saga_type=type_, actor=actor or login_name()
            ):
                counter.tell(done.sagas, "sagas deleted", of=max(old, done.sagas))
    if current().json:
        print_json({"purged": done.sagas, "auditEntries": done.audit})
    else:
        console.print(f"{done.sagas} sagas deleted, and {done.audit} entries of the audit")


def _confirm(old: int, *, yes: bool) -> None:
    """Ask, where somebody can answer: what is deleted nobody can bring back."""
    if yes:
        return
    if current().json or not has_terminal():
        raise UsageError(f"{old} sagas would be deleted for ever: say --yes")
    if not typer.confirm(f"delete {old} sagas, with their events, for ever?"):
        raise CliError("nothing was deleted")


def _tell_old(old: int) -> None:
    if current().json:
        print_json({"wouldPurge": old})
    else:
        console.print(f"{old} sagas would be deleted")
