"""What an application hands to the engine's faces: its sagas, its Celery app, its extra parts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from celery import Celery

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from saga.doctor.finding import Finding
    from saga.engine import Engine, Started


@dataclass(frozen=True, kw_only=True)
class ExtraProcess:
    """A process of the application's own that ``saga up`` starts and supervises.

    ``command`` is run with the stack's environment; the placeholders ``{port}`` (a free loopback
    port, kept over restarts) and ``{data}`` (the stack's data folder) are filled in. Where it
    listens is told to every process of the stack in ``url_variable``; it is ready once
    ``GET {url}{ready_path}`` answers 200.

    ``environment`` is for every process of the stack, too, whatever their starter's says;
    ``{url}`` is filled in besides. It is not set where ``url_variable`` names a process that runs
    elsewhere.
    """

    name: str
    command: Sequence[str]
    url_variable: str
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/healthz"


@dataclass(frozen=True, kw_only=True)
class Producer:
    """How ``saga start NAME --input`` starts a saga: the input's shape and the function for it."""

    input: "type[BaseModel]"
    start: "Callable[[Engine, Session, Any, str | None], Started]"


@dataclass(frozen=True, kw_only=True)
class SagaApp:
    """An application of sagas, as the command line, the API and the workers load it.

    ``celery_target`` and ``api_target`` are what ``celery -A`` and ``uvicorn`` are given;
    ``migrate`` brings the database that ``DATABASE_URL`` names to the newest schema and may be
    called at any time and twice; ``pending_migrations`` names those that it would apply.
    ``findings`` is what the application's own health comes to, for ``saga doctor``.
    ``environment`` is for every process of the stack that ``saga up`` starts, and for commands on
    it, where their starter's does not say otherwise; ``{data}`` is filled in, and what begins with
    it is a folder, which is made. ``fingerprints`` is the file of shapes that shipped, which
    ``saga check`` compares definitions with.
    """

    celery: Celery
    engine: "Engine"
    migrate: Callable[[], None]
    pending_migrations: "Callable[[Connection], Iterable[str]]" = lambda _connection: ()
    findings: "Callable[[], Iterable[Finding]]" = tuple
    celery_target: str = "app"
    api_target: str | None = None
    producers: Mapping[str, Producer] = field(default_factory=dict)
    processes: Sequence[ExtraProcess] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    commands: Callable[[typer.Typer], None] | None = None
    fingerprints: Path | None = None
