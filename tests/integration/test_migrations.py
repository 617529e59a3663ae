"""Migrations lead to what the models say."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, MetaData, text
from sqlalchemy import Engine as Database

from gateways.payments.wallet import metadata as wallet
from models import Base
from saga import connect, schema, tables

pytestmark = pytest.mark.integration

EVERYTHING = [tables.metadata, Base.metadata, wallet]


def differences(connection: Connection, *metadatas: MetaData) -> list[Any]:
    names = {name for metadata in metadatas for name in metadata.tables}

    def ours(*asked: Any) -> bool:
        _, name, kind, reflected, _ = asked
        return not (kind == "table" and reflected and name not in names)

    context = MigrationContext.configure(
        connection,
        opts={
            "target_metadata": list(metadatas),
            "compare_type": True,
            "compare_server_default": True,
            "include_object": ours,
        },
    )
    return compare_metadata(context, list(metadatas))  # type: ignore[arg-type]


def checks_of(connection: Connection, table: str) -> dict[str, str]:
    sql = text(
        "SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint "
        "WHERE conrelid = CAST(:table AS regclass) AND contype = 'c'"
    )
    found = connection.execute(sql, {"table": table})
    return {str(name): str(rule) for name, rule in found}


def test_migrations_equal_models(database: Database) -> None:
    with database.begin() as connection:
        assert differences(connection, *EVERYTHING) == []


def test_no_table_is_without_a_model(database: Database) -> None:
    sql = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    with database.begin() as connection:
        stand = set(connection.execute(sql).scalars())

    known = {name for metadata in EVERYTHING for name in metadata.tables}
    assert stand == known | {"alembic_version"}


def test_checks_of_business_tables_equal_models(database: Database) -> None:
    """Each rule of the models, as PostgreSQL itself reads it, stands in the migrated table."""
    for metadata in (Base.metadata, wallet):
        for table in metadata.sorted_tables:
            with database.connect() as connection:
                migrated = checks_of(connection, table.name)
                connection.execute(text("CREATE SCHEMA fresh"))
                connection.execute(text("SET LOCAL search_path = fresh"))
                metadata.create_all(connection)
                modelled = checks_of(connection, f"fresh.{table.name}")
                connection.rollback()

            assert migrated == modelled
            named = [rule for rule in table.constraints if isinstance(rule, CheckConstraint)]
            assert {rule.name for rule in named} == set(migrated)


def test_the_engines_tables_equal_what_it_says_of_them(empty: Database) -> None:
    with empty.begin() as connection:
        schema.upgrade(connection)
        assert differences(connection, tables.metadata) == []


def test_an_upgrade_done_twice_does_nothing(empty: Database) -> None:
    with empty.begin() as connection:
        assert schema.version(connection) == 0
        assert schema.upgrade(connection) == schema.LATEST
    with empty.begin() as connection:
        before = catalog(connection)
        assert schema.upgrade(connection) == schema.LATEST
        assert schema.upgrade(connection, to=1) == schema.LATEST
        assert catalog(connection) == before
        assert schema.version(connection) == schema.LATEST


def test_an_upgrade_that_is_rolled_back_leaves_nothing(empty: Database) -> None:
    with empty.connect() as connection:
        schema.upgrade(connection)
        connection.rollback()
        assert schema.version(connection) == 0


def test_every_release_was_upgraded_from(empty: Database) -> None:
    """Step by step and at once lead to the same."""
    with empty.connect() as connection:
        for step in range(1, schema.LATEST + 1):
            assert schema.upgrade(connection, to=step) == step
        slowly = catalog(connection)
        connection.rollback()
        schema.upgrade(connection)
        assert catalog(connection) == slowly
        connection.rollback()


@pytest.fixture
def empty(database: Database) -> Iterator[Database]:
    """A database without the engine's tables."""
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    again = connect(database.url.render_as_string(hide_password=False))
    yield again
    again.dispose()


def catalog(connection: Connection) -> list[str]:
    sql = text(
        "SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || "
        "pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
        "UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "UNION ALL SELECT 'column ' || table_name || ' ' || column_name || ' ' || data_type || ' ' "
        "|| is_nullable || ' ' || coalesce(column_default, '') FROM information_schema.columns "
        "WHERE table_schema = 'public' "
        "UNION ALL SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname FROM pg_trigger "
        "WHERE NOT tgisinternal ORDER BY 1"
    )
    return [re.sub(r"\s+", " ", line) for line in connection.execute(sql).scalars()]
