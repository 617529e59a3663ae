"""A world whose steps are held where a test wants: in the transaction that records what they did.

A trigger of the events takes a lock, which the test has.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from tests.acceptance.world import World

STAND = """
    CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock_shared(
            hashtextextended(concat_ws(' ', NEW.saga_id, NEW.kind, NEW.step), 0)
        );
        RETURN NEW;
    END $$;
    CREATE TRIGGER stand BEFORE INSERT ON saga_event FOR EACH ROW EXECUTE FUNCTION stand();
"""


@dataclass
class HoldingWorld(World):
    """A world in which events can be held."""

    def __post_init__(self) -> None:
        super().__post_init__()
        with self.database.begin() as connection:
            connection.exec_driver_sql(STAND)

    @contextmanager
    def held(self) -> Iterator["Hold"]:
        """Hold events of sagas until the block ends: their transactions wait before the commit."""
        with self.database.connect() as connection:
            yield Hold(self, connection)
            connection.rollback()


@dataclass
class Hold:
    """The events that are held."""

    world: World
    connection: Connection

    def event(self, saga_id: UUID, kind: str, step: str) -> None:
        sql = "SELECT pg_advisory_xact_lock(hashtextextended(:event, 0))"
        self.connection.execute(text(sql), {"event": f"{saga_id} {kind} {step}"})

    def count(self) -> int:
        """How many of them came and wait."""
        sql = (
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database "
            "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        )
        return int(self.world.rows(sql)[0][0])


def beyond(what: str, found: Collection[str], expected: Collection[str]) -> list[str]:
    """What was found beyond what is expected, and what was not found; in words."""
    if isinstance(found, dict) and isinstance(expected, dict):
        found = {f"{key} with {found[key]}" for key in found}
        expected = {f"{key} with {expected[key]}" for key in expected}
    return [
        *(f"{what} too many: {one}" for one in sorted(set(found) - set(expected))),
        *(f"{what} missing: {one}" for one in sorted(set(expected) - set(found))),
    ]
