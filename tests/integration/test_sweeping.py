"""What uploads leave: found when nobody owns it, kept as long as somebody does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine as Database
from sqlalchemy import event
from sqlalchemy.engine import make_url

from commands.sweep import sweep
from gateways.objects import ObjectStore, StoreAway
from gateways.objects.accounts import BucketAccount
from gateways.objects.folder import FolderStore
from gateways.staging import Staging
from saga import connect
from saga.cli.errors import UsageError
from tests.integration.attic import DAY, Attic, Watched
from tests.integration.test_cli import NOBODY, PROJECT, Shell, environment
from workflows.sweeping import Kind, Removal, Thing, Verdict, source
from workflows.sweeping.sources import Objects, StagedFiles

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def attic_url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def attic_database(attic_url: str) -> Iterator[Database]:
    database = connect(attic_url)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass(frozen=True)
class Opened:
    """A store, and the program that opens it in another process."""

    store: ObjectStore
    opens: str


def in_folder(folder: Path) -> Opened:
    folder.mkdir()
    opens = (
        "from gateways.objects.folder import FolderStore\n"
        f"store = FolderStore(Path({str(folder)!r}))"
    )
    return Opened(FolderStore(folder), opens)


def in_bucket(endpoint: str) -> Opened:
    from gateways.objects.bucket import BucketStore  # noqa: PLC0415

    given = {
        "bucket": f"b{uuid4().hex}",
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": "secret",
        "endpoint": endpoint,
    }
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    s3.create_bucket(Bucket=given["bucket"])
    s3.close()
    opens = (
        "from datetime import timedelta\n"
        "from gateways.objects.accounts import BucketAccount\n"
        "from gateways.objects.bucket import BucketStore\n"
        f"store = BucketStore(BucketAccount(**{given!r}), timedelta(seconds=10))"
    )
    return Opened(BucketStore(BucketAccount(**given), timedelta(seconds=10)), opens)


@pytest.fixture
def attic(attic_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attic:
    return furnish(attic_database, tmp_path, monkeypatch, in_folder(tmp_path / "store"))


@pytest.fixture(params=["folder", "bucket"])
def any_attic(
    attic_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Attic:
    if request.param == "folder":
        opened = in_folder(tmp_path / "store")
    else:
        opened = in_bucket(request.getfixturevalue("endpoint"))
    return furnish(attic_database, tmp_path, monkeypatch, opened)


def furnish(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> Attic:
    staging = Staging(folder / "staging")
    monkeypatch.setattr("tasks.app_upload.object_store", lambda: opened.store)
    monkeypatch.setattr("tasks.app_upload.staging", lambda: staging)
    return Attic(database, opened.store, staging, opens=opened.opens)


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **said: Any) -> None:
            assert event == "alarm"
            heard.append(said)

        def info(self, event: str, **said: Any) -> None: ...

        def warning(self, event: str, **said: Any) -> None: ...

    monkeypatch.setattr("workflows.sweeping.sweeper.log", Log())
    return heard


def is_old(file: Path, age: timedelta = 400 * DAY) -> None:
    moment = file.stat().st_mtime - age.total_seconds()
    os.utime(file, (moment, moment))


# Staging


def test_a_staged_file_is_never_removed_by_its_age_while_its_saga_needs_it(attic: Attic) -> None:
    running, failed = attic.start(), attic.start()
    attic.fail(failed)
    back = attic.start()
    attic.execute(
        "UPDATE saga_state SET status = 'COMPENSATING', stop_reason = 'cancelled' "
        "WHERE saga_id = :saga_id",
        {"saga_id": back},
    )
    for saga_id in (running, failed, back):
        is_old(attic.staging.file(saga_id))

    assert attic.tidy() == 0
    assert attic.told(remove=True) == []
    assert attic.files() == {running, failed, back}


def test_a_staged_file_is_removed_as_soon_as_its_saga_rests(attic: Attic) -> None:
    completed, gone_back, running = attic.completed(), attic.compensated(), attic.start()

    assert attic.tidy() == 2
    assert attic.files() == {running}
    assert attic.tidy() == 0
    assert completed != gone_back


def test_a_staged_file_of_no_saga_may_be_arriving_and_is_not_tidied(attic: Attic) -> None:
    staged = attic.staged()
    is_old(staged.file)

    assert attic.tidy() == 0
    assert attic.told() == [("staged_file", "orphan", "not_asked")]
    assert attic.told(remove=True) == [("staged_file", "orphan", "removed")]
    assert attic.files() == set()


def test_an_arriving_file_is_left_alone_whatever_grace_is_asked_for(attic: Attic) -> None:
    staged = attic.staged()

    swept = attic.sweeper().run(grace=timedelta(0), remove=True)

    assert swept.verdicts == {Verdict.YOUNG: 1}
    assert attic.files() == {staged.id}


def test_half_a_file_that_a_killed_api_left_is_an_orphan(attic: Attic) -> None:
    attic.staging.folder.mkdir()
    (attic.staging.folder / f"{uuid4()}.part").write_bytes(b"half")

    assert attic.told(remove=True) == [("staged_file", "orphan", "removed")]
    assert attic.files() == set()


def test_tidying_an_empty_folder_asks_the_database_nothing(attic: Attic) -> None:
    asked: list[str] = []

    def note(*said: Any) -> None:
        asked.append(said[2])

    event.listen(attic.database, "before_cursor_execute", note)
    try:
        assert attic.tidy() == 0
        attic.staging.folder.mkdir()
        assert attic.tidy() == 0
        assert asked == []
        attic.staged()
        assert attic.tidy() == 0
        assert len(asked) == 1, "and it would have been heard"
    finally:
        event.remove(attic.database, "before_cursor_execute", note)


def test_a_saga_that_is_woken_after_tidying_looked_keeps_its_file(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = attic.completed(), attic.completed()
    kept: list[UUID] = []
    remove = attic.staging.remove

    def wake_the_other(saga_id: UUID) -> bool:
        if not kept:
            kept.append(one if saga_id == other else other)
            attic.fail(kept[0])
        return remove(saga_id)

    monkeypatch.setattr(attic.staging, "remove", wake_the_other)

    assert attic.tidy() == 1
    assert attic.files() == set(kept)


def test_tidying_ends_when_its_time_is_over(attic: Attic) -> None:
    for _ in range(3):
        attic.completed()
    times = iter([0, 0, 29, 30])

    assert attic.tidy(timer=lambda: next(times)) == 2


# Objects and uploads


def test_an_object_that_came_after_its_compensation_is_told_of_and_removed(
    any_attic: Attic,
) -> None:
    attic = any_attic
    late = attic.put(attic.key(attic.compensated()))
    attic.tidy()

    assert attic.told() == [("object", "orphan", "not_asked")]
    assert attic.objects() == {late}
    assert attic.told(remove=True) == [("object", "orphan", "removed")]
    assert attic.objects() == set()
    assert attic.told() == []


def test_what_no_saga_here_ever_had_may_be_another_databases_and_is_removed_only_if_asked(
    any_attic: Attic, tmp_path: Path
) -> None:
    attic = any_attic
    key = attic.put(f"apps/com.example/1.0_{uuid4().hex}.apk")
    half = f"apps/com.example/1.0_{uuid4().hex}.apk"
    attic.die_while_putting(half, tmp_path)

    kept = [("object", "stray", "not_asked"), ("upload", "stray", "not_asked")]
    assert attic.told(remove=True) == kept
    assert (attic.objects(), attic.uploads()) == ({key}, {half})

    swept, _ = attic.sweep(remove=True, strays=True)
    assert swept.removals[Removal.REMOVED] == 2
    assert (attic.objects(), attic.uploads()) == (set(), set())


def test_an_upload_that_was_killed_is_told_of_and_removed_once_its_saga_rests(
    any_attic: Attic, tmp_path: Path
) -> None:
    attic = any_attic
    gone_back, running = attic.compensated(), attic.start()
    attic.tidy()
    for saga_id in (gone_back, running):
        attic.die_while_putting(attic.key(saga_id), tmp_path)
    assert attic.uploads() == {attic.key(gone_back), attic.key(running)}

    assert attic.told(remove=True) == [("upload", "orphan", "removed")]

    assert attic.uploads() == {attic.key(running)}
    attic.work_off()
    assert attic.status(running) == "COMPLETED"
    assert attic.uploads() == set()


def test_a_failed_sagas_things_are_kept(any_attic: Attic, tmp_path: Path) -> None:
    attic = any_attic
    saga_id = attic.start()
    attic.fail(saga_id)
    attic.put(attic.key(saga_id))
    attic.die_while_putting(attic.key(saga_id), tmp_path)

    swept, found = attic.sweep(remove=True)

    assert (found, swept.verdicts) == ([], {Verdict.OWNED: 3})
    assert attic.objects() == attic.uploads() == {attic.key(saga_id)}
    assert attic.files() == {saga_id}


@pytest.mark.parametrize("change", ["saga_type = 'of_another'", "definition_version = 99"])
def test_a_saga_that_nobody_here_knows_owns_what_bears_its_id(attic: Attic, change: str) -> None:
    saga_id = attic.start()
    attic.put(attic.key(saga_id))
    attic.execute(f"UPDATE saga_state SET {change}")

    assert attic.told(remove=True) == []


def test_a_records_object_is_kept_until_the_record_is_gone(any_attic: Attic) -> None:
    attic = any_attic
    saga_id = attic.completed()
    attic.tidy()
    attic.execute("UPDATE applications SET status = 'deleted', is_latest = false")

    assert attic.told(remove=True) == []

    attic.delete_record(saga_id)
    assert attic.told(remove=True) == [("object", "orphan", "removed")]
    assert attic.objects() == set()


def test_what_is_not_older_than_the_grace_time_is_left_alone(attic: Attic) -> None:
    key = attic.put(attic.key(attic.compensated()))
    attic.tidy()

    young = attic.sweeper().run(grace=timedelta(hours=1), remove=True)
    attic.later = timedelta(hours=1, minutes=1)
    old = attic.sweeper().run(grace=timedelta(hours=1))

    assert (young.verdicts, old.verdicts) == ({Verdict.YOUNG: 1}, {Verdict.ORPHAN: 1})
    assert attic.objects() == {key}


def test_what_bears_a_foreign_name_is_told_of_and_never_removed(
    any_attic: Attic, tmp_path: Path
) -> None:
    attic = any_attic
    attic.put("apps/readme.txt")
    attic.put("elsewhere/1.0_0123456789abcdef0123456789abcdef.apk")
    attic.die_while_putting("apps/org.example/mine.apk", tmp_path)
    (attic.staging.folder / "notes.txt").write_text("do not remove")

    told = attic.told(remove=True)

    assert told == [
        ("object", "foreign", "not_asked"),
        ("staged_file", "foreign", "not_asked"),
        ("upload", "foreign", "not_asked"),
    ]
    assert len(attic.objects()) == 2
    assert attic.uploads() == {"apps/org.example/mine.apk"}
    assert attic.files() == {None}


def test_an_available_record_without_its_object_is_missing(any_attic: Attic) -> None:
    attic = any_attic
    gone, _, withdrawn = (attic.completed() for _ in range(3))
    attic.tidy()
    for saga_id in (gone, withdrawn):
        attic.store.remove(attic.key(saga_id))
    attic.execute(
        "UPDATE applications SET status = 'unavailable', is_latest = false WHERE id = :id",
        {"id": str(withdrawn)},
    )

    _, [found] = attic.sweep(remove=True)

    assert (found.thing.kind, found.verdict) == (Kind.RECORD, Verdict.MISSING)
    assert found.thing.key == attic.key(gone)
    assert attic.count("applications") == 3


# Races


def test_a_saga_that_starts_between_listing_and_looking_owns_its_file(attic: Attic) -> None:
    staged = attic.staged()
    source = Watched(StagedFiles(lambda: attic.staging), listed=lambda: void(attic.start(staged)))

    swept, found = attic.sweep(remove=True, sources=[source])

    assert (found, swept.verdicts) == ([], {Verdict.OWNED: 1})
    assert attic.files() == {staged.id}


def test_a_saga_that_starts_between_looking_and_removal_keeps_its_file(attic: Attic) -> None:
    files = {staged.id: staged for staged in (attic.staged(), attic.staged())}

    def start_the_other(thing: Thing) -> None:
        [other] = [staged for staged in files.values() if staged.id != thing.saga_id]
        attic.start(other)

    source = Watched(StagedFiles(lambda: attic.staging), before_removal=start_the_other)

    _, found = attic.sweep(remove=True, sources=[source])

    assert sorted(one.removal for one in found) == [Removal.OWNED_NOW, Removal.REMOVED]
    [kept] = [one.thing.saga_id for one in found if one.removal is Removal.OWNED_NOW]
    assert attic.files() == {kept}


def test_a_saga_that_ends_between_the_questions_for_its_owners_keeps_its_object(
    attic: Attic,
) -> None:
    saga_id = attic.start()
    key = attic.put(attic.key(saga_id))

    # Right behind the first question, whichever that is.
    event.listen(
        attic.database, "after_cursor_execute", lambda *_: void(attic.work_off()), once=True
    )

    _, found = attic.sweep(remove=True, sources=[Objects(lambda: attic.store)])

    assert attic.status(saga_id) == "COMPLETED"
    assert found == []
    assert attic.objects() == {key}


def test_a_version_that_is_withdrawn_while_the_store_is_asked_is_not_missing(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = attic.completed()
    attic.tidy()
    attic.store.remove(attic.key(saga_id))
    listing = attic.store.objects

    def withdraw(prefix: str) -> Iterator[Any]:
        attic.execute("UPDATE applications SET status = 'unavailable', is_latest = false")
        return listing(prefix)

    monkeypatch.setattr(attic.store, "objects", withdraw)
    swept, found = attic.sweep(sources=[])

    assert (found, swept.whole) == ([], {Kind.RECORD})


def test_two_sweepers_at_once_remove_it_once_and_fail_at_nothing(any_attic: Attic) -> None:
    attic = any_attic
    for _ in range(2):
        attic.put(attic.key(attic.compensated()))
    attic.tidy()
    others: list[str] = []

    def sweep_too(thing: Thing) -> None:
        if not others:
            others.append(thing.key)
            attic.sweep(remove=True)

    source = Watched(Objects(lambda: attic.store), before_removal=sweep_too)

    swept, _ = attic.sweep(remove=True, sources=[source])

    assert swept.removals[Removal.FAILED] == 0
    assert attic.objects() == set()


# Calling people


def test_a_person_is_called_once_for_each_orphan(
    attic: Attic, alarms: list[dict[str, Any]]
) -> None:
    key = attic.put(attic.key(attic.compensated()))
    gone = attic.completed()
    attic.store.remove(attic.key(gone))
    attic.put("apps/readme.txt")
    attic.tidy()
    attic.later = 2 * DAY

    for _ in range(2):
        attic.sweeper().scan(grace=DAY)

    assert [(alarm["kind"], alarm["key"]) for alarm in alarms] == [
        ("object", key),
        ("record", attic.key(gone)),
    ]
    assert alarms[0]["advice"] == "remove it: saga sweep --remove"
    assert attic.objects() == {key, "apps/readme.txt"}, "beat removes nothing"


def test_what_comes_back_after_it_was_gone_is_told_again(
    attic: Attic, alarms: list[dict[str, Any]]
) -> None:
    key = attic.key(attic.compensated())
    attic.tidy()
    attic.later = 2 * DAY

    for _ in range(2):
        attic.put(key)
        attic.sweeper().scan(grace=DAY)
        attic.store.remove(key)
        attic.sweeper().scan(grace=DAY)

    assert len(alarms) == 2
    assert attic.count("sweep_alarms") == 0


def test_a_place_that_is_away_is_not_forgotten_and_keeps_none_of_the_others_waiting(
    attic: Attic, alarms: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    attic.put(attic.key(attic.compensated()))
    attic.tidy()
    attic.later = 2 * DAY
    attic.sweeper().scan(grace=DAY)
    is_old(attic.staged().file)

    def away(prefix: str) -> Iterator[Any]:
        raise StoreAway(f"nobody lists {prefix}")

    with monkeypatch.context() as patched:
        patched.setattr(attic.store, "objects", away)
        swept = attic.sweeper().scan(grace=DAY)
    attic.sweeper().scan(grace=DAY)

    assert swept.faults == dict.fromkeys((Kind.OBJECT,), "nobody lists apps/")
    assert [alarm["kind"] for alarm in alarms] == ["object", "staged_file"]


def test_a_pass_ends_when_its_time_is_over_and_forgets_nothing(
    attic: Attic, alarms: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    attic.put(attic.key(attic.compensated()))
    attic.tidy()
    attic.later = 2 * DAY
    attic.sweeper().scan(grace=DAY)
    monkeypatch.setattr("workflows.sweeping.sweeper._WITHIN", timedelta(0))

    swept = attic.sweeper().scan(grace=DAY)

    assert swept.whole == {Kind.STAGED_FILE, Kind.UPLOAD}, "they are empty"
    assert (len(alarms), attic.count("sweep_alarms")) == (1, 1)


# How much it costs


def test_things_are_asked_about_in_batches(attic: Attic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH", 2)
    for _ in range(5):
        attic.completed()
    attic.tidy()
    asked: list[str] = []

    def note(*said: Any) -> None:
        asked.append(said[2])

    event.listen(attic.database, "before_cursor_execute", note)
    swept, found = attic.sweep()
    event.remove(attic.database, "before_cursor_execute", note)

    assert (swept.seen, found) == (5, [])
    of_sagas = [sql for sql in asked if "saga_state" in sql]
    assert len(of_sagas) == 3, "two, two and one"


def test_a_store_that_removes_nothing_is_asked_three_times(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        attic.put(attic.key(attic.compensated()))
    attic.tidy()
    asked: list[str] = []

    def away(key: str) -> None:
        asked.append(key)
        raise StoreAway("nobody removes")

    monkeypatch.setattr(attic.store, "remove", away)

    swept, found = attic.sweep(remove=True)

    assert swept.removals == {Removal.FAILED: 5}
    assert len(asked) == 3
    assert {one.advice for one in found} == {"try again: nobody removes"}


def test_no_transaction_is_open_while_a_store_is_asked(attic: Attic) -> None:
    for _ in range(2):
        attic.put(attic.key(attic.compensated()))
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    )
    open_ones = []

    def look(_: object = None) -> None:
        with attic.database.connect() as connection:
            open_ones.append(connection.exec_driver_sql(sql).scalar_one())

    source = Watched(Objects(lambda: attic.store), listed=look, before_removal=look)
    attic.sweep(remove=True, sources=[source])

    assert open_ones == [0, 0, 0]


# The command


def test_the_command_tells_what_nobody_owns_and_removes_it(
    attic: Attic, attic_url: str, tmp_path: Path
) -> None:
    key = attic.put(attic.key(attic.compensated()))
    attic.tidy()
    shell = shell_of(attic_url, tmp_path)

    listed = shell.run("sweep", "--grace", "0s")
    told = shell.json("sweep", "--grace", "0s", "--remove")

    assert listed.returncode == 0
    assert key in listed.stdout
    assert "its saga is COMPENSATED" in listed.stdout
    assert (told["orphans"], told["removed"], told["notRemoved"]) == (1, 1, 0)
    assert told["findings"][0]["key"] == key
    assert told["findings"][0]["removal"] == "removed"
    assert attic.objects() == set()


def test_the_command_fails_where_an_orphan_cannot_be_removed(
    attic: Attic, attic_url: str, tmp_path: Path
) -> None:
    stuck = attic.staging.file(uuid4())
    stuck.mkdir(parents=True)
    is_old(stuck)
    is_old(attic.staged().file)

    done = shell_of(attic_url, tmp_path).run("sweep", "--remove")

    assert done.returncode == 1
    assert "saga: 1 could not be removed" in done.stderr
    assert "orphans: 2, strays: 0 (1 removed)" in done.stdout
    assert list(attic.staging.folder.iterdir()) == [stuck]


def test_the_command_fails_where_a_place_cannot_be_looked_through(
    attic: Attic, attic_url: str, tmp_path: Path
) -> None:
    attic.staged()
    (tmp_path / "a file").write_text("no folder")
    shell = shell_of(attic_url, tmp_path, STAGING_FOLDER=str(tmp_path / "a file"))

    done = shell.run("sweep", "--json")

    assert done.returncode == 1
    assert "the staging folder" in done.stderr
    assert list(json.loads(done.stdout)["notLookedThrough"]) == ["staged_file"]


def shell_of(url: str, folder: Path, **variables: str) -> Shell:
    text = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    places = {
        "STAGING_FOLDER": str(folder / "staging"),
        "OBJECT_STORE_FOLDER": str(folder / "store"),
    }
    return Shell(environment(DATABASE_URL=text, CELERY_BROKER_URL=NOBODY, **(places | variables)))


def test_what_beat_sends_calls_a_person_and_tidies(
    attic: Attic, attic_url: str, tmp_path: Path
) -> None:
    late = attic.put(attic.key(attic.compensated()))
    shell = shell_of(attic_url, tmp_path, SWEEP_GRACE_SECONDS="0.001")
    program = (
        "import logging\n"
        "from app import celery\n"
        "logging.basicConfig()\n"
        "sent = celery.conf.beat_schedule\n"
        "for name in ('sweep', 'tidy_staging'):\n"
        "    celery.tasks[sent[name]['task']]()\n"
        "    assert sent[name]['options']['queue'] == 'saga.new'\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    [alarm] = [line for line in done.stderr.splitlines() if "event=alarm" in line]
    assert late in alarm
    assert attic.files() == set()
    assert attic.objects() == {late}


@pytest.mark.parametrize("grace", ["soon", "", "48"])
def test_a_grace_time_that_is_no_duration_is_a_wrong_usage(grace: str) -> None:
    with pytest.raises(UsageError, match="--grace"):
        sweep(grace=grace)


def void(_: object) -> None:
    """Take what comes, give nothing."""
