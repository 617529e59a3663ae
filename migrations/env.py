"""Runs the one Alembic history on the database that DATABASE_URL names."""

from alembic import context

from gateways.payments.wallet import metadata as wallet
from models import Base
from saga.database import connect
from saga.tables import metadata as engine_tables
from settings import settings

target_metadata = [engine_tables, Base.metadata, wallet]


def run() -> None:
    database = connect(settings.database_url.get_secret_value(), pool_size=1)
    with database.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()
    database.dispose()


run()
