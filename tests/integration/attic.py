"""An attic: where uploads are worked by hand, and what they leave lies about to be swept."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from gateways.apk import Apk
from gateways.objects import ObjectStore
from gateways.staging import Staged, Staging
from saga import Operator
from tests.integration.by_hand import ByHand
from workflows import AppDetails, request_upload, upload
from workflows.sweeping import Finding, Source, Sweeper, Swept, Thing, Tidier
from workflows.sweeping.sources import AvailableRecords, Objects, StagedFiles, Uploads

TABLES = ("applications", "sweep_alarms", "saga_state", "saga_event", "saga_signal", "saga_pause")
DAY = timedelta(days=1)
BYTES = b"an APK, as far as the store knows"
SHA256 = sha256(BYTES).hexdigest()

# A worker that dies at its first bytes, as by the machine's own hand.
_DIES = """
import os, signal, sys
from pathlib import Path
{store}
store.put(sys.argv[1], Path(sys.argv[2]), size=int(sys.argv[3]), sha256="0" * 64,
          progress=lambda done: os.kill(os.getpid(), signal.SIGKILL))
"""
_LONG = 9 * 1024 * 1024


class Attic(ByHand):
    """Uploads over a store and a staging folder. ``now`` is the sweeper's own time."""

    def __init__(
        self, database: Database, store: ObjectStore, staging: Staging, *, opens: str
    ) -> None:
        super().__init__(database, upload)
        self.store = store
        self.staging = staging
        self.later = timedelta(0)
        self._opens = opens
        self._codes = iter(range(1, 1000))
        self.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))

    def staged(self) -> Staged:
        with self.staging.receive(uuid4()) as coming:
            coming.write(BYTES)
            return coming.finish()

    def apk(self) -> Apk:
        return Apk(
            package_name="org.example.app",
            version_code=next(self._codes),
            version_name="1.0",
            min_sdk=21,
            target_sdk=34,
        )

    def start(self, staged: Staged | None = None) -> UUID:
        with Session(self.database) as session, session.begin():
            return request_upload(
                self.engine,
                session,
                staged or self.staged(),
                self.apk(),
                AppDetails(name="name"),
            ).saga_id

    def completed(self) -> UUID:
        saga_id = self.start()
        self.work_off()
        assert self.status(saga_id) == "COMPLETED"
        return saga_id

    def compensated(self) -> UUID:
        saga_id = self.start()
        Operator(self.engine, actor="ann").cancel(saga_id, reason="a test")
        self.recover()
        self.work_off()
        assert self.status(saga_id) == "COMPENSATED"
        return saga_id

    def fail(self, saga_id: UUID) -> None:
        self.execute(
            "UPDATE saga_state SET status = 'FAILED', failed_from = 'RUNNING', holds_key = true, "
            "completed_at = NULL, wake_at = NULL WHERE saga_id = :saga_id",
            {"saga_id": saga_id},
        )

    def key(self, saga_id: UUID) -> str:
        return str(self.row(saga_id)["state"]["object_key"])

    def put(self, key: str) -> str:
        """Keep some bytes under the key, as a worker does whom nobody could stop."""
        staged = self.staged()
        self.store.put(key, staged.file, size=staged.size, sha256=SHA256, progress=lambda _: None)
        self.staging.remove(staged.id)
        return key

    def die_while_putting(self, key: str, folder: Path) -> None:
        """Begin to write under the key in a process that is killed in the middle."""
        source = folder / "long"
        source.write_bytes(os.urandom(_LONG))
        done = subprocess.run(
            [
                *(sys.executable, "-c", _DIES.format(store=self._opens)),
                *(key, str(source), str(_LONG)),
            ],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr

    def delete_record(self, saga_id: UUID) -> None:
        self.execute("DELETE FROM applications WHERE id = :id", {"id": str(saga_id)})

    def sources(self) -> list[Source]:
        return [
            StagedFiles(lambda: self.staging),
            Uploads(lambda: self.store),
            Objects(lambda: self.store),
        ]

    def sweeper(self, sources: list[Source] | None = None) -> Sweeper:
        return Sweeper(
            self.engine,
            sources=self.sources() if sources is None else sources,
            inventories=[AvailableRecords(lambda: self.store)],
            clock=lambda: datetime.now(UTC) + self.later,
        )

    def sweep(
        self, *, remove: bool = False, sources: list[Source] | None = None, **bounds: Any
    ) -> tuple[Swept, list[Finding]]:
        """Sweep as if it were tomorrow."""
        self.later = 2 * DAY
        found: list[Finding] = []
        swept = self.sweeper(sources).run(grace=DAY, remove=remove, tell=found.extend, **bounds)
        return swept, found

    def told(self, *, remove: bool = False) -> list[tuple[str, str, str]]:
        """Kind, verdict and what came of it, of all that a sweep tells."""
        _, found = self.sweep(remove=remove)
        return sorted((one.thing.kind.value, one.verdict.value, one.removal.value) for one in found)

    def objects(self) -> set[str]:
        return {found.key for found in self.store.objects("")}

    def uploads(self) -> set[str]:
        return {found.key for found in self.store.uploads("apps/")}

    def files(self) -> set[UUID | None]:
        return {found.id for found in self.staging.files()}

    def tidy(self, **bounds: Any) -> int:
        return Tidier(self.engine, door=lambda: self.staging).run(**bounds)

    def count(self, table: str) -> int:
        with self.database.begin() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


class Watched:
    """A source with something happening behind its back."""

    def __init__(
        self,
        source: Source,
        *,
        listed: Callable[[], None] = lambda: None,
        before_removal: Callable[[Thing], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._listed = listed
        self._before_removal = before_removal
        self.kind = source.kind
        self.shortest_grace = source.shortest_grace

    def things(self) -> Iterator[Thing]:
        yield from self._source.things()
        self._listed()

    def on_record(self, session: Session, things: Any) -> frozenset[str]:
        return self._source.on_record(session, things)

    def remove(self, thing: Thing) -> None:
        self._before_removal(thing)
        self._source.remove(thing)
