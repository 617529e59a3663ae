"""What is read of an APK, and what is refused before Android would have to."""

import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateways.apk import Apk, NotAnApk, read_apk, reader
from tests.apks import TINY, make_apk

pytestmark = pytest.mark.unit

MEGABYTE = 1024 * 1024
MANIFEST = "AndroidManifest.xml"
TINY_APK = Apk(
    package_name="com.example.tiny",
    version_code=7,
    version_name="1.2.3",
    min_sdk=21,
    target_sdk=33,
)


def told(content: bytes) -> dict[str, Any]:
    return reader.answer(io.BytesIO(content))


def fault(content: bytes) -> str:
    return str(told(content)["fault"])


def made(folder: Path, **changes: Any) -> dict[str, Any]:
    return told(make_apk(folder / "made.apk", **changes).read_bytes())


def with_entries(*entries: tuple[str, bytes], like: bytes = TINY.read_bytes()) -> bytes:
    """The tiny APK with more entries, deflated."""
    archive = io.BytesIO(like)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as added:
        for name, content in entries:
            added.writestr(name, content)
    return archive.getvalue()


def archive_of(*names: str, method: int = zipfile.ZIP_STORED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as new, zipfile.ZipFile(TINY) as tiny:
        for name in names:
            new.writestr(name, tiny.read(MANIFEST))
    return archive.getvalue()


def with_fields(content: bytes, name: str, fields: int, *values: int, form: str = "<H") -> bytes:
    """The archive with a field of an entry's line in the list of entries rewritten."""
    at = content.rindex(name.encode()) - 46 + fields
    changed = bytearray(content)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


# Offsets in a line of the list of entries: APPNOTE.TXT, 4.3.12.
FLAGS, METHOD, SIZES, BEGINS = 8, 10, 20, 42


def test_a_process_of_its_own_reads_what_an_apk_says_of_itself() -> None:
    assert read_apk(TINY) == TINY_APK


def test_any_package_and_version_is_read(tmp_path: Path) -> None:
    said = {
        "package_name": "org.Example_2.a.longer.name",
        "version_code": 2**31 - 1,
        "version_name": "10.0.0-beta ünïcode 版本",
        "min_sdk": 1,
        "target_sdk": 10_000,
    }
    changes = {"package" if name == "package_name" else name: it for name, it in said.items()}

    assert made(tmp_path, **changes) == {"apk": said}


def test_a_large_one_is_read_as_well_as_a_small_one(tmp_path: Path) -> None:
    apk = make_apk(tmp_path / "large.apk", size=20 * MEGABYTE)

    assert abs(apk.stat().st_size - 20 * MEGABYTE) < MEGABYTE
    assert read_apk(apk) == TINY_APK


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        pytest.param({"versionName": "other"}, "version_name", "7", id="no name: its code"),
        pytest.param({"1.2.3": ""}, "version_name", "7", id="an empty name"),
        pytest.param({"1.2.3": " \u202e\u2028\x7f "}, "version_name", "7", id="nothing to see"),
        pytest.param({"1.2.3": "@7F010001"}, "version_name", "7", id="a reference"),
        pytest.param({"1.2.3": "1\u202e\u200b\x7f.2 "}, "version_name", "1.2", id="unprintable"),
        pytest.param({"1.2.3": "9" * 10_000}, "version_name", "9" * 100, id="too long"),
        pytest.param({"1.2.3": "../../1"}, "version_name", "../../1", id="not a path to us"),
        pytest.param({"targetSdkVersion": "other"}, "target_sdk", 21, id="no target: its least"),
        pytest.param({"minSdkVersion": "other"}, "min_sdk", 1, id="no least: 1"),
        pytest.param(
            {"compileSdkVersion": "versionCodeMajor"}, "version_code", (29 << 32) + 7, id="long"
        ),
    ],
)
def test_what_a_manifest_leaves_out_is_what_android_takes(
    tmp_path: Path, words: dict[str, str], name: str, value: object
) -> None:
    assert made(tmp_path, words=words)["apk"][name] == value


