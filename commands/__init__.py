"""The application's own commands, beside the engine's, such as ``saga seed``."""

import typer

from commands.demo import demo
from commands.device_image import device_image
from commands.reconcile import reconcile
from commands.seed import seed
from commands.sweep import sweep

__all__ = ["register"]


def register(root: typer.Typer) -> None:
    """Add the commands to the ``saga`` command."""
    root.command()(seed)
    root.command()(reconcile)
    root.command()(sweep)
    root.command("device-image")(device_image)
    root.command()(demo)
