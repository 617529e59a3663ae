"""``saga up`` and ``saga down``."""

import re
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from saga.cli.errors import CliError, ConflictError, UsageError
from saga.cli.invocation import current
from saga.cli.loading import load_application, not_installed
from saga.cli.output import console, print_json
from saga.stack.holding import AlreadySupervisedError, supervised

if TYPE_CHECKING:
    from saga.stack.standing import Stack
    from saga.stack.startup import Plan

_WHOLE_WITHIN = timedelta(minutes=2)


def register(root: typer.Typer) -> None:
    root.command()(up)
    root.command()(down)


def up(
    *,
    detach: Annotated[bool, typer.Option(help="Return once all is ready.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    concurrency: Annotated[int, typer.Option(min=1, help="Sagas at once in each.")] = 2,
) -> None:
    """Start the whole stack: database, broker, workers, recovery, beat, and what comes with them.

    Where it already runs, this tells what runs. Servers named by DATABASE_URL and
    CELERY_BROKER_URL are used instead of bundled ones. Data is kept in the folder --data.
    """
    try:
        from saga.stack import startup  # noqa: PLC0415 - its packages come with an extra
    except ImportError as error:
        raise CliError(not_installed(error)) from error
    data = current().data
    if supervised(data):
        _tell(_await_running(data))
        return
    if (application := current().application) is None:
        load_application()  # says what is missing
        raise UsageError("which application?")
    plan = startup.Plan(
        application=application,
        project=Path.cwd(),
        data=data,
        workers=workers,
        concurrency=concurrency,
    )
    if not detach:
        _serve(plan)
        return
    try:
        _tell(startup.detach(plan))
    except startup.StackFailedError as error:
        kind = UsageError if error.exit_code == UsageError.exit_code else CliError
        raise kind(f"the stack did not start\n{error}") from error


def down() -> None:
    """Stop the stack; its data is kept."""
    try:
        from saga.stack import standing as stack  # noqa: PLC0415 - its packages come with an extra
    except ImportError as error:
        raise CliError(not_installed(error)) from error
    stopped = stack.down(current().data)
    if current().json:
        print_json({"stopped": stopped, "dataFolder": str(current().data)})
    else:
        console.print("stopped; its data is kept" if stopped else "nothing was running")


def _serve(plan: "Plan") -> None:
    from saga.stack import startup, supervisor  # noqa: PLC0415

    stop = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: stop.set())
    if not current().json:
        console.print("starting …")
    try:
        startup.serve(plan, load_application, stop=stop, on_up=_tell)
    except AlreadySupervisedError:
        raise ConflictError(f"a stack is just being started in {plan.data}") from None
    except supervisor.StartFailedError as error:
        raise CliError(str(error)) from error
    if not current().json:
        console.print("stopped; its data is kept")


def _await_running(data: Path) -> "Stack":
    from saga.stack.standing import await_whole  # noqa: PLC0415

    stack = await_whole(data, _WHOLE_WITHIN)
    if stack is None:
        raise CliError(f"the stack in {data} was just being stopped; try again")
    if stack.missing:
        logs = ", ".join(str(data / "logs" / f"{name}.log") for name in stack.missing)
        raise CliError(f"the stack runs, but without {', '.join(stack.missing)}; see {logs}")
    return stack


# What stands on a screen is looked at over shoulders, and pasted into tickets.
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")


def _tell(stack: "Stack") -> None:
    description = stack.description()
    if current().json:
        print_json(description)
        return
    table = Table(title=f"saga stack in {stack.data}", title_justify="left")
    for column in ("part", "process", "where"):
        table.add_column(column, overflow="fold")
    for part, where in _parts(description):
        pid = description["pids"].get(part)
        numbers = pid if isinstance(pid, list) else [pid]
        shown = ", ".join(str(number) for number in numbers if number is not None)
        if shown or where:
            table.add_row(part, shown or "-", _PASSWORD.sub(r"\1***@", where or ""))
    console.print(table)
    console.print("passwords and the API key: saga up --detach --json")
    console.print("log files:", f"{stack.data}/logs", soft_wrap=True)
    console.print("stop it: saga down")


def _parts(description: dict[str, Any]) -> list[tuple[str, str | None]]:
    where = {
        "postgres": description["databaseUrl"],
        "redis": description["brokerUrl"],
        "sandbox": description["sandboxUrl"],
        "api": description["apiUrl"],
        "flower": description["flowerUrl"],
    }
    names = [*where, *(name for name in description["pids"] if name not in where)]
    return [*((name, where.get(name)) for name in names), ("console", description["consoleUrl"])]
