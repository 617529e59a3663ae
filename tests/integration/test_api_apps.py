"""Applications over HTTP: handed in whole or not at all; of what is refused nothing is left."""

import json
import resource
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from httpx import Client
from sqlalchemy import event, text

import api.apps
from api import create_app
from gateways.apk import Apk, NotAnApk
from gateways.objects import ObjectStore
from gateways.objects.folder import FolderStore
from gateways.staging import Staging
from models import ApplicationStatus
from saga import Engine, Operator, connect
from settings import settings
from tasks.doors import NoSuchDoor
from tests.integration.by_hand import ByHand
from tests.integration.reception import (
    BOUNDARY,
    KEY,
    MEGABYTE,
    TYPE,
    Reception,
    form,
    part,
    until,
)
from tests.integration.served import assert_problem, calling, served
from workflows import upload

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def by_hand(new_database: Callable[[], str]) -> Iterator[ByHand]:
    database = connect(new_database(), pool_size=20)
    yield ByHand(database, upload)
    database.dispose()


@pytest.fixture(scope="module")
def front(by_hand: ByHand) -> Iterator[tuple[str, Client]]:
    """One server for all tests here; each finds its database and its folders empty."""
    with receiving(by_hand.engine) as front:
        yield front


@pytest.fixture
def reception(
    front: tuple[str, Client], by_hand: ByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Reception:
    reception = Reception.of(*front, by_hand, tmp_path)
    for module in ("api.apps", "tasks.app_upload"):
        monkeypatch.setattr(f"{module}.staging", lambda: reception.staging)
        monkeypatch.setattr(f"{module}.object_store", lambda: reception.store)
    return reception


@contextmanager
def receiving(engine: Engine) -> Iterator[tuple[str, Client]]:
    with served(create_app(engine, api_key=KEY)) as address, calling(address, KEY) as client:
        yield address, client


# What is handed in


def test_an_application_is_handed_in_told_and_at_last_downloaded(reception: Reception) -> None:
    apk = reception.apk(package="org.example.shop", version_code=12, version_name="2.0 beta/1")
    parts = [
        part(b"tags", b"new"),
        part(b"file", apk, b"../../etc/passwd"),
        part(b"name", "../店".encode()),
        part(b"tags", b"free"),
        part(b"description", b"two\nlines"),
    ]

    accepted = reception.send(parts)

    assert accepted.status_code == 202, accepted.text
    saga_id = accepted.json()["sagaId"]
    path = f"/api/apps/{saga_id}"
    assert accepted.json()["application"] == {
        "id": saga_id,
        "packageName": "org.example.shop",
        "versionCode": 12,
        "versionName": "2.0 beta/1",
        "name": "../店",
        "description": "two\nlines",
        "tags": ["new", "free"],
        "minSdk": 21,
        "targetSdk": 33,
        "sizeBytes": len(apk),
        "sha256": sha256(apk).hexdigest(),
        "status": "uploading",
        "isLatest": False,
    }
    assert reception.client.get(path).json() == accepted.json()["application"]
    assert reception.staged() == [f"{saga_id}.apk"]
    assert_problem(reception.client.get(f"{path}/download"), 404, "id")

    reception.by_hand.work_off()

    told = reception.client.get(path).json()
    assert (told["status"], told["isLatest"]) == ("available", True)
    got = reception.client.get(f"{path}/download")
    assert got.content == apk
    assert got.headers["content-length"] == str(len(apk))
    assert got.headers["etag"] == f'"{told["sha256"]}"'
    assert got.headers["content-type"] == "application/vnd.android.package-archive"
    named = 'attachment; filename="org.example.shop-2.0_beta_1.apk"'
    assert got.headers["content-disposition"] == named


def test_a_store_that_gives_links_is_where_a_download_is_sent(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga_id = reception.upload().json()["sagaId"]
    reception.by_hand.work_off()
    monkeypatch.setattr(FolderStore, "link", lambda *_, **__: "https://store.test/a?signed")

    sent = reception.client.get(f"/api/apps/{saga_id}/download")

    assert (sent.status_code, sent.headers["location"]) == (307, "https://store.test/a?signed")
    assert sent.headers["cache-control"] == "no-store"


def test_only_what_is_available_is_downloaded(reception: Reception) -> None:
    saga_id = reception.upload().json()["sagaId"]
    reception.by_hand.work_off()
    path = f"/api/apps/{saga_id}/download"
    assert reception.client.get(path).status_code == 200

    for status in set(ApplicationStatus) - {ApplicationStatus.AVAILABLE}:
        reception.by_hand.execute(
            "UPDATE applications SET status = :status, is_latest = false", {"status": status.value}
        )
        assert_problem(reception.client.get(path), 404, "id")


def test_a_file_that_is_not_in_the_store_is_told_as_such(reception: Reception) -> None:
    saga_id = reception.upload().json()["sagaId"]
    reception.by_hand.work_off()
    reception.store.remove(next(iter(reception.store.objects("apps/"))).key)

    answer = reception.client.get(f"/api/apps/{saga_id}/download")

    assert_problem(answer, 503)
    assert answer.headers["retry-after"]


def test_while_the_broker_is_away_an_upload_is_accepted(reception: Reception) -> None:
    reception.by_hand.broker.is_away = True

    assert reception.upload().status_code == 202
    assert (len(reception.staged()), reception.sagas()) == (1, 1)


# The same again


def test_the_same_key_file_and_fields_are_the_same_saga_and_one_file(reception: Reception) -> None:
    first, again = reception.upload(key="one"), reception.upload(key="one")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert reception.staged() == [f"{first.json()['sagaId']}.apk"]


def test_the_same_key_with_another_file_is_refused(reception: Reception) -> None:
    first = reception.upload(key="one")
    other = reception.upload(reception.apk(version_code=8), key="one")

    told = assert_problem(other, 422, "Idempotency-Key")
    assert told["sagaId"] == first.json()["sagaId"]
    assert len(reception.staged()) == 1


def test_a_version_under_way_names_its_upload_and_one_that_is_there_none(
    reception: Reception,
) -> None:
    first = reception.upload().json()["sagaId"]

    assert assert_problem(reception.upload(), 409)["sagaId"] == first
    reception.by_hand.work_off(until="upload_to_object_store")
    assert assert_problem(reception.upload(), 409)["sagaId"] == first
    reception.by_hand.work_off()
    told = assert_problem(reception.upload(), 409, "file")
    assert "sagaId" not in told
    assert "version 7 of com.example.tiny is there already (available)" in told["detail"]
    assert reception.staged() == [f"{first}.apk"]  # until beat tidies


def test_of_eight_uploads_of_a_version_at_once_one_is_accepted(reception: Reception) -> None:
    apk = reception.apk()
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda _: reception.upload(apk), range(8)))

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    (saga_id,) = {answer.json()["sagaId"] for answer in answers}
    assert reception.staged() == [f"{saga_id}.apk"]


