"""A shop's counter: its sagas, worked by hand, and the console that is served over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Engine as Database

from saga import Effect, NeedsPerson, Refused
from saga.access import Role, keys
from saga.console import Worker
from saga.streams import Pace
from tests.conftest import administer
from tests.integration.consoles import opened
from tests.integration.shop import Shop
from workflows import creation, deletion, refund, upload

QUICK = Pace(look=timedelta(milliseconds=50), key=timedelta(milliseconds=200))
QUEUES = ("saga.compensation", "saga.continuing", "saga.new", "saga.recovery")
WORKERS = (
    Worker(name="first@workers", queues=QUEUES, active=2),
    Worker(name="second@workers", queues=QUEUES[:-1], active=0),
)
TOP_UP = "top up the merchant's account, then retry"

# In what the sagas of a crowd differ, by their number. The first is of a minute ago.
_BEGAN = "clock_timestamp() - interval '1 minute' - n * n * interval '1.5 seconds'"
_OTHERWISE = {
    "saga_type": "(ARRAY['payment_refund', 'app_upload', 'device_creation'])[1 + n % 3]",
    "business_key": "'order:' || n",
    "started_at": _BEGAN,
    "created_at": _BEGAN,
    "completed_at": f"{_BEGAN} + (1 + n % 7) * interval '1.3 seconds'",
}


class Counter(Shop):
    """The shop beside the application's own definitions. ``operator`` and ``viewer`` are keys."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.execute("DELETE FROM saga_key")
        self.engine = self.engine_for(self.saga, refund, upload, creation, deletion)
        self.address = ""
        self.operator, self.operator_id = self._key("Ann", Role.OPERATOR)
        self.viewer, _ = self._key("Vera", Role.VIEWER)

    @classmethod
    @contextmanager
    def opened(cls, database: Database) -> Iterator[Self]:
        counter = cls(database)
        front = opened(
            counter.engine,
            flower_url="http://127.0.0.1:5555",
            workers=lambda: WORKERS,
            pace=QUICK,
        )
        with front as address:
            counter.address = f"{address}/console"
            yield counter

    def another(self, name: str) -> str:
        """The key of one more operator."""
        return self._key(name, Role.OPERATOR)[0]

    def revoke(self, key_id: str) -> None:
        with self.database.begin() as connection:
            keys.revoke(connection, key_id, by="Ann")

    def running(self, **options: Any) -> UUID:
        """A saga before its pivot: what is next for it lies in the queue."""
        saga_id = self.start(**options)
        self.work_off(until="pay")
        return saga_id

    def begun(self, *, steps: int = 2, **options: Any) -> UUID:
        """A saga that stays behind so many steps: no worker has its messages."""
        self.broker.lose_all()
        saga_id = self.start(**options)
        for _ in range(steps):
            self.deliver()
        self.broker.lose_all()
        return saga_id

    def failed(self, **options: Any) -> UUID:
        """A saga whose provider says that a person must act: nothing left the shop."""
        self.script.say("pay", NeedsPerson(TOP_UP, effect=Effect.NOT_STARTED, code="NOT_ENOUGH"))
        saga_id = self.start(**options)
        self.work_off()
        assert self.status(saga_id) == "FAILED"
        return saga_id

    def compensated(self, **options: Any) -> UUID:
        self.script.say("pay", Refused("the card is blocked"))
        saga_id = self.start(**options)
        self.work_off()
        assert self.status(saga_id) == "COMPENSATED"
        return saga_id

    def completed(self, **options: Any) -> UUID:
        saga_id = self.start(**options)
        self.work_off()
        assert self.status(saga_id) == "COMPLETED"
        return saga_id

    def crowd(self, saga_id: UUID, number: int) -> None:
        """That many more sagas that went as this one did, of the application's, in the last day."""
        same = ", ".join(self.row(saga_id).keys() - {"id", "saga_id", *_OTHERWISE})
        self.execute(
            f"INSERT INTO saga_state (saga_id, {', '.join(_OTHERWISE)}, {same}) "
            f"SELECT gen_random_uuid(), {', '.join(_OTHERWISE.values())}, {same} "
            "FROM saga_state, generate_series(1, :number) AS n WHERE saga_id = :saga_id",
            {"saga_id": saga_id, "number": number},
        )

    def purge(self, saga_id: UUID) -> None:
        """Delete a saga and all of it, as a purge does."""
        for table in ("saga_signal", "saga_event", "saga_state"):
            self.execute(f"DELETE FROM {table} WHERE saga_id = :saga_id", {"saga_id": saga_id})

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Every connection is ended, and no new one is taken, as while the server restarts."""
        url = self.database.url
        name, server = url.database, url.set(database="postgres")
        end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname"
        where = server.render_as_string(hide_password=False)
        administer(where, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            administer(where, f"{end} = '{name}'")
            yield
        finally:
            administer(where, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def _key(self, name: str, role: Role) -> tuple[str, str]:
        with self.database.begin() as connection:
            made = keys.create(connection, name=name, role=role, by="a test")
        return made.secret, made.key_id