@pytest.mark.parametrize(
    "package",
    [
        *("tiny", "com.", ".com.tiny", "com..tiny", "com.1tiny", "com.example.tïny", "com.a-b"),
        *("com/../../etc.passwd", "com.example.tiny\n", "com._tiny", "a." + "b" * 254),
    ],
)
def test_a_package_name_that_is_none_is_refused(tmp_path: Path, package: str) -> None:
    why = made(tmp_path, package=package)["fault"]

    assert why.startswith("names the package ")
    assert why.isprintable()
    assert len(why) < 300


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version_code": 0}, "has the versionCode 0: set one of 1 or more"),
        ({"version_code": 2**32 - 1}, "has the versionCode -1: it must be from 0 to 2147483647"),
        ({"words": {"versionCode": "other"}}, "has no versionCode that is a number: set one"),
        ({"min_sdk": 0}, "has the minSdkVersion 0: it must be from 1 to 10000"),
        ({"target_sdk": 10_001}, "has the targetSdkVersion 10001: it must be from 1 to 10000"),
        ({"min_sdk": 34}, "targets SDK 33, which is below its least, 34"),
        ({"words": {"package": "other"}}, "is not an APK: its manifest names no package"),
        ({"words": {"platformBuildVersionCode": "split"}}, "is only a part of an application"),
        (
            {"words": {"compileSdkVersionCodename": "isSplitRequired", "10.0.0": "true"}},
            "is only a part of an application",
        ),
        ({"words": {"manifest": "other"}}, "is not an APK: its manifest cannot be read"),
    ],
)
def test_what_android_would_not_install_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    assert made(tmp_path, **changes)["fault"].startswith(why)


def encrypted() -> bytes:
    return with_fields(TINY.read_bytes(), MANIFEST, FLAGS, 1)


def overlapping() -> bytes:
    """Two entries that unpack the same bytes."""
    twice = with_entries(("assets/a", os.urandom(1000)), ("assets/b", os.urandom(1000)))
    (first,) = struct.unpack_from("<L", twice, twice.rindex(b"assets/a") - 46 + BEGINS)
    return with_fields(twice, "assets/b", BEGINS, first, form="<L")


def lying() -> bytes:
    """A manifest that is said to unpack to almost 4 GB."""
    return with_fields(TINY.read_bytes(), MANIFEST, SIZES + 4, 2**32 - 2, form="<L")


def junk_in_between() -> bytes:
    """Where Android looks for the list of entries, and where others look, may be two lists."""
    content = TINY.read_bytes()
    at = content.rindex(b"PK\x05\x06")
    return content[:at] + b"junk" + content[at:]


def zip64() -> bytes:
    content = TINY.read_bytes()
    at = content.rindex(b"PK\x05\x06")
    return content[: at + 10] + b"\xff\xff" + content[at + 12 :]


