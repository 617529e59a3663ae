"""What every command is given besides its own options: whose sagas, and whether as JSON."""

import os
import tomllib
from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from saga.cli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """``data`` is the stack's folder, ``named`` whether the caller chose it by ``--data``.

    With a ``url`` the sagas are those of an API there, and ``key`` opens it. What the
    command opens for good is closed with ``ends``.
    """

    data: Path
    named: bool = False
    application: str | None = None
    json: bool = False
    url: str | None = None
    key: str | None = field(default=None, repr=False)
    ends: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)


_VALUED = frozenset({"--data", "--app", "--url", "--api-key"})

_current: ContextVar[Invocation] = ContextVar("invocation")


def current() -> Invocation:
    """Give the invocation of the command that runs."""
    return _current.get()


def parse(arguments: Sequence[str]) -> tuple[Invocation, list[str]]:
    """Take out the options that every command has, before or after its name; give the rest.

    The invocation is ``current()`` from now on. Raises UsageError when a value is missing.
    """
    taken: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *waiting]
            break
        if word == "--json":
            taken[word] = "yes"
        elif name in _VALUED:
            if not equals and not waiting:
                raise UsageError(f"{name} needs a value")
            taken[name] = value if equals else waiting.pop(0)
        else:
            rest.append(word)
    if {"--url", "--data"} <= taken.keys():
        raise UsageError("--url is an API, --data a stack of this machine: give one of them")
    # What is said now goes before what is set for all commands.
    url = taken.get("--url") or (None if "--data" in taken else os.environ.get("SAGA_URL"))
    folder = taken.get("--data") or os.environ.get("SAGA_DATA") or ".saga"
    invocation = Invocation(
        data=Path(folder).absolute(),
        named="--data" in taken,
        application=taken.get("--app") or os.environ.get("SAGA_APP") or _of_project(),
        json="--json" in taken,
        url=url or None,
        key=taken.get("--api-key") or os.environ.get("SAGA_KEY") or None,
    )
    _current.set(invocation)
    return invocation, rest


def _of_project() -> str | None:
    """Give ``[tool.saga] app`` of the working folder's pyproject.toml."""
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"pyproject.toml cannot be read: {error}") from error
    app = project.get("tool", {}).get("saga", {}).get("app")
    return app if isinstance(app, str) else None
