"""How a command speaks: one JSON value for programs, text for people."""

import json
import sys
from typing import Any

from rich.console import Console

_WIDE = 240

# Where no terminal is, nothing is folded or cut, so that grep finds whole ids.
console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def has_terminal() -> bool:
    """Whether a person is there to be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def print_json(value: Any) -> None:
    """Print one value on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_error(message: str) -> None:
    sys.stderr.write(f"saga: {message}\n")
