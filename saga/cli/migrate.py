"""``saga migrate``: the tables of a database."""

import os

import typer

from saga import schema
from saga.cli.database import database_errors
from saga.cli.errors import NoStackError
from saga.cli.invocation import current
from saga.cli.loading import connect, use_stack
from saga.cli.output import console, print_json
from saga.database import connect as connect_to


def register(root: typer.Typer) -> None:
    root.command()(migrate)


def migrate() -> None:
    """Bring the database to the newest schema; a second call does nothing.

    With an application this runs its migrations; without one, the engine's tables alone are made
    in the database that DATABASE_URL names.
    """
    application = current().application
    if application is not None:
        app = connect()
        with database_errors():
            app.migrate()
            with app.engine.database.connect() as connection:
                standing = schema.version(connection)
    else:
        standing = _engine_alone()
    if current().json:
        print_json({"schema": standing, "newest": schema.LATEST, "application": application})
    else:
        whose = f"{application}'s tables and the engine's" if application else "the engine's tables"
        console.print(f"{whose} are up to date; the engine's are version {standing}")


def _engine_alone() -> int:
    if not use_stack():
        raise NoStackError(current().data)
    database = connect_to(os.environ["DATABASE_URL"], pool_size=1)
    try:
        with database_errors(), database.begin() as connection:
            return schema.upgrade(connection)
    finally:
        database.dispose()
