"""``saga sweep``: what lies somewhere and nobody owns."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from saga.cli import connect, current, print_json
from saga.cli.database import database_errors
from saga.cli.errors import CliError, UsageError
from saga.cli.output import console
from saga.filter import BadFilter, Filter
from saga.views import iso
from workflows.sweeping import GRACE, TOLD_OF, Finding, Removal, Sweeper, Swept, Verdict

# The rest is only counted: a list of a million helps nobody, and would not fit into memory.
_LISTED = 1000
_KILOBYTE = 1024


def sweep(
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the orphans.")] = False,
    strays: Annotated[
        bool, typer.Option("--strays", help="With --remove: what no saga here ever had, too.")
    ] = False,
    grace: Annotated[
        str | None,
        typer.Option(help="Leave alone what is not older, such as 2h; SWEEP_GRACE_SECONDS."),
    ] = None,
) -> None:
    """Tell of files, objects, containers, ports and shares of quotas that nobody owns.

    Ends with exit code 1 when a place could not be looked through, or an orphan not be removed.
    """
    if strays and not remove:
        raise UsageError("--strays goes with --remove")
    age = GRACE if grace is None else _grace(grace)
    engine, listed = connect().engine, list[Finding]()
    looking = Console(stderr=True).status("looking through all places")
    with database_errors(), looking:
        swept = Sweeper(engine).run(
            grace=age,
            remove=remove,
            strays=strays,
            tell=lambda found: listed.extend(found[: _LISTED - len(listed)]),
        )
    now = datetime.now(UTC)
    if current().json:
        print_json(_json(swept, listed, now))
    else:
        _tell(swept, listed, now)
    if swept.faults:
        raise CliError("not looked through: " + "; ".join(dict.fromkeys(swept.faults.values())))
    if swept.removals[Removal.FAILED]:
        raise CliError(f"{swept.removals[Removal.FAILED]} could not be removed")


def _grace(text: str) -> timedelta:
    try:
        grace = Filter.parse({"olderThan": text}).older_than
    except BadFilter:
        grace = None
    if grace is None:
        raise UsageError("--grace must be a duration such as 90s, 15m, 2h or 3d")
    return grace


def _json(swept: Swept, listed: list[Finding], now: datetime) -> dict[str, Any]:
    return {
        "seen": swept.seen,
        "orphans": swept.verdicts[Verdict.ORPHAN],
        "strays": swept.verdicts[Verdict.STRAY],
        "foreign": swept.verdicts[Verdict.FOREIGN],
        "missing": swept.verdicts[Verdict.MISSING],
        "removed": swept.removals[Removal.REMOVED],
        "notRemoved": swept.removals[Removal.FAILED],
        "notSetUp": {kind.value: what for kind, what in sorted(swept.not_set_up.items())},
        "notLookedThrough": {kind.value: fault for kind, fault in sorted(swept.faults.items())},
        "findings": [
            {
                "kind": found.thing.kind.value,
                "verdict": found.verdict.value,
                "key": found.thing.key,
                "sagaId": None if found.thing.saga_id is None else str(found.thing.saga_id),
                "sizeBytes": found.thing.size_bytes,
                "since": iso(found.thing.since),
                "ageSeconds": int((now - found.thing.since).total_seconds()),
                "why": found.why,
                "removal": found.removal.value,
                "fault": found.fault,
            }
            for found in listed
        ],
    }


def _tell(swept: Swept, listed: list[Finding], now: datetime) -> None:
    removed = swept.removals[Removal.REMOVED]
    console.print(
        f"{swept.seen} seen; orphans: {swept.verdicts[Verdict.ORPHAN]}, "
        f"strays: {swept.verdicts[Verdict.STRAY]} ({removed} removed), "
        f"foreign: {swept.verdicts[Verdict.FOREIGN]}, missing: {swept.verdicts[Verdict.MISSING]}"
    )
    for what in dict.fromkeys(swept.not_set_up.values()):
        console.print(what)
    if not listed:
        return
    table = Table()
    for column in ("kind", "key", "size", "age", "why", "what to do"):
        table.add_column(column, overflow="fold")
    for found in listed:
        thing = found.thing
        table.add_row(
            thing.kind.value.replace("_", " "),
            thing.key,
            _size(thing.size_bytes),
            _age(now - thing.since),
            found.why,
            found.advice,
        )
    console.print(table)
    told = sum(swept.verdicts[verdict] for verdict in TOLD_OF)
    if told > len(listed):
        console.print(f"and {told - len(listed)} more")


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "unknown"
    if size_bytes < _KILOBYTE:
        return f"{size_bytes} B"
    if size_bytes < _KILOBYTE**2:
        return f"{size_bytes / _KILOBYTE:.1f} KB"
    return f"{size_bytes / _KILOBYTE**2:.1f} MB"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m"
