"""``saga signal``: tell a saga what it waits for, or will."""

from typing import Annotated

import typer

from saga.cli.inputs import json_object
from saga.cli.invocation import current
from saga.cli.loading import sagas
from saga.cli.output import console, print_json
from saga.views import identified


def register(root: typer.Typer) -> None:
    root.command()(signal)


def signal(
    saga_id: Annotated[str, typer.Argument(metavar="ID", help="The saga's id.")],
    name: Annotated[str, typer.Argument(help="The signal's name.")],
    *,
    payload: Annotated[str, typer.Option(metavar="JSON", help="What it tells.")] = "{}",
    signal_id: Annotated[
        str | None, typer.Option("--signal-id", help="The same one is taken once.")
    ] = None,
) -> None:
    """Send a signal: early or late is the same, and what waits for it goes on."""
    key, values = identified(saga_id), json_object("--payload", payload)
    taken = sagas().signal(key, name, values, signal_id=signal_id)
    if current().json:
        print_json({"sagaId": str(key), "signalId": taken.signal_id, "new": taken.is_new})
    else:
        said = "is written down" if taken.is_new else "had come before"
        console.print(f"signal {taken.signal_id} {said}", soft_wrap=True, markup=False)