# What is refused

FILE, NAME = part(b"file", b"PK", b"a.apk"), part(b"name", b"Tiny")


@pytest.mark.parametrize(
    ("parts", "field", "said"),
    [
        ([NAME], "file", "is missing"),
        ([FILE], "name", "is missing"),
        ([FILE, FILE, NAME], "file", "is there twice"),
        ([FILE, NAME, NAME], "name", "is there twice"),
        ([part(b"file", b"", b"a.apk"), NAME], "file", "is empty"),
        ([FILE, NAME, part(b"si\x1b\xff", b"1")], "body", "unknown part 'si\\x1b\ufffd'; there"),
        ([FILE, NAME, (b"form-data", b"1")], "body", "a part without a name"),
        ([FILE, NAME, (b"attachment; name=a", b"1")], "body", "a part without a name"),
        ([FILE, part(b"name", b"")], "name", "must not be shorter than 1"),
        ([FILE, part(b"name", b" \t ")], "name", "must not be shorter than 1"),
        ([FILE, part(b"name", b"n" * 101)], "name", "must not be longer than 100"),
        ([FILE, part(b"name", b"n" * 10_000)], "name", "must not be longer than 100"),
        ([FILE, part(b"name", b"n" * MEGABYTE)], "name", "is too long"),
        ([FILE, part(b"name", b"a\0b")], "name", "control characters"),
        ([FILE, part(b"name", b"two\nlines")], "name", "one line"),
        ([FILE, part(b"name", b"\xff\xfe")], "name", "is not in UTF-8"),
        ([FILE, part(b"name", b"\xed\xa0\x80")], "name", "is not in UTF-8"),
        ([FILE, NAME, part(b"description", b"d" * 1001)], "description", "longer than 1000"),
        ([FILE, NAME, part(b"description", b"\x1b[31m")], "description", "control characters"),
        ([FILE, NAME, *[part(b"tags", b"t")] * 11], "tags", "at most 10"),
        ([FILE, NAME, part(b"tags", b"t" * 51)], "tags.0", "must not be longer than 50"),
        ([FILE, NAME, part(b"tags", b"")], "tags.0", "must not be shorter than 1"),
        ([FILE, NAME, *[part(b"tags", b"t")] * 40], "body", "more than 32 parts"),
        ([part(b"file", b"PK", b"f" * 9000), NAME], "body", "is no form that can be read"),
        ([FILE, NAME], "file", "the file is not an APK"),
        ([part(b"file", b"no ZIP at all" * 9999, b"a.apk"), NAME], "file", "is not an APK"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_form_that_is_wrong_names_what_is(
    reception: Reception, parts: list[tuple[bytes, bytes]], field: str, said: str
) -> None:
    told = assert_problem(reception.send(parts), 422, field)

    assert said in told["detail"]
    reception.assert_nothing_left()


def bomb(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "bomb", "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("AndroidManifest.xml", "a", "b", "c"):
            made.writestr(name, bytes(70 * MEGABYTE if name != "AndroidManifest.xml" else 9))
    return (folder / "bomb").read_bytes()


def test_what_no_android_would_install_is_refused(reception: Reception) -> None:
    whole = reception.apk()
    for apk in (
        whole[:-30],
        bomb(reception.folder),
        reception.apk(package="none"),
        reception.apk(package="../../etc"),
        reception.apk(package="a." * 200 + "b"),
        reception.apk(version_code=0),
    ):
        told = assert_problem(reception.upload(apk), 422, "file")
        assert told["detail"].startswith("the file ")
        assert str(reception.folder) not in told["detail"]
        reception.assert_nothing_left()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 415),
        ("multipart/mixed; boundary=x", 415),
        ("", 415),
        ("multipart/form-data", 422),
        ('multipart/form-data; boundary=""', 422),
        (f"multipart/form-data; boundary={'x' * 300}", 422),
        ("multipart/form-data; boundary=another", 422),
    ],
)
def test_another_kind_of_body_is_refused(reception: Reception, kind: str, status: int) -> None:
    assert_problem(reception.send([FILE, NAME], headers={"Content-Type": kind}), status)
    reception.assert_nothing_left()


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_its_bounds(reception: Reception, key: str) -> None:
    assert_problem(reception.upload(key=key), 422, "Idempotency-Key")
    reception.assert_nothing_left()


def test_a_body_that_ends_before_its_form_is_refused(reception: Reception) -> None:
    whole = form([part(b"name", b"Tiny"), part(b"file", reception.apk(), b"a.apk")])
    for cut in (0, 10, len(BOUNDARY) + 40, len(whole) // 2, len(whole) - 5):
        answer = reception.client.post(
            "/api/apps", content=whole[:cut], headers={"Content-Type": TYPE.decode()}
        )
        assert "ends before" in assert_problem(answer, 422, "body")["detail"]
        reception.assert_nothing_left()


def answered(connection: Any) -> tuple[int, bytes]:
    """The status of the answer, and all of it up to the end of the connection or of its JSON."""
    got = b""
    while not got.rstrip().endswith(b"}"):
        more = connection.recv(65536)
        if not more:
            break
        got += more
    return int(got.split()[1]), got


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(reception: Reception) -> None:
    with reception.speak(b"--", length=202 * MEGABYTE) as connection:
        assert answered(connection)[0] == 413
    reception.assert_nothing_left()


def test_a_file_that_is_too_large_is_refused_while_it_comes(reception: Reception) -> None:
    begins = form([part(b"file", b"", b"a.apk")]).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    pieces = [bytes(MEGABYTE // 2)] * 5
    with reception.speak(begins, *pieces, length=None) as connection:
        status, answer = answered(connection)
    assert status == 413
    assert b"at most 2 MB" in answer
    reception.assert_nothing_left()


def test_a_client_that_sends_nothing_more_is_cut_off(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "app_upload_stall", timedelta(milliseconds=200))
    with reception.speak(form([FILE, NAME])[:150], length=9999) as connection:
        status, answer = answered(connection)
        assert status == 408
        assert b"connection: close" in answer.lower()
        assert connection.recv(10) == b""
    reception.assert_nothing_left()


def test_a_client_that_goes_away_leaves_nothing(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Log:
        def info(self, told: str, **_: Any) -> None:
            said.append(told)

    monkeypatch.setattr(api.apps, "log", Log())
    connection = reception.speak(form([FILE, NAME])[:150], length=9999)
    until(lambda: len(reception.staged()) == 1)
    connection.close()

    until(lambda: bool(said))
    assert said == ["the client went away before its file was whole"]
    reception.assert_nothing_left()


# Bad luck


def test_a_full_staging_folder_says_so(reception: Reception) -> None:
    apk = reception.apk(size=MEGABYTE + MEGABYTE // 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE // 4, before[1]))
    try:
        answer = reception.upload(apk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "full" in assert_problem(answer, 503)["detail"]
    assert answer.headers["retry-after"]
    reception.assert_nothing_left()


def test_without_a_staging_folder_nothing_is_taken_and_its_place_not_told(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Staging(reception.folder / "no" / "folder")
    monkeypatch.setattr(api.apps, "staging", lambda: nowhere)
    assert str(reception.folder) not in assert_problem(reception.upload(), 503)["detail"]

    def not_set_up() -> Staging:
        raise NoSuchDoor("no staging")

    monkeypatch.setattr(api.apps, "staging", not_set_up)
    assert "not set up" in assert_problem(reception.upload(), 503)["detail"]
    reception.assert_nothing_left()


def test_without_an_object_store_nothing_is_taken(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_set_up() -> ObjectStore:
        raise NoSuchDoor("no object store")

    monkeypatch.setattr(api.apps, "object_store", not_set_up)
    assert "not set up" in assert_problem(reception.upload(), 503)["detail"]
    reception.assert_nothing_left()


def test_while_the_database_is_away_no_file_is_kept(reception: Reception) -> None:
    away = connect("postgresql://postgres@127.0.0.1:1/none")
    engine = Engine(database=away, sagas=[upload], publisher=reception.by_hand.broker)
    with receiving(engine) as (address, client):
        there = replace(reception, address=address, client=client)
        assert_problem(there.upload(), 503)
    reception.assert_nothing_left()


def test_when_nobody_knows_if_its_saga_began_the_file_is_kept(reception: Reception) -> None:
    database = reception.by_hand.database

    def cut_off(connection: Any) -> None:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with database.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    event.listen(database, "commit", cut_off, once=True)

    assert_problem(reception.upload(), 503)
    assert len(reception.staged()) == 1


def test_a_saga_that_went_back_is_none_and_its_version_free(reception: Reception) -> None:
    first = UUID(reception.upload(key="one").json()["sagaId"])
    Operator(reception.by_hand.engine, actor="ann").cancel(first, reason="a test")
    reception.by_hand.recover()
    reception.by_hand.work_off()

    again = reception.upload(key="one")

    assert again.json() == {"sagaId": str(first), "application": None}
    assert_problem(reception.client.get(f"/api/apps/{first}"), 404, "id")
    assert reception.upload().json()["sagaId"] != str(first)


def test_while_files_are_read_other_requests_are_answered(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, most, now, lock = threading.Event(), 0, 0, threading.Lock()

    def slow(_file: Path) -> Apk:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        assert asked.wait(60)
        with lock:
            now -= 1
        raise NotAnApk("is none")

    monkeypatch.setattr(api.apps, "read_apk", slow)
    many = 50  # more than there are threads
    with ThreadPoolExecutor(many) as senders:
        answers = [senders.submit(reception.upload, b"PK") for _ in range(many)]
        try:
            until(
                lambda: sum(name.endswith(".apk") for name in reception.staged()) == many, within=10
            )
            assert_problem(reception.client.get("/api/apps/none"), 404, "id")
        finally:
            asked.set()
    assert {answer.result().status_code for answer in answers} == {422}
    assert most == api.apps.READ_AT_ONCE
    reception.assert_nothing_left()


# What is told of it


@pytest.mark.parametrize("odd", ["none", "%00", "x" * 200, "%ff", "..%2f..", "%F0%9F%98%80"])
def test_an_id_that_none_has_is_not_found(reception: Reception, odd: str) -> None:
    for path in (f"/api/apps/{odd}", f"/api/apps/{odd}/download"):
        answer = reception.client.get(path)
        assert answer.status_code == 404, path


def test_the_form_is_described_to_programs(reception: Reception) -> None:
    told = reception.client.get("/openapi.json").json()["paths"]["/api/apps"]["post"]

    shape = told["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(shape["properties"]) == {"file", "name", "description", "tags"}
    assert shape["required"] == ["file", "name"]
    expected = {"202", "401", "403", "408", "409", "413", "415", "422", "500", "503"}
    assert set(told["responses"]) == expected
    assert json.dumps(told).count("Problem") >= len(expected) - 1


def test_without_a_key_nobody_hands_anything_in(reception: Reception) -> None:
    with calling(reception.address) as stranger:
        answer = stranger.post("/api/apps", content=form([FILE, NAME]))
    assert_problem(answer, 401)
    reception.assert_nothing_left()
