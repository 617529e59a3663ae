"""``saga start``: producers on the command line."""

from typing import Annotated, Any

import typer

from saga.cli.completion import saga_types
from saga.cli.errors import CliError, ConflictError, NotFoundError, UsageError
from saga.cli.inputs import about_field, count_lines, lines
from saga.cli.invocation import current
from saga.cli.loading import sagas
from saga.cli.output import console, print_error, print_json
from saga.cli.progress import counting
from saga.cli.service import Begun, Start
from saga.errors import Conflict, InvalidInput, NotFound


def register(root: typer.Typer) -> None:
    root.command()(start)


def start(
    name: Annotated[
        str,
        typer.Argument(help="The saga's name, such as payment_refund.", autocompletion=saga_types),
    ],
    *,
    given: Annotated[
        str,
        typer.Option("--input", help="A JSON object, or @FILE of JSON lines (@-: standard input)."),
    ],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            help="The same key and input start nothing twice; line N of a file gets KEY:N.",
            metavar="KEY",
        ),
    ] = None,
) -> None:
    """Start one saga, or one for each line of a file."""
    begin = sagas().producer(name)
    if given.startswith("@"):
        _start_lines(begin, given[1:], idempotency_key)
        return
    started = _start(begin, given, idempotency_key)
    if current().json:
        print_json(_told(started))
    else:
        before = ", started before by this key" if started.is_new is False else ""
        console.print(f"saga {started.saga_id} is {started.status}{before}", soft_wrap=True)
        console.print(f"see how it goes: saga show {started.saga_id}", soft_wrap=True)


def _start(begin: Start, text: str | bytes, key: str | None) -> Begun:
    """Start one saga; what is wrong is told with its field."""
    try:
        return begin(text, key)
    except NotFound as error:
        raise NotFoundError(about_field(error)) from error
    except InvalidInput as error:
        raise UsageError(about_field(error)) from error
    except Conflict as error:
        raise ConflictError(about_field(error)) from error


def _start_lines(begin: Start, file: str, idempotency_key: str | None) -> None:
    """Start what each line says, and go on after a line that is wrong.

    Raises CliError in the end if there was one; a database that does not answer ends it at once.
    """
    started = failed = 0
    with counting() as counter:
        of = count_lines(file) if counter.is_shown else None
        for number, text in lines(file):
            key = None if idempotency_key is None else f"{idempotency_key}:{number}"
            try:
                _tell_line(number, _start(begin, text, key))
                started += 1
            except (UsageError, NotFoundError, ConflictError) as error:
                _tell_fault(number, error)
                failed += 1
            counter.tell(started + failed, f"{started} started, {failed} wrong", of=of)
    if failed:
        raise CliError(f"{failed} lines started nothing")


def _tell_line(number: int, started: Begun) -> None:
    if current().json:
        print_json({"line": number, **_told(started)})
    else:
        console.print(f"line {number}: saga {started.saga_id}", soft_wrap=True)


def _tell_fault(number: int, error: CliError) -> None:
    if current().json:
        print_json({"line": number, "error": str(error)})
    else:
        print_error(f"line {number}: {error}")


def _told(started: Begun) -> dict[str, Any]:
    return {"sagaId": started.saga_id, "status": started.status}
