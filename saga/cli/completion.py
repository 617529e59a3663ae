"""``saga completion``: what lets a shell complete commands, options and their values."""

import os
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from saga.access import Role
from saga.cli.invocation import current
from saga.cli.output import print_json
from saga.position import Status

VARIABLE = "_SAGA_COMPLETE"

_PROGRAM = "saga"


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(root: typer.Typer) -> None:
    root.command()(completion)


def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell is to complete.")],
) -> None:
    """Print what lets your shell complete ``saga``; nothing is installed or written.

    bash: eval "$(saga completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after compinit.
    fish: saga completion fish | source in config.fish.
    """
    script = get_completion_script(prog_name=_PROGRAM, complete_var=VARIABLE, shell=shell.value)
    if current().json:
        print_json({"shell": shell.value, "script": script})
    else:
        typer.echo(script)


def line_so_far() -> list[str] | None:
    """The whole words after ``saga`` where a shell asks how the line may go on; else None.

    From now on it can be answered.
    """
    if VARIABLE not in os.environ:
        return None
    completion_init()
    words = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    # The last one is being typed, if it is not followed by a space.
    whole = words.split() if words.endswith((" ", "\n")) else words.split()[:-1]
    return whole[1:]


def _beginning(words: Iterable[str]) -> Callable[[str], list[str]]:
    known = sorted(words)

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.lower().startswith(incomplete.lower())]

    return complete


statuses = _beginning(Status)
roles = _beginning(Role)


def saga_types(incomplete: str) -> list[str]:
    """Those of the application, whose import is what this takes; none where that fails."""
    from saga.cli.loading import load_application  # noqa: PLC0415

    try:
        sagas = load_application().engine.registry
    except (Exception, SystemExit):  # noqa: BLE001 - a shell has no use for what went wrong
        return []
    return sorted({saga.name for saga in sagas if saga.name.startswith(incomplete)})
