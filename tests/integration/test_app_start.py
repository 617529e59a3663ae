"""An upload that is started by a file's path, and what an application is while its saga goes on."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from gateways.objects.folder import FolderStore
from gateways.staging import Staging
from models import ApplicationView
from saga import BusinessKeyTaken, IdempotencyKeyReused, Started, connect
from tasks.doors import NoSuchDoor
from tests.apks import make_apk
from tests.integration.attic import Attic
from tests.integration.reception import MEGABYTE
from tests.integration.shop import Order, Script, shop
from tests.integration.test_cli import NOBODY, PROJECT, environment
from workflows import (
    AppInput,
    FileTooLarge,
    NotAnApp,
    VersionExists,
    find_application,
    start_upload,
    upload,
)
from workflows.app_upload import NotStaged

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def attic_url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def attic_database(attic_url: str) -> Iterator[Database]:
    database = connect(attic_url)
    yield database
    database.dispose()


@pytest.fixture
def attic(attic_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attic:
    (tmp_path / "store").mkdir()
    staging, store = (
        Staging(tmp_path / "staging", largest=2 * MEGABYTE),
        FolderStore(tmp_path / "store"),
    )
    monkeypatch.setattr("tasks.app_upload.object_store", lambda: store)
    for module in ("tasks.app_upload", "workflows.app_upload"):
        monkeypatch.setattr(f"{module}.staging", lambda: staging)
    return Attic(attic_database, store, staging, opens="")


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    return make_apk(tmp_path / "a.apk")


def start(attic: Attic, file: Path, key: str | None = None) -> Started:
    with Session(attic.database) as session, session.begin():
        return start_upload(attic.engine, session, AppInput(file=str(file), name="Tiny"), key)


def find(attic: Attic, saga_id: UUID) -> ApplicationView | None:
    with Session(attic.database) as session:
        return find_application(session, str(saga_id))


def assert_refused(attic: Attic, file: Path, error: type[Exception], why: str) -> None:
    """Refused, and nothing of it is left; the file given stays as it is."""
    was_there = file.exists()
    with pytest.raises(error, match=why):
        start(attic, file)

    assert attic.files() == set()
    assert attic.count("saga_state") == 0
    assert file.exists() == was_there


# What is given


def test_a_file_is_copied_and_its_saga_has_its_id(attic: Attic, apk: Path) -> None:
    started = start(attic, apk)
    attic.work_off()

    assert started.is_new
    assert attic.files() == {started.saga_id}
    assert apk.exists()
    found = find(attic, started.saga_id)
    assert found is not None
    assert found.status == "available"


def test_a_file_that_is_no_apk_is_refused(attic: Attic, tmp_path: Path) -> None:
    bad = tmp_path / "bad.apk"
    bad.write_bytes(b"no APK at all")

    assert_refused(attic, bad, NotAnApp, "^the file is not an APK")


def test_a_file_that_is_too_large_is_refused(attic: Attic, tmp_path: Path) -> None:
    large = make_apk(tmp_path / "large.apk", size=3 * MEGABYTE)

    assert_refused(attic, large, FileTooLarge, "at most 2 MB")


def test_what_cannot_be_read_as_a_file_is_refused(attic: Attic, tmp_path: Path, apk: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")

    for odd in (tmp_path / "folder", tmp_path / "none", tmp_path / "loop", apk / "below"):
        assert_refused(attic, odd, NotAnApp, "^the file cannot be read: ")


def test_a_file_that_may_not_be_read_is_refused(
    attic: Attic, apk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, who may read all.
    def may_not(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", may_not)

    assert_refused(attic, apk, NotAnApp, "^the file cannot be read: Permission denied$")


def test_without_a_staging_folder_nothing_is_started(
    attic: Attic, apk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> Any:
        raise NoSuchDoor("set STAGING_FOLDER")

    monkeypatch.setattr("workflows.app_upload.staging", none)

    assert_refused(attic, apk, NotStaged, "set STAGING_FOLDER")


# What was there before


def test_the_same_key_and_file_are_the_same_saga_and_one_staged_file(
    attic: Attic, apk: Path
) -> None:
    first, second = start(attic, apk, "one"), start(attic, apk, "one")

    assert (second.saga_id, first.is_new, second.is_new) == (first.saga_id, True, False)
    assert attic.files() == {first.saga_id}


def test_what_is_refused_for_an_upload_that_is_under_way_leaves_its_file_alone(
    attic: Attic, apk: Path, tmp_path: Path
) -> None:
    first = start(attic, apk, "one")
    other = make_apk(tmp_path / "other.apk", version_code=8)

    with pytest.raises(IdempotencyKeyReused):
        start(attic, other, "one")
    with pytest.raises(BusinessKeyTaken):
        start(attic, apk, "two")

    assert attic.files() == {first.saga_id}
    assert attic.count("saga_state") == 1


def test_a_version_that_is_there_is_told_with_its_status(attic: Attic, apk: Path) -> None:
    first = start(attic, apk)
    attic.work_off()

    with pytest.raises(VersionExists, match=r"version 7 of .* is there already \(available\)"):
        start(attic, apk)

    assert attic.files() == {first.saga_id}
    assert attic.count("saga_state") == 1


# What it is meanwhile


def test_the_upload_of_a_failed_saga_is_still_coming(attic: Attic) -> None:
    saga_id = attic.start()
    attic.fail(saga_id)

    found = find(attic, saga_id)

    assert found is not None
    assert (found.id, found.status) == (str(saga_id), "uploading")


def test_the_upload_of_a_saga_that_went_back_is_none(attic: Attic) -> None:
    assert find(attic, attic.compensated()) is None


def test_a_saga_of_another_type_is_no_application(attic: Attic) -> None:
    other = shop(Script())
    attic.engine = attic.engine_for(upload, other)
    with Session(attic.database) as session, session.begin():
        saga_id = attic.engine.start(session, other, Order()).saga_id

    assert find(attic, saga_id) is None


# The command

# What `saga` does, three times in one process: each would cost seconds.
_RUNS = """
import json, sys
from saga.cli import run
print(json.dumps([run(words) for words in json.loads(sys.argv[1])]))
"""


def test_the_command_starts_an_upload_and_tells_what_is_wrong_by_its_exit_code(
    attic: Attic, attic_url: str, apk: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.apk"
    bad.write_bytes(b"no APK at all")
    asked = [
        ["start", "app_upload", "--input", json.dumps({"file": str(file), "name": "Tiny"})]
        for file in (apk, bad, apk)
    ]

    done = subprocess.run(
        [sys.executable, "-c", _RUNS, json.dumps(asked)],
        cwd=PROJECT,
        env=environment(
            DATABASE_URL=attic_url,
            CELERY_BROKER_URL=NOBODY,
            STAGING_FOLDER=str(attic.staging.folder),
        ),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == [0, 2, 4], done.stderr
    [saga_id] = attic.files()
    assert f"saga {saga_id} is RUNNING" in done.stdout
    assert "file: the file is not an APK" in done.stderr
    assert str(saga_id) in done.stderr  # of the upload that is under way
    assert attic.count("saga_state") == 1
