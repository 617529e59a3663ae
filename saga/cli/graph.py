"""``saga graph``: a definition, or where one saga stands, as a picture."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from saga.cli.database import database_errors
from saga.cli.errors import CliError, UsageError
from saga.cli.invocation import current
from saga.cli.loading import connect, load_application, use_stack
from saga.cli.output import print_json
from saga.graph import Picture, Where, definition, definition_of, drawn_as, mermaid, svg
from saga.views import show


class _Form(StrEnum):
    MERMAID = "mermaid"
    SVG = "svg"


_SUFFIXES = {".svg": _Form.SVG, ".mmd": _Form.MERMAID, ".mermaid": _Form.MERMAID}


def register(root: typer.Typer) -> None:
    root.command()(graph)


def graph(
    which: Annotated[
        str,
        typer.Argument(metavar="NAME|ID", help="A saga's name, such as payment_refund, or its id."),
    ],
    *,
    as_svg: Annotated[
        bool | None,
        typer.Option("--svg/--mermaid", help="Mermaid if not given.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there: .svg, .mmd or .mermaid."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Of the definition; the newest if not given.")
    ] = None,
) -> None:
    """Draw a saga: its definition by name, or where one stands by id."""
    form = _form(as_svg=as_svg, output=output)
    picture = _picture(which, version)
    drawn = {_Form.MERMAID: mermaid(picture), _Form.SVG: svg(picture)}
    if output is not None:
        _write(output, drawn[form])
    if current().json:
        print_json(drawn)
    elif output is None:
        sys.stdout.write(drawn[form])


def _form(*, as_svg: bool | None, output: Path | None) -> _Form:
    if as_svg is not None:
        return _Form.SVG if as_svg else _Form.MERMAID
    if output is None:
        return _Form.MERMAID
    form = _SUFFIXES.get(output.suffix.lower())
    if form is None:
        known = ", ".join(_SUFFIXES)
        raise UsageError(f"{output} ends in none of {known}; say --svg or --mermaid")
    return form


def _picture(which: str, version: int | None) -> Picture:
    if not _is_id(which):
        # A definition needs no servers, but the application may want to know theirs.
        use_stack()
        return drawn_as(definition(load_application().engine.registry, which, version))
    if version is not None:
        raise UsageError("--version is for a saga's name: a saga has a definition of its own")
    app = connect()
    with database_errors(), app.engine.database.connect() as connection:
        shown = show(connection, app.engine.registry, which)
    return drawn_as(definition_of(app.engine.registry, shown), Where.of(shown))


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror}") from error
