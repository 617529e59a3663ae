"""``saga doctor``: whether all is as the promise needs it."""

import typer

from saga.cli.errors import CliError
from saga.cli.invocation import current
from saga.cli.loading import connect
from saga.cli.output import console, print_json
from saga.doctor import Finding, Level, diagnose

_COLORS = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "bold red"}


def register(root: typer.Typer) -> None:
    root.command()(doctor)


def doctor() -> None:
    """Check database, migrations, broker, workers, recovery and Celery's settings.

    Each finding is ok, warn or bad, with what to do. Fails when something is bad.
    """
    findings = diagnose(connect())
    bad = sum(finding.level is Level.BAD for finding in findings)
    if current().json:
        checks = [finding.as_json() for finding in findings]
        print_json({"ok": not bad, "checks": checks})
    else:
        for finding in findings:
            _tell(finding)
    if bad:
        raise CliError(f"{bad} of {len(findings)} findings are bad")


def _tell(finding: Finding) -> None:
    color = _COLORS[finding.level]
    console.print(f"[{color}]{finding.level:<5}[/]{finding.name}: ", end="")
    console.print(finding.detail, markup=False, soft_wrap=True)
    if finding.advice:
        console.print(f"     → {finding.advice}", markup=False, soft_wrap=True)
