"""Which version of a package is the latest, whatever order its uploads' steps come in."""

import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from models import Application, ApplicationStatus, AppUploadState
from saga import Effect, Forward, IdempotencyKey
from tasks.app_upload import (
    create_app_record,
    leave_latest_version,
    remove_app_record,
    update_app_status,
    update_latest_version,
    withdraw_app,
)

pytestmark = pytest.mark.integration

Event = Callable[[AppUploadState, Session], object]

FORWARD = Forward(IdempotencyKey.of(uuid4(), "any"), Effect.DONE)


def back(compensation: Callable[..., object]) -> Event:
    return lambda state, session: compensation(state, session, FORWARD)


UPLOADED: list[Event] = [update_app_status, update_latest_version]
ORDERED_BACK = [*UPLOADED, *map(back, (leave_latest_version, withdraw_app, remove_app_record))]
# How far an upload has come where its saga may rest, or stand for long.
AT_REST = {0, 2, 4, 5}


def version(package: str, code: int) -> AppUploadState:
    app_id = str(uuid4())
    return AppUploadState(
        app_id=app_id,
        package_name=package,
        version_code=code,
        version_name=f"{code}.0",
        name="name",
        description="",
        tags=[],
        min_sdk=21,
        target_sdk=34,
        size_bytes=1,
        sha256="0" * 64,
        object_key=f"apps/{package}/{app_id}.apk",
    )


def do(database: Database, event: Event, state: AppUploadState) -> None:
    with database.connect() as connection:
        step(connection, event, state)


def step(connection: Connection, event: Event, state: AppUploadState) -> None:
    with Session(connection) as session:
        event(state, session)
        session.commit()


def orders(
    session: Session, states: list[AppUploadState], came: tuple[int, int] = (0, 0)
) -> Iterator[tuple[int | None, int | None]]:
    """Go through every way in which two uploads' steps can follow each other.

    Of each that leaves both at rest: the version that is marked, and the one that should be.
    """
    for upload, state in enumerate(states):
        if came[upload] == len(ORDERED_BACK):
            continue
        with session.begin_nested() as savepoint:
            ORDERED_BACK[came[upload]](state, session)
            now = (came[0] + 1, came[1]) if upload == 0 else (came[0], came[1] + 1)
            if AT_REST.issuperset(now):
                yield latest(session.connection(), state.package_name)
            yield from orders(session, states, now)
            savepoint.rollback()


def latest(connection: Connection, package: str) -> tuple[int | None, int | None]:
    """The version that is marked, and the one that should be."""
    sql = (
        "SELECT max(version_code) FILTER (WHERE is_latest) AS marked, "
        "max(version_code) FILTER (WHERE status = 'available') AS greatest "
        "FROM applications WHERE package_name = :package"
    )
    found = connection.execute(text(sql), {"package": package}).one()
    return found.marked, found.greatest


def test_two_versions_race_for_latest_in_a_thousand_orders_and_the_greatest_available_wins(
    database: Database,
) -> None:
    ended = []
    for codes in ((1, 2), (2, 1)):
        states = [version("com.example.race", code) for code in codes]
        with Session(database) as session:
            for state in states:
                create_app_record(state, session)
            ended += orders(session, states)

    assert len(ended) >= 1000
    assert [(marked, greatest) for marked, greatest in ended if marked != greatest] == []


def test_versions_that_come_and_go_at_the_same_moment_neither_hang_nor_leave_two_latest(
    database: Database,
) -> None:
    package = "com.example.atonce"
    standing = version(package, 5)
    for event in (create_app_record, *UPLOADED):
        do(database, event, standing)
    errors: list[BaseException] = []

    def come_and_go(code: int) -> None:
        try:
            for _ in range(15):
                state = version(package, code)
                do(database, create_app_record, state)
                for event in ORDERED_BACK:
                    do(database, event, state)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    racing = [threading.Thread(target=come_and_go, args=(code,)) for code in (3, 7, 9)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join(60)

    assert errors == []
    with database.connect() as connection:
        assert latest(connection, package) == (5, 5)


def test_a_version_that_failed_half_way_is_never_left_as_the_latest(database: Database) -> None:
    # What happened before: the newest upload was marked first, and stayed so when it failed.
    package = "com.example.failed"
    good, failed = version(package, 1), version(package, 2)
    for event in (create_app_record, *UPLOADED):
        do(database, event, good)
    do(database, create_app_record, failed)
    do(database, update_latest_version, good)
    with database.connect() as connection:
        seen_while_uploading = latest(connection, package)
    do(database, back(remove_app_record), failed)

    assert seen_while_uploading == (1, 1)
    with database.connect() as connection:
        assert latest(connection, package) == (1, 1)
    with Session(database) as session:
        assert session.get(Application, failed.app_id) is None
        found = session.get_one(Application, good.app_id)
        assert (found.status, found.is_latest) == (ApplicationStatus.AVAILABLE, True)
