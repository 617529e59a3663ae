"""Where uploads wait: whole, or not there; and what an operating system refuses, in plain words."""

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from gateways.staging import Staging, StagingAway, StagingFull, TooLarge

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).parents[2]
MEGABYTE = 1024 * 1024

# The machine takes the process away while a file is coming in.
_DIES = """
import os, signal, sys
from pathlib import Path
from uuid import UUID
from gateways.staging import Staging
with Staging(Path(sys.argv[1])).receive(UUID(sys.argv[2])) as coming:
    coming.write(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging", largest=2 * MEGABYTE)


def names(staging: Staging) -> list[str]:
    return sorted(path.name for path in staging.folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_comes_in_by_pieces_and_is_whole_with_its_size_and_sum(staging: Staging) -> None:
    saga_id = uuid4()

    with staging.receive(saga_id) as coming:
        coming.write(b"one, ")
        assert names(staging) == [f"{saga_id}.part"]
        coming.write(b"")
        coming.write(b"two")
        staged = coming.finish()

    assert names(staging) == [f"{saga_id}.apk"]
    assert (staged.id, staged.file, staged.size) == (saga_id, staging.file(saga_id), 8)
    assert staged.file.read_bytes() == b"one, two"
    assert staged.sha256 == sha256(b"one, two").hexdigest()


def test_nobody_else_may_read_what_waits(staging: Staging) -> None:
    with staging.receive(uuid4()) as coming:
        staged = coming.finish()

    assert mode(staging.folder) == 0o700
    assert mode(staged.file) == 0o600


def test_what_is_not_finished_is_not_there(staging: Staging) -> None:
    with staging.receive(uuid4()) as coming:
        coming.write(b"some")

    assert names(staging) == []


@pytest.mark.parametrize("is_whole", [False, True])
def test_an_error_leaves_nothing_even_of_a_whole_file(staging: Staging, *, is_whole: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        take(staging, b"some", is_whole=is_whole, then=KeyboardInterrupt())

    assert names(staging) == []


def test_two_come_in_at_once(staging: Staging) -> None:
    one, other = uuid4(), uuid4()

    with staging.receive(one) as first, staging.receive(other) as second:
        first.write(b"1")
        second.write(b"22")
        first.write(b"1")
        assert first.finish().size == second.finish().size == 2

    assert staging.file(one).read_bytes() == b"11"
    assert staging.file(other).read_bytes() == b"22"


def test_the_same_id_comes_in_once_at_a_time(staging: Staging) -> None:
    saga_id = uuid4()

    with staging.receive(saga_id) as coming:
        with pytest.raises(StagingAway), staging.receive(saga_id):
            pass
        coming.write(b"mine")
        coming.finish()

    assert staging.file(saga_id).read_bytes() == b"mine"


def test_a_link_laid_in_its_way_is_not_followed(staging: Staging, tmp_path: Path) -> None:
    saga_id, precious = uuid4(), tmp_path / "precious"
    precious.write_text("precious")
    staging.make()
    (staging.folder / f"{saga_id}.part").symlink_to(precious)

    with pytest.raises(StagingAway), staging.receive(saga_id):
        pass

    assert precious.read_text() == "precious"


def test_the_first_byte_too_many_is_refused_and_nothing_is_left(staging: Staging) -> None:
    with pytest.raises(TooLarge, match="at most 2 MB"):
        take(staging, bytes(2 * MEGABYTE), b"!")

    assert names(staging) == []


def test_a_copy_leaves_its_source_as_it_is(staging: Staging, tmp_path: Path) -> None:
    source = tmp_path / "given.apk"
    source.write_bytes(bytes(MEGABYTE + 1))

    staged = staging.copy(uuid4(), source)

    assert staged.file.read_bytes() == source.read_bytes()
    assert staged.size == MEGABYTE + 1


def test_a_copy_of_what_is_too_large_or_not_there_leaves_nothing(
    staging: Staging, tmp_path: Path
) -> None:
    staging.make()
    large, pipe = tmp_path / "large", tmp_path / "pipe"
    large.touch()
    os.truncate(large, staging.largest + 1)
    os.mkfifo(pipe)
    with pytest.raises(TooLarge):
        staging.copy(uuid4(), large)
    # What never ends, or waits for somebody, would keep the caller for ever.
    for unreadable in (tmp_path / "nothing", tmp_path, pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="not there, or not a regular file"):
            staging.copy(uuid4(), unreadable)

    assert names(staging) == []


def test_removing_tells_whether_there_was_anything(staging: Staging) -> None:
    with staging.receive(uuid4()) as coming:
        staged = coming.finish()

    assert staging.remove(staged.id)
    assert not staging.remove(staged.id)
    assert not Staging(staging.folder / "never made").remove(staged.id)


def test_half_a_file_of_a_process_that_was_killed_is_found_and_removed(staging: Staging) -> None:
    saga_id = uuid4()
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(staging.folder), str(saga_id)],
        cwd=PROJECT,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL

    [found] = staging.files()

    assert (found.id, found.file.suffix, found.size) == (saga_id, ".part", len("half of it"))
    assert abs(datetime.now(UTC) - found.modified_at) < timedelta(minutes=1)
    assert staging.remove(saga_id)
    assert names(staging) == []


def test_files_of_others_have_no_id(staging: Staging) -> None:
    saga_id = uuid4()
    staging.make()
    ours = {f"{saga_id}.apk", f"{saga_id}.part"}
    foreign = {f"{saga_id}", f"{saga_id}.zip", f"{saga_id.hex}.apk", "notes.txt", f"x{saga_id}.apk"}
    for name in ours | foreign:
        (staging.folder / name).touch()
    (staging.folder / "broken link.apk").symlink_to("nowhere")

    found = {file.file.name: file.id for file in staging.files()}

    assert {name for name, owner in found.items() if owner == saga_id} == ours
    assert {name for name, owner in found.items() if owner is None} == foreign | {"broken link.apk"}


def test_a_folder_that_was_never_used_holds_nothing(staging: Staging) -> None:
    assert list(staging.files()) == []


def test_a_folder_that_cannot_be_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing" / "staging", tmp_path / "file"):
        staging = Staging(folder)

        with pytest.raises(StagingAway, match="let STAGING_FOLDER be"), staging.receive(uuid4()):
            pass
        with pytest.raises(StagingAway, match="let STAGING_FOLDER be"), staging.token():
            pass


def test_a_limit_of_the_machine_on_a_file_s_size_is_no_room(staging: Staging) -> None:
    with pytest.raises(StagingFull), files_of_at_most(4096):
        take(staging, bytes(4097))

    assert names(staging) == []


def test_a_full_disk_is_told_and_leaves_room_for_others(tmp_path: Path) -> None:
    with small_disk(tmp_path, "size=1m") as disk:
        staging = Staging(disk / "staging")
        with pytest.raises(StagingFull, match="full"):
            take(staging, *[bytes(MEGABYTE // 32)] * 64)

        assert names(staging) == []
        assert staging.copy(uuid4(), Path(__file__)).size == Path(__file__).stat().st_size


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path, "ro") as disk,
        pytest.raises(StagingAway, match="Read-only"),
        Staging(disk).token(),
    ):
        pass


def test_a_token_is_read_by_who_sees_the_folder_and_gone_afterwards(
    staging: Staging, tmp_path: Path
) -> None:
    elsewhere = Staging(tmp_path / "elsewhere")
    with staging.token() as (name, text):
        assert Staging(staging.folder).read_token(name) == text
        assert elsewhere.read_token(name) is None
        assert mode(staging.folder / name) == 0o600

    assert staging.read_token(name) is None
    assert names(staging) == []


def test_no_other_file_is_read_as_a_token(staging: Staging) -> None:
    staging.make()
    (staging.folder.parent / "secret.token").write_text("secret")
    (staging.folder / "file.apk").write_text("secret")

    assert staging.read_token("../secret.token") is None
    assert staging.read_token(str(staging.folder.parent / "secret.token")) is None
    assert staging.read_token("file.apk") is None


def take(
    staging: Staging, *pieces: bytes, is_whole: bool = True, then: BaseException | None = None
) -> None:
    with staging.receive(uuid4()) as coming:
        for piece in pieces:
            coming.write(piece)
        if is_whole:
            coming.finish()
        if then is not None:
            raise then


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount can have a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
