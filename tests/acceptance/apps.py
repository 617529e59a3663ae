"""A world that uploads applications: to a folder, or to an S3 server that fails as it is told.

A step is held where a test wants it: in its call, by a staged file that is a pipe and gives no more
bytes, and in the transaction that records what it did, by a lock that the record's trigger takes.
"""

import hashlib
import itertools
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

from celery import Celery
from sqlalchemy.orm import Session

from gateways.apk import Apk
from gateways.staging import Staged, Staging
from saga import Engine, Operator, Timing
from saga.worker import CeleryPublisher, producer
from tests.acceptance.holding import HoldingWorld, beyond
from tests.acceptance.listener import SECRET, Listener
from tests.acceptance.world import QUICK
from tests.apks import make_apk
from tests.integration.bucket import Bucket
from workflows import AppDetails, request_upload, upload

PIECE_BYTES = 5 * 1024 * 1024
CREATE, UPLOAD, STATUS, LATEST, NOTIFY = (step.name for step in upload.steps)

_NOT_HERE = ("WECHATPAY_", "ALIPAY_", "OBJECT_STORE_")
_PACKAGE = "com.example.tiny"
_QUICK = {
    **QUICK,
    "APP_UPLOAD_FIRST_RETRY_SECONDS": "0.2",
    "APP_UPLOAD_CALL_TIMEOUT_SECONDS": "20",
    "SWEEP_GRACE_SECONDS": "1",
    "SWEEP_SECONDS": "1",
    "APP_TIDY_SECONDS": "0.5",
    "APP_NOTIFY_SECRET": SECRET,
    "SAGA_SECOND_LOOKS_SECONDS": "[86400]",
}


@dataclass(frozen=True)
class Sent:
    """An application that was sent: its saga's id, its object's key, and its file's hash."""

    saga_id: UUID
    key: str
    sha256: str


class Pipe:
    """A staged file that gives its bytes as a test wants; ``real`` is the file itself."""

    def __init__(self, staged: Path, real: Path) -> None:
        self._staged, self._real = staged, real
        staged.rename(real)
        os.mkfifo(staged)
        self._given = 0
        self._end: int | None = None

    def is_read(self) -> bool:
        """Whether the step has opened it; from then on it waits for bytes."""
        if self._end is None:
            with suppress(OSError):
                self._end = os.open(self._staged, os.O_WRONLY | os.O_NONBLOCK)
                os.set_blocking(self._end, True)
        return self._end is not None

    def give(self, most: int | None = None) -> None:
        """Give the next bytes, all if no number is said; who reads them may have died."""
        assert self._end is not None, "wait until it is read"
        with self._real.open("rb") as real:
            real.seek(self._given)
            left = memoryview(real.read(-1 if most is None else most))
        self._given += len(left)
        try:
            while left:
                left = left[os.write(self._end, left) :]
        except BrokenPipeError:
            pass
        if most is None:
            os.close(self._end)
            self._end = None

    def become_a_file(self) -> None:
        """Let whoever opens it from now on find the file itself."""
        self._real.replace(self._staged)


