"""``saga demo``: the product in less than a minute, on a stack that is gone afterwards."""

import time
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from commands.audit import Line, signed
from commands.narrator import busy
from commands.stage import Stage, StageError
from commands.story import Told, tell
from saga.cli import current, load_application, print_json
from saga.cli.errors import CliError, UsageError, translate
from saga.cli.output import console as terminal

translate(StageError, CliError)


def demo() -> None:
    """Show refunds, uploads and devices on a throw-away stack: a worker and a store die half-way.

    It ends with the provider's books beside our payments, and fails when they differ, or when an
    upload or a device left anything behind. The folder's own stack is not touched.
    """
    application = current().application
    if application is None:
        raise UsageError("which application? Name it: --app MODULE:NAME")
    console = Console(quiet=True) if current().json else terminal
    began = time.monotonic()
    console.print("[bold]Durable sagas for Celery: what they begin ends done or undone.[/]")
    registry = load_application().engine.registry
    with Stage(application) as stage:
        with busy(console, "starting a PostgreSQL, a Redis, a payment provider and workers"):
            stage.start()
        console.print(
            "On a stack of its own: PostgreSQL, Redis, a payment provider, two workers, recovery."
        )
        told = tell(stage, registry, console)
        console.print(_audit(told.lines))
        if any((line.asked or 0) > 1 for line in told.lines):
            console.print("Asked twice with the same key, the provider refunded once.\n")
        with busy(console, "stopping the stack and removing it"):
            stage.stop()
    if current().json:
        print_json(_summary(told))
    if told.wrong:
        raise CliError("\n  ".join(["the demonstration saw what must not be:", *told.wrong]))
    console.print(f"All of this took {time.monotonic() - began:.0f} s; nothing is left of it.")
    console.print("Your own stack: saga up --detach, saga seed, saga start; saga --help has more.")


def _audit(lines: list[Line]) -> Table:
    table = Table(
        title="\nThe audit: the provider's books beside our payments",
        title_justify="left",
        title_style="bold",
        show_footer=True,
        box=box.SIMPLE,
        pad_edge=False,
    )
    columns = {
        "payment": "sum",
        "method": "",
        "status": "",
        "paid": "",
        "refunded": signed(sum(line.ours_minor for line in lines)),
        "books": signed(sum(line.books_minor for line in lines)),
        "asked": "",
        "difference": signed(_difference_minor(lines)),
    }
    for name, footer in columns.items():
        is_text = name in {"payment", "method", "status"}
        table.add_column(name, footer=footer, justify="left" if is_text else "right", no_wrap=True)
    for line in lines:
        payment = line.payment
        table.add_row(
            f"…{payment.payment_no[-6:]}",
            payment.method,
            payment.status,
            payment.amount,
            payment.refunded_amount,
            line.books,
            "" if line.asked is None else str(line.asked),
            line.difference,
            style="red" if line.difference_minor else None,
        )
    return table


def _difference_minor(lines: list[Line]) -> int:
    """Two differences never cancel each other out."""
    return sum(abs(line.difference_minor) for line in lines)


def _summary(told: Told) -> dict[str, Any]:
    return {
        "ok": not told.wrong,
        "difference": signed(_difference_minor(told.lines)),
        "payments": [
            {
                **line.payment.model_dump(by_alias=True),
                "booksAmount": line.books,
                "difference": line.difference,
                "requests": line.asked,
            }
            for line in told.lines
        ],
        "sagas": told.sagas,
        "apps": told.apps,
        "leftOver": None if told.left is None else told.left.as_json(),
        "devices": told.devices,
        "devicesLeftOver": None if told.devices_left is None else told.devices_left.as_json(),
        "problems": told.wrong,
    }
