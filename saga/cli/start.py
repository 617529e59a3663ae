"""``saga start``: producers on the command line."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from saga.application import Producer, SagaApp
from saga.cli.database import database_errors
from saga.cli.errors import CliError, ConflictError, NotFoundError, UsageError
from saga.cli.inputs import about_field, lines, read
from saga.cli.invocation import current
from saga.cli.loading import connect
from saga.cli.output import console, print_error, print_json
from saga.engine import Started
from saga.errors import Conflict, InvalidInput, NotFound


def register(root: typer.Typer) -> None:
    root.command()(start)


def start(
    name: Annotated[str, typer.Argument(help="The saga's name, such as payment_refund.")],
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
    app = connect()
    producer = app.producers.get(name)
    if producer is None:
        known = ", ".join(sorted(app.producers)) or "none"
        raise UsageError(f"no saga {name!r} can be started here; there are: {known}")

    def begin(text: str | bytes, key: str | None) -> Started:
        return _start(app, producer, text, key)

    if given.startswith("@"):
        _start_lines(begin, given[1:], idempotency_key)
        return
    started = begin(given, idempotency_key)
    if current().json:
        print_json(_told(started))
    else:
        before = "" if started.is_new else ", started before by this key"
        console.print(f"saga {started.saga_id} is {started.status}{before}", soft_wrap=True)
        console.print(f"see how it goes: saga show {started.saga_id}", soft_wrap=True)


def _start(app: SagaApp, producer: Producer, text: str | bytes, key: str | None) -> Started:
    """Start one saga in a transaction of its own, published after it."""
    asked = read(producer.input, text)
    try:
        with database_errors(), Session(app.engine.database) as session, session.begin():
            return producer.start(app.engine, session, asked, key)
    except NotFound as error:
        raise NotFoundError(about_field(error)) from error
    except InvalidInput as error:
        raise UsageError(about_field(error)) from error
    except Conflict as error:
        raise ConflictError(about_field(error)) from error


def _start_lines(
    begin: Callable[[str | bytes, str | None], Started], file: str, idempotency_key: str | None
) -> None:
    """Start what each line says, and go on after a line that is wrong.

    Raises CliError in the end if there was one; a database that does not answer ends it at once.
    """
    failed = 0
    for number, text in lines(file):
        key = None if idempotency_key is None else f"{idempotency_key}:{number}"
        try:
            started = begin(text, key)
        except (UsageError, NotFoundError, ConflictError) as error:
            failed += 1
            if current().json:
                print_json({"line": number, "error": str(error)})
            else:
                print_error(f"line {number}: {error}")
            continue
        if current().json:
            print_json({"line": number, **_told(started)})
        else:
            console.print(f"line {number}: saga {started.saga_id}", soft_wrap=True)
    if failed:
        raise CliError(f"{failed} lines started nothing")


def _told(started: Started) -> dict[str, Any]:
    return {"sagaId": str(started.saga_id), "status": started.status.value}
