"""Options that several commands share: each group is a dataclass, and ``spread`` lays it out."""

import getpass
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from saga.bulk import MOST_AT_ONCE
from saga.cli.completion import saga_types, statuses
from saga.cli.errors import UsageError
from saga.filter import Filter


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which sagas of many are meant: the filters of ``saga list``."""

    type_: Annotated[
        str | None,
        typer.Option("--type", help="Such as payment_refund.", autocompletion=saga_types),
    ] = None
    status: Annotated[
        list[str] | None,
        typer.Option(help="Such as RUNNING or FAILED; may be repeated.", autocompletion=statuses),
    ] = None
    step: Annotated[str | None, typer.Option(help="The step where it stands.")] = None
    key: Annotated[str | None, typer.Option(help="Business key, such as payment:ID.")] = None
    error: Annotated[str | None, typer.Option(help="Class of the last error.")] = None
    retries: Annotated[str | None, typer.Option(help="Retrying at least so often.")] = None
    paused: Annotated[bool, typer.Option("--paused", help="Paused ones alone.")] = False
    q: Annotated[str | None, typer.Option("--q", help="Text in id, key or error of open ones.")] = (
        None
    )
    since: Annotated[str | None, typer.Option(help="Started at this instant or later.")] = None
    until: Annotated[str | None, typer.Option(help="Started before this instant.")] = None
    older_than: Annotated[
        str | None, typer.Option(help="Started so long ago or longer, such as 15m.")
    ] = None

    def given(self) -> dict[str, str]:
        """Those that are given, as URLs call them."""
        texts = {
            "type": self.type_,
            "status": ",".join(self.status or ()),
            "step": self.step,
            "key": self.key,
            "error": self.error,
            "retries": self.retries,
            "paused": "yes" if self.paused else None,
            "q": self.q,
            "since": self.since,
            "until": self.until,
            "olderThan": self.older_than,
        }
        return {name: text for name, text in texts.items() if text}

    def wanted(self, **page: str | None) -> Filter:
        """The filter of a list. Raises BadFilter."""
        return Filter.parse({**self.given(), **page})


@dataclass(frozen=True, kw_only=True)
class Signed:
    """In whose name an operator acts, and why."""

    reason: Annotated[str | None, typer.Option(help="Why; it stands in the saga's events.")] = None
    actor: Annotated[
        str | None, typer.Option(help="Who; else your login name. Over HTTP it is the key's.")
    ] = None

    @property
    def because(self) -> str:
        """The reason. Raises UsageError where there is none."""
        if self.reason is None:
            raise UsageError("--reason is missing: say why, it stands in the saga's events")
        return self.reason


@dataclass(frozen=True, kw_only=True)
class Which:
    """One saga, as it was seen, or many."""

    saga_id: Annotated[str | None, typer.Argument(metavar="ID", help="The saga's id.")] = None
    version: Annotated[
        int | None, typer.Option(min=1, help="The saga's, as you saw it; else as it is.")
    ] = None
    every: Annotated[
        bool, typer.Option("--all", help="All sagas that the filters leave, the newest first.")
    ] = False
    most: Annotated[int, typer.Option(min=1, help="With --all: so many.")] = MOST_AT_ONCE

    def one(self, filters: Filters) -> str:
        """The one saga that is meant. Raises UsageError."""
        if self.saga_id is None:
            raise UsageError("which saga? Give its ID, or --all with filters as of saga list")
        if filters.given():
            raise UsageError(f"with an ID there is no filter: leave out {_names(filters)}")
        return self.saga_id

    def check_many(self, filters: Filters) -> None:
        if self.saga_id is not None or self.version is not None:
            raise UsageError("with --all there is no ID and no --version")
        if not filters.given():
            raise UsageError("--all of which? Name a filter as of saga list, such as --type")


def _names(filters: Filters) -> str:
    return ", ".join(sorted(filters.given()))


def login_name() -> str:
    """Who the user is, where they do not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of each parameter that is such a dataclass as its own options."""
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _fields(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**options: Any) -> None:
        built = {
            name: group(**{field.name: options.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**built, **options)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _fields(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