@dataclass
class AppWorld(HoldingWorld):
    """A world of uploads only, into a bucket, or else into a folder of its own."""

    settings: Mapping[str, str] = field(default_factory=lambda: _QUICK)
    listener: Listener = field(default_factory=Listener)
    bucket: Bucket | None = None
    main: str = "worker1"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stage = Staging(self.folder / "staging")
        self.objects = self.folder / "objects"
        self.objects.mkdir()
        self.sent: list[Sent] = []
        self._numbers = itertools.count(1)
        celery = Celery("test", broker=self.redis.url, set_as_current=False)
        celery.config_from_object("saga.celeryconfig")
        celery.conf.broker_url = self.redis.url
        self.engine = Engine(
            database=self.database,
            sagas=[upload],
            publisher=CeleryPublisher(producer(celery)),
            # As the workers' own: it says when recovery first looks at what is started here.
            timing=Timing(patience=timedelta(seconds=2)),
        )

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in super().environment.items()
            if not name.startswith(_NOT_HERE)
        }
        return {
            **kept,
            **self._store_settings(),
            "STAGING_FOLDER": str(self.stage.folder),
            "APP_NOTIFY_URL": self.listener.url,
        }

    def _store_settings(self) -> dict[str, str]:
        if self.bucket is None:
            return {"OBJECT_STORE_FOLDER": str(self.objects)}
        account = self.bucket.account
        return {
            "OBJECT_STORE_ENDPOINT": str(account.endpoint),
            "OBJECT_STORE_BUCKET": account.bucket,
            "OBJECT_STORE_ACCESS_KEY_ID": account.access_key_id,
            "OBJECT_STORE_SECRET_ACCESS_KEY": account.secret_access_key,
        }

    # What runs

    def start(self, *, concurrency: int) -> Self:
        self.start_beat()
        self.start_all([self.main], concurrency=concurrency)
        return self

    def next_worker(self, *, concurrency: int) -> None:
        """Start one more, which is the main one from now on."""
        self.main = f"worker{int(self.main.removeprefix('worker')) + 1}"
        self.start_worker(self.main, concurrency=concurrency)

    # What is done

    def new_apk(self, *, size: int | None = None) -> tuple[Staged, Apk]:
        """Stage the next version."""
        number, saga_id = next(self._numbers), uuid4()
        name = f"1.{number}"
        made = make_apk(self.folder / "made.apk", version_code=number, version_name=name, size=size)
        staged = self.stage.copy(saga_id, made)
        return staged, Apk(
            package_name=_PACKAGE,
            version_code=number,
            version_name=name,
            min_sdk=21,
            target_sdk=33,
        )

    def upload(self, staged: Staged, apk: Apk) -> Sent:
        """Start the upload of a staged file."""
        with Session(self.database) as session, session.begin():
            request_upload(self.engine, session, staged, apk, AppDetails(name="Tiny"))
        sent = Sent(staged.id, self.key(staged, apk), staged.sha256)
        self.sent.append(sent)
        return sent

    @staticmethod
    def key(staged: Staged, apk: Apk) -> str:
        return f"apps/{apk.package_name}/{apk.version_name}_{staged.id.hex}.apk"

    def pipe(self, staged: Staged) -> Pipe:
        """Let the staged file give its bytes as the test wants."""
        return Pipe(staged.file, self.folder / f"{staged.id}.real")

    def cancel(self, saga_id: UUID) -> None:
        Operator(self.engine, actor="test").cancel(saga_id, reason="test")

    def order_back(self, saga_id: UUID) -> None:
        Operator(self.engine, actor="test").compensate(saga_id, reason="test")

    # What is seen

    def remains(self) -> list[str]:
        """All that there is beyond what COMPLETED sagas own, or is missing of that; in words."""
        sql = "SELECT saga_id FROM saga_state WHERE status = 'COMPLETED'"
        completed = {str(row.saga_id) for row in self.rows(sql)}
        sent = {str(each.saga_id): each for each in self.sent}
        expected = {sent[saga_id].key: sent[saga_id].sha256 for saga_id in completed}
        records = self.rows("SELECT * FROM applications")
        latest = max((row.version_code for row in records if row.id in completed), default=None)
        return [
            *beyond("record", {row.id for row in records}, completed),
            *beyond("object", self._objects(), expected),
            *(f"upload under way: {key}" for key in self.uploads()),
            *(f"staged: {file}" for file in self.stage.folder.iterdir()),
            *(
                f"record of {row.version_code} is {row.status}, latest: {row.is_latest}"
                for row in records
                if (row.status, row.is_latest) != ("available", row.version_code == latest)
            ),
            *(f"alarm of the sweep: {row}" for row in self.rows("SELECT * FROM sweep_alarms")),
        ]

    def until_nothing_remains(self) -> None:
        """Wait until beat has tidied staging; fail with what is left over."""
        left = self.remains
        try:
            self.until(lambda: not left(), "nothing is left over", within=15)
        except AssertionError:
            raise AssertionError(f"left over: {left()}") from None

    def _objects(self) -> dict[str, str]:
        if self.bucket is not None:
            return {each["key"]: each["sha256"] for each in self.bucket.books()["objects"]}
        return {
            str(file.relative_to(self.objects)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in self.objects.rglob("*")
            # Whatever else it is, too: part of an object, or a temporary file.
            if file.is_file()
        }

    def uploads(self) -> list[str]:
        """The keys to which somebody is writing, or was."""
        if self.bucket is not None:
            return [each["key"] for each in self.bucket.books()["uploads"]]
        parts = [str(file.relative_to(self.objects)) for file in self.objects.rglob("*#*")]
        return [part.rpartition("#")[0] for part in parts]