def unfolding(folder: Path) -> Path:
    """A small archive whose manifest says one long string so often that no memory could hold it."""
    apk = make_apk(folder / "made.apk", words={"android.permission.INTERNET": "x" * 32_000})
    with zipfile.ZipFile(apk) as long:
        manifest = long.read(MANIFEST)
    # An element with one attribute, and its end: 56 and 24 bytes, as nothing else in there.
    at = manifest.index(struct.pack("<HHL", 0x0102, 16, 56))
    manifest = manifest[:at] + manifest[at : at + 80] * 40_000 + manifest[at + 80 :]
    manifest = manifest[:4] + struct.pack("<L", len(manifest)) + manifest[8:]
    with zipfile.ZipFile(apk, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr(MANIFEST, manifest)
    return apk


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(lambda: b"", "it is no ZIP archive", id="nothing"),
        pytest.param(lambda: b"PK\x05\x06", "it is no ZIP archive", id="a few bytes"),
        pytest.param(lambda: os.urandom(9_999), "it is no ZIP archive", id="junk"),
        pytest.param(lambda: TINY.read_bytes()[:-1], "it is no ZIP archive", id="cut off"),
        pytest.param(lambda: TINY.read_bytes() + b"junk", "after its end", id="junk after"),
        pytest.param(lambda: b"MZ" + TINY.read_bytes(), "before its beginning", id="junk before"),
        pytest.param(junk_in_between, "before its beginning or its list", id="junk in between"),
        pytest.param(lambda: archive_of(), "before its beginning", id="an empty archive"),  # noqa: PLW0108
        pytest.param(zip64, "is a ZIP64 archive", id="ZIP64"),
        pytest.param(lambda: archive_of("classes.dex"), "there is no Android", id="no manifest"),
        pytest.param(lambda: archive_of("BundleConfig.pb"), "is a bundle", id="a bundle"),
        pytest.param(lambda: archive_of("base.apk"), "is an archive of APKs", id="APKs"),
        pytest.param(
            lambda: archive_of(MANIFEST, method=zipfile.ZIP_BZIP2),
            "is compressed in a way",
            id="bzip2",
        ),
        pytest.param(encrypted, "is encrypted", id="encrypted"),
        pytest.param(overlapping, "entries that overlap", id="overlapping"),
        pytest.param(lying, "manifest of more than 4 MB", id="a lie about a size"),
        pytest.param(
            lambda: with_entries(("assets/zeros", bytes(101 * MEGABYTE))),
            "would unpack to 101 MB",
            id="a bomb",
        ),
        pytest.param(
            lambda: with_fields(
                with_entries(("assets/a", b"a")), "assets/a", SIZES + 4, 2**32 - 2, form="<L"
            ),
            "would unpack to 4096 MB",
            id="a bomb by its own words",
        ),
    ],
)
def test_what_is_no_apk_is_refused_before_it_is_unpacked(
    content: Callable[[], bytes], why: str
) -> None:
    assert why in fault(content())


@pytest.mark.parametrize(
    ("bound", "why"),
    [("_MOST_UNPACKED", "would unpack"), ("_LARGEST_DIRECTORY", "a list of entries that is too")],
)
def test_no_archive_is_larger_than_any_application(
    monkeypatch: pytest.MonkeyPatch, bound: str, why: str
) -> None:
    monkeypatch.setattr(reader, bound, 100)

    assert why in fault(TINY.read_bytes())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_manifest_is_refused() -> None:
    with zipfile.ZipFile(TINY) as tiny:
        assert "of the same name" in fault(with_entries((MANIFEST, tiny.read(MANIFEST))))


def test_many_things_that_do_no_harm_are_taken() -> None:
    many = with_entries(*((f"assets/{number}", bytes(99)) for number in range(500)))

    assert "apk" in told(many)
    assert "apk" in told(with_entries(("assets/zeros", bytes(5 * MEGABYTE))))
    assert "apk" in told(with_entries(("assets/nested.apk", TINY.read_bytes())))


def test_bits_that_flip_are_never_a_crash() -> None:
    chance = random.Random(20)
    for _ in range(30):
        content = bytearray(TINY.read_bytes())
        for _ in range(chance.choice((1, 2, 10))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        assert told(bytes(content)).keys() in ({"apk"}, {"fault"})


def test_what_takes_too_much_of_the_machine_is_ended(tmp_path: Path) -> None:
    with pytest.raises(NotAnApk, match="takes too much memory"):
        read_apk(unfolding(tmp_path))


def test_what_never_comes_to_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateways.apk.apk._WITHIN", timedelta(milliseconds=1))

    with pytest.raises(NotAnApk, match="takes too long"):
        read_apk(TINY)


def test_a_file_that_is_gone_is_not_blamed_on_who_made_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_apk(tmp_path / "gone.apk")


def test_who_reads_knows_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = tmp_path / "spy.py"
    spy.write_text('import json, os; print(json.dumps({"fault": " ".join(os.environ.values())}))')
    monkeypatch.setattr("gateways.apk.apk._READER", spy)
    monkeypatch.setenv("OBJECT_STORE_SECRET_ACCESS_KEY", "a secret")

    with pytest.raises(NotAnApk) as seen:
        read_apk(TINY)

    assert "a secret" not in str(seen.value)
