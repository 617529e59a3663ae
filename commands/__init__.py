"""The application's own commands, beside the engine's: ``saga seed`` and ``saga demo``."""

import typer

from commands.demo import demo
from commands.seed import seed

__all__ = ["register"]


def register(root: typer.Typer) -> None:
    """Add the commands to the ``saga`` command."""
    root.command()(seed)
    root.command()(demo)
