"""What every store of objects does for us: a folder, a bucket of moto, and one of Ceph if asked."""

import hashlib
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from gateways.account import AccountFaulty
from gateways.objects import (
    Corrupt,
    ObjectMissing,
    ObjectStore,
    PendingUpload,
    StoreAway,
    StoreError,
    StoreRefused,
)
from gateways.objects.accounts import BucketAccount
from gateways.objects.bucket import BucketStore
from gateways.objects.folder import FolderStore
from gateways.objects.pieces import PIECE_BYTES
from tests.integration.bucket import PROJECT, Bucket, open_bucket
from tests.integration.radosgw import open_radosgw

pytestmark = pytest.mark.integration

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with open_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def ceph() -> Iterator[BucketAccount]:
    with open_radosgw() as account:
        yield account


@pytest.fixture(
    params=["folder", "bucket", pytest.param("ceph", marks=pytest.mark.radosgw)],
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return folder_store(tmp_path)
    if request.param == "bucket":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.store()
    account: BucketAccount = request.getfixturevalue("ceph")
    return BucketStore(account, timedelta(seconds=20))


def folder_store(above: Path) -> FolderStore:
    folder = above / "objects"
    folder.mkdir()
    return FolderStore(folder)


@pytest.fixture
def key() -> str:
    return f"apps/com.example.{uuid4().hex}/1.0_x.apk"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "staged.apk"
    path.write_bytes(CONTENT)
    return path


def put(
    store: ObjectStore,
    key: str,
    file: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
    size: int = len(CONTENT),
    sha256: str = SHA256,
) -> None:
    store.put(key, file, size=size, sha256=sha256, progress=progress)


def left(store: ObjectStore, key: str) -> tuple[list[str], list[str]]:
    """The keys of objects and uploads beside this key."""
    prefix = key.rpartition("/")[0] + "/"
    return (
        [found.key for found in store.objects(prefix)],
        [found.key for found in store.uploads(prefix)],
    )


def test_what_is_put_can_be_read_listed_and_removed(
    store: ObjectStore, key: str, file: Path
) -> None:
    told: list[int] = []
    began = datetime.now(UTC) - timedelta(seconds=2)

    put(store, key, file, progress=told.append)

    assert b"".join(store.read(key)) == CONTENT
    assert told[-1] == len(CONTENT)
    [found] = store.objects("apps/" + key.split("/")[1])
    assert (found.key, found.size_bytes) == (key, len(CONTENT))
    assert began <= found.modified_at <= datetime.now(UTC) + timedelta(seconds=2)
    assert store.matches(key, size=len(CONTENT), sha256=SHA256)
    assert not store.matches(key, size=len(CONTENT), sha256="0" * 64)
    assert not store.matches(key, size=1, sha256=SHA256)
    store.remove(key)
    assert left(store, key) == ([], [])
    with pytest.raises(ObjectMissing):
        list(store.read(key))


def test_removing_or_aborting_what_is_not_there_is_fine(store: ObjectStore, key: str) -> None:
    store.remove(key)
    store.abort(
        PendingUpload(key, "1" if isinstance(store, FolderStore) else "x", datetime.now(UTC))
    )

    assert not store.matches(key, size=1, sha256=SHA256)
    assert left(store, key) == ([], [])


def test_what_is_there_and_right_is_not_sent_again(
    store: ObjectStore, key: str, file: Path
) -> None:
    put(store, key, file)
    told: list[int] = []

    put(store, key, file, progress=told.append)

    assert told == []


def test_other_content_under_the_key_is_replaced(
    store: ObjectStore, key: str, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    put(store, key, other, size=5, sha256=hashlib.sha256(b"other").hexdigest())

    put(store, key, file)

    assert b"".join(store.read(key)) == CONTENT


@pytest.mark.parametrize("wrong", [{"size": 1}, {"sha256": "0" * 64}])
def test_a_staged_file_that_is_not_what_it_was_leaves_nothing(
    store: ObjectStore, key: str, file: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(Corrupt):
        put(store, key, file, **wrong)  # type: ignore[arg-type]

    assert left(store, key) == ([], [])


def test_what_progress_raises_ends_the_upload_and_leaves_nothing(
    store: ObjectStore, key: str, file: Path
) -> None:
    class Lost(Exception):
        pass

    def lost(_: int) -> None:
        raise Lost

    with pytest.raises(Lost):
        put(store, key, file, progress=lost)

    assert left(store, key) == ([], [])


def test_whoever_removes_the_key_stops_one_that_is_still_written(
    store: ObjectStore, key: str, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    content = bytes(PIECE_BYTES * 4)
    large.write_bytes(content)

    def remove_half_way(done: int) -> None:
        if done == PIECE_BYTES * 3:
            # In a thread of its own, as it would be in a process of its own.
            other = threading.Thread(target=store.remove, args=(key,))
            other.start()
            other.join()

    with pytest.raises(StoreError):
        put(
            *(store, key, large),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            progress=remove_half_way,
        )

    assert left(store, key) == ([], [])


def test_of_two_that_write_the_same_key_nothing_but_the_object_is_left(
    store: ObjectStore, key: str, file: Path
) -> None:
    def write() -> None:
        with suppress(StoreError):  # each ends what the other writes
            put(store, key, file)

    racing = [threading.Thread(target=write) for _ in range(2)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join(30)

    put(store, key, file)
    assert left(store, key) == ([key], [])
    assert store.matches(key, size=len(CONTENT), sha256=SHA256)


DIES = """
import os, signal, sys
from pathlib import Path
{opens}
def die(done):
    os.kill(os.getpid(), signal.SIGKILL)
store.put(sys.argv[1], Path(sys.argv[2]), size=int(sys.argv[3]), sha256="0" * 64, progress=die)
"""


def opens(store: ObjectStore) -> str:
    if isinstance(store, FolderStore):
        folder = store.name.removeprefix("folder ")
        return (
            "from gateways.objects.folder import FolderStore\n"
            f"store = FolderStore(Path({folder!r}))"
        )
    assert isinstance(store, BucketStore)
    account = store._account
    given = {name: getattr(account, name) for name in account.__dataclass_fields__}
    return (
        "from datetime import timedelta\n"
        "from gateways.objects.accounts import BucketAccount\n"
        "from gateways.objects.bucket import BucketStore\n"
        f"store = BucketStore(BucketAccount(**{given!r}), timedelta(seconds=10))"
    )


@pytest.mark.parametrize("then", ["put", "remove"])
def test_what_a_killed_process_left_half_way_is_seen_and_ended(
    store: ObjectStore, key: str, file: Path, tmp_path: Path, then: str
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(PIECE_BYTES * 2))
    program = DIES.format(opens=opens(store))
    subprocess.run(
        [sys.executable, "-c", program, key, str(large), str(PIECE_BYTES * 2)],
        cwd=PROJECT,
        check=False,
        timeout=60,
    )
    assert left(store, key) == ([], [key])

    if then == "put":
        put(store, key, file)
    else:
        store.remove(key)

    assert left(store, key) == ([key] if then == "put" else [], [])


def test_a_store_proves_that_it_can_be_written(store: ObjectStore) -> None:
    store.check()

    assert [found.key for found in store.objects("proof")] == []


# A bucket alone


@pytest.fixture
def moto(bucket: Bucket) -> Iterator[BucketStore]:
    yield bucket.store()
    bucket.forget_faults()


@pytest.mark.parametrize("kind", ["down", "error", "full", "cut"])
def test_a_bucket_in_trouble_leaves_nothing_and_may_work_again(
    moto: BucketStore, bucket: Bucket, key: str, file: Path, kind: str
) -> None:
    bucket.fault("put", kind, times=9, afterBytes=100)

    with pytest.raises(StoreAway) as told:
        put(moto, key, file)

    assert "the secret" not in str(told.value)
    bucket.forget_faults()
    moto.remove(key)
    assert left(moto, key) == ([], [])
    put(moto, key, file)


def test_a_bucket_that_is_gone_for_a_moment_is_asked_once_more(
    moto: BucketStore, bucket: Bucket, key: str, file: Path
) -> None:
    bucket.fault("put", "down")

    put(moto, key, file)


def test_a_bucket_that_is_slow_is_not_waited_for(bucket: Bucket, key: str, file: Path) -> None:
    store = BucketStore(bucket.account, timedelta(seconds=0.3))
    bucket.fault("get", "slow", times=9, seconds=1)

    with pytest.raises(StoreAway):
        put(store, key, file)

    bucket.forget_faults()
    assert left(bucket.store(), key) == ([], [])


@pytest.mark.parametrize("operation", ["get", "list", "delete"])
def test_a_bucket_that_fails_at_anything_may_work_again(
    moto: BucketStore, bucket: Bucket, key: str, file: Path, operation: str
) -> None:
    def put_and_remove() -> None:
        put(moto, key, file)
        moto.remove(key)

    bucket.fault(operation, "error", times=9)

    with pytest.raises(StoreAway):
        put_and_remove()

    bucket.forget_faults()
    moto.remove(key)
    assert left(moto, key) == ([], [])


def test_an_upload_that_was_begun_twice_as_an_answer_was_lost_is_ended(
    moto: BucketStore, bucket: Bucket, key: str, file: Path
) -> None:
    bucket.fault("put", "late", key=key)

    put(moto, key, file)

    assert left(moto, key) == ([key], [])


def test_bytes_that_a_bucket_changed_are_seen(
    moto: BucketStore, bucket: Bucket, key: str, file: Path
) -> None:
    bucket.fault("put", "wrong", times=2)

    with pytest.raises(Corrupt, match="keeps other bytes"):
        put(moto, key, file)


def test_a_bucket_that_does_not_let_us_in_is_for_a_person(
    moto: BucketStore, bucket: Bucket, key: str, file: Path
) -> None:
    bucket.fault("any", "refused", times=99)

    for asked in (
        lambda: put(moto, key, file),
        lambda: moto.remove(key),
        lambda: list(moto.objects("apps/")),
        lambda: list(moto.uploads("apps/")),
        lambda: list(moto.read(key)),
        moto.check,
    ):
        with pytest.raises(StoreRefused, match="OBJECT_STORE_"):
            asked()
    bucket.forget_faults()
    bucket.fault("put", "refused")
    with pytest.raises(StoreRefused, match="OBJECT_STORE_"):
        put(moto, key, file)


def test_a_bucket_that_is_not_there_is_for_a_person(bucket: Bucket, key: str, file: Path) -> None:
    store = Bucket(bucket.url, "no-such-bucket").store()

    for asked in (lambda: put(store, key, file), store.check, lambda: list(store.uploads("apps/"))):
        with pytest.raises(StoreRefused):
            asked()


def test_a_server_that_is_not_there_may_come(key: str, file: Path) -> None:
    store = Bucket("http://127.0.0.1:1").store()

    for asked in (lambda: put(store, key, file), store.check, lambda: store.remove(key)):
        with pytest.raises(StoreAway):
            asked()


def test_an_object_that_comes_to_light_after_its_removal_is_found_by_who_lists(
    moto: BucketStore, bucket: Bucket, key: str, file: Path
) -> None:
    bucket.fault("complete", "late", seconds=0.5, key=key)
    with pytest.raises(StoreAway):
        put(moto, key, file)
    moto.remove(key)
    assert left(moto, key) == ([], [])

    end = time.monotonic() + 20
    while left(moto, key) != ([key], []):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_link_downloads_without_a_key_and_names_the_file(
    moto: BucketStore, key: str, file: Path
) -> None:
    put(moto, key, file)

    link = moto.link(key, filename="a-1.0.apk", valid_for=timedelta(minutes=1))

    answer = httpx.get(link or "")
    assert answer.content == CONTENT
    assert answer.headers["content-disposition"] == 'attachment; filename="a-1.0.apk"'
    assert "the secret" not in (link or "")


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"OBJECT_STORE_BUCKET": "apps-here"}, 2),
        (
            {
                "OBJECT_STORE_BUCKET": "apps-here",
                "OBJECT_STORE_ACCESS_KEY_ID": "k",
                "OBJECT_STORE_SECRET_ACCESS_KEY": "s",
                "OBJECT_STORE_ENDPOINT": "minio:9000",
            },
            1,
        ),
        (
            {
                "OBJECT_STORE_BUCKET": "No Bucket",
                "OBJECT_STORE_ACCESS_KEY_ID": "k",
                "OBJECT_STORE_SECRET_ACCESS_KEY": "s",
                "OBJECT_STORE_ENDPOINT": "https://minio.test/below",
            },
            2,
        ),
    ],
)
def test_half_an_account_is_told_with_all_that_is_wrong(given: dict[str, str], faults: int) -> None:
    with pytest.raises(AccountFaulty) as faulty:
        BucketAccount.read(given)

    assert len(faulty.value.faults) == faults


# A folder alone


@pytest.mark.parametrize(
    "odd", ["../x", "apps/../../x", "/x", "apps//x", "apps/./x", "a\0b", "x#1"]
)
def test_no_key_leaves_the_folder(tmp_path: Path, file: Path, odd: str) -> None:
    store = folder_store(tmp_path)

    for asked in (lambda: put(store, odd, file), lambda: store.remove(odd)):
        with pytest.raises(StoreRefused):
            asked()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "staged.apk"]


