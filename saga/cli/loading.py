"""Finding the application and the stack that a command works on."""

import importlib
import os
import sys
from contextlib import closing
from pathlib import Path

import structlog

from saga import logs
from saga.application import SagaApp
from saga.cli.errors import CliError, NoStackError, UsageError
from saga.cli.invocation import current
from saga.cli.local import Local
from saga.cli.service import Service


def load_application() -> SagaApp:
    """Import the application that ``--app``, SAGA_APP or pyproject.toml name, as Celery does.

    What it connects to is decided by the environment at its first import. Raises UsageError
    where none is named or the name leads nowhere; an error inside the application goes through.
    """
    target = current().application
    if target is None:
        raise UsageError(
            "which application? Name it: --app MODULE:NAME, SAGA_APP, or [tool.saga] app in the "
            "working folder's pyproject.toml"
        )
    module_name, _, name = target.partition(":")
    working_folder = str(Path.cwd())
    if working_folder not in sys.path:
        sys.path.insert(0, working_folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.partition(".")[0] and error.name != module_name:
            raise
        raise UsageError(f"there is no module {module_name} in {working_folder}") from error
    app = getattr(module, name or "saga_app", None)
    if not isinstance(app, SagaApp):
        raise UsageError(f"{target} is not a SagaApp; write --app MODULE:NAME")
    if not structlog.is_configured():
        # Its log lines would stand among the values that a command prints.
        logs.configure()
    return app


def sagas() -> Service:
    """Give the sagas that the caller means: of an API, or of servers that are spoken to directly.

    Raises NoStackError where there are none.
    """
    if (url := current().url) is not None:
        from saga.cli.remote import Remote  # noqa: PLC0415 - no other command waits for httpx
        from saga.cli.wire import Wire  # noqa: PLC0415

        return Remote(current().ends.enter_context(closing(Wire(url, current().key))))
    app = connect()
    return Local(app.engine, app.producers)


def connect() -> SagaApp:
    """Give the application, bound to the servers the caller means.

    These are the ones DATABASE_URL names, else those of the stack in the data folder; a folder
    named by ``--data`` goes first. Raises NoStackError where there is neither.
    """
    if not use_stack():
        raise NoStackError(current().data)
    return load_application()


def use_stack() -> bool:
    """Set the environment for the servers the caller means; False where there are none."""
    given = bool(os.environ.get("DATABASE_URL"))
    if given and not current().named:
        return True
    environment = _stack_environment()
    if environment is None:
        return given
    os.environ.update(environment)
    return True


def _stack_environment() -> dict[str, str] | None:
    try:
        from saga.stack.standing import running  # noqa: PLC0415 - its packages come with an extra
    except ImportError as error:
        if os.environ.get("DATABASE_URL"):
            return None
        raise CliError(not_installed(error)) from error
    stack = running(current().data)
    return None if stack is None else dict(stack.environment)


def not_installed(error: ImportError) -> str:
    return f"{error.name} is not installed; pip install 'celery-sagas[embedded]'"
