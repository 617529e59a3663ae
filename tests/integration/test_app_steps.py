"""What an upload's steps say when somebody else was there, or something is not there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from gateways.notices import NoticeRefused
from gateways.objects import StoreAway, StoreRefused
from gateways.objects.folder import FolderStore
from gateways.staging import Staging
from models import Application, ApplicationStatus, AppUploadState
from saga import Effect, IdempotencyKey, NeedsPerson, Refused, TryAgain, connect
from tasks.app_upload import (
    create_app_record,
    leave_latest_version,
    remove_app_record,
    send_notification,
    update_app_status,
    upload_to_object_store,
    withdraw_app,
)
from tasks.doors import NoSuchDoor
from tests.integration.attic import BYTES, SHA256
from tests.integration.test_latest_version import UPLOADED, Event, back, do, latest, version

pytestmark = pytest.mark.integration

PACKAGE = "org.example.steps"


@pytest.fixture(scope="module")
def applications(new_database: Callable[[], str]) -> Iterator[Database]:
    database = connect(new_database())
    yield database
    database.dispose()


@pytest.fixture
def records(applications: Database) -> Database:
    """A database without any application."""
    with applications.begin() as connection:
        connection.execute(text("DELETE FROM applications"))
    return applications


def move(records: Database, state: AppUploadState, status: ApplicationStatus) -> None:
    with records.begin() as connection:
        connection.execute(
            text("UPDATE applications SET status = :status, is_latest = false WHERE id = :id"),
            {"status": status.value, "id": state.app_id},
        )


def status(records: Database, state: AppUploadState) -> str | None:
    with Session(records) as session:
        found = session.get(Application, state.app_id)
        return None if found is None else found.status


# Records


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (update_app_status, ApplicationStatus.UPLOADING),
        (back(remove_app_record), ApplicationStatus.UPLOADING),
        (back(withdraw_app), ApplicationStatus.AVAILABLE),
    ],
    ids=["update_app_status", "remove_app_record", "withdraw_app"],
)
def test_a_record_that_somebody_moved_is_left_to_a_person(
    records: Database, step: Event, expected: ApplicationStatus
) -> None:
    state = version(PACKAGE, 1)
    do(records, create_app_record, state)

    for moved in set(ApplicationStatus) - {expected}:
        move(records, state, moved)
        with pytest.raises(Refused, match=f"is {moved}, not {expected}") as refused:
            do(records, step, state)
        assert refused.value.code == "UNEXPECTED_STATUS"
        assert status(records, state) == moved


@pytest.mark.parametrize(
    "step",
    [update_app_status, back(remove_app_record), back(withdraw_app)],
    ids=["update_app_status", "remove_app_record", "withdraw_app"],
)
def test_a_record_that_somebody_removed_is_left_to_a_person(records: Database, step: Event) -> None:
    with pytest.raises(Refused, match="is gone, not") as refused:
        do(records, step, version(PACKAGE, 1))

    assert refused.value.code == "UNEXPECTED_STATUS"


def test_a_version_that_has_a_record_is_taken_by_no_other_upload(records: Database) -> None:
    first, second = version(PACKAGE, 1), version(PACKAGE, 1)
    do(records, create_app_record, first)

    with pytest.raises(Refused, match=r"version 1 of .* is there already") as refused:
        do(records, create_app_record, second)

    assert refused.value.code == "VERSION_EXISTS"
    assert status(records, first) == ApplicationStatus.UPLOADING
    assert status(records, second) is None


def test_a_version_that_is_about_to_be_withdrawn_is_no_longer_the_latest(records: Database) -> None:
    older, newest = version(PACKAGE, 1), version(PACKAGE, 2)
    for state in (older, newest):
        for step in (create_app_record, *UPLOADED):
            do(records, step, state)

    do(records, back(leave_latest_version), newest)

    assert status(records, newest) == ApplicationStatus.AVAILABLE
    with records.connect() as connection:
        assert latest(connection, PACKAGE) == (1, 2)


# Doors


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Staging, FolderStore]:
    (tmp_path / "store").mkdir()
    staging, store = Staging(tmp_path / "staging"), FolderStore(tmp_path / "store")
    monkeypatch.setattr("tasks.app_upload.staging", lambda: staging)
    monkeypatch.setattr("tasks.app_upload.object_store", lambda: store)
    return staging, store


def staged(staging: Staging) -> AppUploadState:
    with staging.receive(uuid4()) as coming:
        coming.write(BYTES)
        file = coming.finish()
    return version(PACKAGE, 1).model_copy(
        update={"app_id": str(file.id), "size_bytes": file.size, "sha256": SHA256}
    )


def call(step: Callable[..., Any], state: AppUploadState) -> Any:
    return step(state, IdempotencyKey.of(UUID(state.app_id), "any"))


def fail(error: Exception) -> Callable[..., Any]:
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    return failing


def test_a_staged_file_that_is_not_seen_may_be_seen_another_time(
    doors: tuple[Staging, FolderStore],
) -> None:
    staging, store = doors
    state = staged(staging)
    staging.remove(UUID(state.app_id))

    with pytest.raises(TryAgain, match="let STAGING_FOLDER be a folder that"):
        call(upload_to_object_store, state)

    assert list(store.objects("")) == []


def test_a_store_that_refuses_us_may_have_the_object_and_calls_a_person(
    doors: tuple[Staging, FolderStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, store = doors
    monkeypatch.setattr(store, "put", fail(StoreRefused("give us the right to write")))

    with pytest.raises(NeedsPerson, match="give us the right to write; then retry") as needs:
        call(upload_to_object_store, staged(staging))

    assert (needs.value.effect, needs.value.code) == (Effect.UNKNOWN, "STORE_REFUSED")


def test_a_store_that_is_away_calls_nobody(
    doors: tuple[Staging, FolderStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, store = doors
    monkeypatch.setattr(store, "put", fail(StoreAway("not now")))

    with pytest.raises(StoreAway):
        call(upload_to_object_store, staged(staging))


@pytest.mark.parametrize("door", ["staging", "object_store"])
def test_a_door_that_is_not_set_up_calls_a_person_and_nothing_has_begun(
    doors: tuple[Staging, FolderStore], monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    state = staged(doors[0])
    monkeypatch.setattr(f"tasks.app_upload.{door}", fail(NoSuchDoor("set it")))

    with pytest.raises(NeedsPerson, match="set it; start the workers anew") as needs:
        call(upload_to_object_store, state)

    assert (needs.value.effect, needs.value.code) == (Effect.NOT_STARTED, "NOT_SET_UP")


def test_a_notice_that_is_refused_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        send = staticmethod(fail(NoticeRefused("the notice was refused with 410")))

    monkeypatch.setattr("tasks.app_upload.notices", Deaf)

    with pytest.raises(Refused, match="refused with 410") as refused:
        call(send_notification, version(PACKAGE, 1))

    assert refused.value.code == "NOTICE_REFUSED"
