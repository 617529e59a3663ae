"""``saga check``: whether definitions are sound, and of the shapes that shipped."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from saga.cli.errors import CliError, UsageError
from saga.cli.invocation import current
from saga.cli.loading import load_application
from saga.cli.output import console, print_json
from saga.definition import Saga
from saga.fingerprints import Fingerprints, Standing

_ADVICE = {
    Standing.NEW: "is not written down yet: saga check --write",
    Standing.CHANGED: (
        "has another shape than the one that shipped: raise its version, and keep the old "
        "definition until no saga of it is open"
    ),
}


def register(root: typer.Typer) -> None:
    root.command()(check)


def check(
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Write new definitions down as shipped.")
    ] = False,
) -> None:
    """Check that every definition is sound, and none that shipped has changed its shape.

    Needs no servers. A definition that is not sound is told with all that is wrong with it.
    """
    app = load_application()
    definitions = sorted(app.engine.registry, key=lambda saga: (saga.name, saga.version))
    if app.fingerprints is None:
        if write:
            raise UsageError("this application keeps no fingerprints: SagaApp(fingerprints=…)")
        _tell([(saga, None) for saga in definitions])
        return
    shipped = Fingerprints.read(app.fingerprints)
    if write:
        shipped.add(definitions)
    told = [(saga, shipped.standing(saga)) for saga in definitions]
    _tell(told)
    wrong = [
        f"{saga.name} version {saga.version} {_ADVICE[standing]}"
        for saga, standing in told
        if standing in _ADVICE
    ]
    if wrong:
        raise CliError("\n".join(wrong))


def _tell(told: Sequence[tuple[Saga[Any], Standing | None]]) -> None:
    if current().json:
        print_json(
            {
                "ok": not any(standing in _ADVICE for _, standing in told),
                "definitions": [
                    {
                        "sagaType": saga.name,
                        "version": saga.version,
                        "steps": [step.name for step in saga.steps],
                        "fingerprint": saga.fingerprint,
                        "standing": standing,
                    }
                    for saga, standing in told
                ],
            }
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("saga type", "version", "steps", "fingerprint", "shape"):
        table.add_column(column)
    for saga, standing in told:
        table.add_row(
            saga.name,
            str(saga.version),
            str(len(saga.steps)),
            saga.fingerprint,
            standing or "sound",
        )
    console.print(table, soft_wrap=True)