def test_a_folder_that_is_emptied_keeps_no_empty_folders(
    tmp_path: Path, key: str, file: Path
) -> None:
    store = folder_store(tmp_path)
    put(store, key, file)

    store.remove(key)

    assert list((tmp_path / "objects").iterdir()) == []


@pytest.mark.parametrize("instead", ["a file", "nothing"])
def test_a_folder_that_is_not_mounted_is_away_and_not_empty(
    tmp_path: Path, key: str, file: Path, instead: str
) -> None:
    folder = tmp_path / "objects"
    store = FolderStore(folder)
    if instead == "a file":
        folder.write_text("in its way")

    for asked in (
        lambda: put(store, key, file),
        store.check,
        lambda: store.remove(key),
        lambda: list(store.objects("apps/")),
        lambda: list(store.uploads("apps/")),
        lambda: store.matches(key, size=1, sha256=SHA256),
    ):
        with pytest.raises(StoreAway, match="not there"):
            asked()
    assert folder.exists() == (instead == "a file")


def test_a_folder_without_room_keeps_nothing_and_says_so(
    tmp_path: Path, key: str, file: Path
) -> None:
    store = folder_store(tmp_path)

    with pytest.raises(StoreAway, match="make room"), files_of_at_most(len(CONTENT) - 1):
        put(store, key, file)

    assert left(store, key) == ([], [])


def test_a_folder_has_no_links(tmp_path: Path, key: str) -> None:
    store = FolderStore(tmp_path)

    assert store.link(key, filename="x.apk", valid_for=timedelta(minutes=1)) is None


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
