"""The ``saga`` command.

A module of commands has a function ``register(root)`` and stands in ``_MODULES``. Its commands
call ``current()`` for what all commands share, ``connect()`` for the application on its servers,
and end by the errors of ``saga.cli.errors``.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from saga.cli.completion import line_so_far
from saga.cli.errors import CliError, UsageError, translated
from saga.cli.invocation import Invocation, current, parse
from saga.cli.loading import connect, load_application, use_stack
from saga.cli.output import print_error, print_json

__all__ = ["connect", "current", "load_application", "main", "print_json", "run"]

_MODULES = (
    "saga.cli.stack",
    "saga.cli.start",
    "saga.cli.sagas",
    "saga.cli.operate",
    "saga.cli.resolve",
    "saga.cli.signal",
    "saga.cli.watch",
    "saga.cli.graph",
    "saga.cli.doctor",
    "saga.cli.migrate",
    "saga.cli.check",
    "saga.cli.completion",
    "saga.cli.keys",
    "saga.cli.purge",
)

# What an API is asked as well; everything else is about the machine that it runs on.
_OVER_HTTP = frozenset(
    {
        *("list", "show", "why", "watch", "start", "signal"),
        *("retry", "compensate", "cancel", "pause", "resume", "resolve"),
    }
)

_SHARED = """Every command also takes, before or after its name:

--data DIR   the stack's data folder (SAGA_DATA; else .saga)

--app MODULE:NAME   the application (SAGA_APP; else app of \\[tool.saga] in pyproject.toml)

--url URL   the API to ask instead (SAGA_URL)

--api-key KEY   opens it (better: SAGA_KEY)

--json   one JSON value instead of text

Exit codes: 0, 1 failed, 2 usage, 3 not found, 4 conflict, 5 no stack."""


def main() -> None:
    """Run the command that the process was started with, and end the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code."""
    try:
        invocation, rest = parse(arguments)
        root = _tree(invocation, rest)
        with invocation.ends:
            root(args=rest or ["--help"], prog_name="saga")
    except SystemExit as ended:
        if isinstance(ended.code, str):  # an application that cannot be loaded says why
            sys.stderr.write(f"{ended.code}\n")
        return ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if (known := translated(error) or _folder_unusable(error)) is None:
            raise
        print_error(str(known))
        return known.exit_code
    return 0


def _folder_unusable(error: Exception) -> CliError | None:
    """Say that the data folder is somebody else's, or none; None where that is not what failed."""
    data = current().data
    if not isinstance(error, OSError) or not isinstance(error.filename, str | bytes):
        return None
    failed = Path(os.fsdecode(error.filename))
    if data != failed and data not in failed.parents and failed not in data.parents:
        return None
    return CliError(f"the data folder {data} cannot be used: {failed}: {error.strerror}")


def _tree(invocation: Invocation, rest: Sequence[str]) -> typer.Typer:
    """Give all commands, the application's included where they may be what is asked for."""
    root = typer.Typer(
        help="Durable sagas for Celery.",
        epilog=_SHARED,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    # A callback keeps a single command a subcommand.
    root.callback()(lambda: None)
    for name in _MODULES:
        importlib.import_module(name).register(root)
    completing = line_so_far()
    words = rest if completing is None else completing
    asked = next((word for word in words if not word.startswith("-")), None)
    if completing is not None and asked is None:
        # Whoever waits for a word should not wait for the application, too.
        return root
    if invocation.url is not None:
        if asked is not None and asked not in _OVER_HTTP and "--help" not in rest:
            raise UsageError(
                f"saga {asked} works where the application and its servers are, not over HTTP: "
                "leave out --url, and SAGA_URL"
            )
        return root
    if asked not in _names(root) and invocation.application is not None:
        try:
            use_stack()
            app = load_application()
        except Exception as error:
            if asked is not None:
                raise
            print_error(f"the application's own commands are not shown: {error}")
        else:
            if app.commands is not None:
                app.commands(root)
    return root


def _names(root: typer.Typer) -> set[str | None]:
    commands = {
        command.name or (command.callback.__name__.replace("_", "-") if command.callback else None)
        for command in root.registered_commands
    }
    return commands | {
        group.name for group in root.registered_groups if isinstance(group.name, str)
    }
