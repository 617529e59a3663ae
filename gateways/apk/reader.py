"""Reads one APK and prints what it found, as JSON: ``python reader.py <FILE``.

It runs alone, with little memory and time, and imports nothing of ours: whatever a file does to it
stays here. ``{"fault": …}`` continues the sentence "the file …".
"""

import json
import logging
import os
import re
import resource
import struct
import sys
import unicodedata
import warnings
import zipfile
from itertools import pairwise
from typing import Any, BinaryIO

MEMORY_BYTES = 256 * 1024 * 1024
CPU_SECONDS = 5

_LARGEST_MANIFEST = 4 * 1024 * 1024
_LARGEST_DIRECTORY = 16 * 1024 * 1024
_MOST_UNPACKED = 2 * 1024 * 1024 * 1024
_UNSUSPECTED_UNPACKED = 100 * 1024 * 1024
_MOST_RATIO = 100
_MEGABYTE = 1024 * 1024

_MANIFEST = "AndroidManifest.xml"
_OF_A_BUNDLE = frozenset({"BundleConfig.pb", "base/manifest/AndroidManifest.xml"})
# https://developer.android.com/build/configure-app-module#set-application-id
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_LONGEST_PACKAGE = 255
_NUMBER = re.compile(r"0x[0-9A-Fa-f]{1,8}|-?[0-9]{1,10}")
_LARGEST_CODE = 2**31 - 1
_LONGEST_VERSION = 100
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NO_TEXT = ("@", "?", "<0x")  # how pyaxmlparser shows a reference, and what it does not know
_LARGEST_SDK = 10_000

# https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7 and 4.3.16
_FIRST, _END = b"PK\x03\x04", struct.Struct("<4s4H2LH")
_ENDS = b"PK\x05\x06"
_LONGEST_COMMENT = 2**16 - 1
_LOCAL_HEADER = 30
_ZIP64_COUNT, _ZIP64_OFFSET = 2**16 - 1, 2**32 - 1
_ENCRYPTED = 0x1
_ANDROIDS_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class Fault(Exception):
    """What is wrong with the file, and what to do."""


def read(file: BinaryIO) -> dict[str, Any]:
    """What the APK says. Raises Fault, and whatever a broken file makes its libraries raise."""
    _judge_frame(file)
    with zipfile.ZipFile(file) as archive:
        _judge(archive.infolist(), archive.start_dir)
    from pyaxmlparser import APK  # noqa: PLC0415 - it takes longer than the judgement of most junk

    apk = APK(file)
    manifest = apk.get_android_manifest_xml()
    if manifest is None or not apk.valid_apk:
        raise Fault("is not an APK: its manifest cannot be read; build it with Android's tools")
    if not apk.package:
        raise Fault("is not an APK: its manifest names no package")
    _judge_whole(manifest.get("split"), apk.get_attribute_value("manifest", "isSplitRequired"))
    code = _number(apk.version_code, "versionCode", 0, _LARGEST_CODE)
    # Since Android 9 the two make one number.
    major = apk.get_attribute_value("manifest", "versionCodeMajor")
    code += _number(major or 0, "versionCodeMajor", 0, _LARGEST_CODE) << 32
    if not code:
        raise Fault("has the versionCode 0: set one of 1 or more")
    return {
        "package_name": _package(apk.package),
        "version_code": code,
        "version_name": _version(apk.version_name, code),
        **_sdks(apk.get_min_sdk_version(), apk.get_target_sdk_version()),
    }


def _judge_frame(file: BinaryIO) -> None:
    """Refuse what Android refuses: anything before or after the archive, and ZIP64.

    With that, a list of millions of entries is never loaded.
    """
    size = file.seek(0, os.SEEK_END)
    tail_begins = file.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(_ENDS)
    if at < 0 or len(tail) - at < _END.size:
        raise Fault("is not an APK: it is no ZIP archive, or only a part of one; send it whole")
    _, _, _, _, count, length, begins, comment = _END.unpack_from(tail, at)
    if count == _ZIP64_COUNT or begins == _ZIP64_OFFSET:
        raise Fault("is a ZIP64 archive, which Android does not install: build it with fewer files")
    if at + _END.size + comment != len(tail):
        raise Fault("has something after its end: sign the APK anew")
    file.seek(0)
    if file.read(len(_FIRST)) != _FIRST or begins + length != tail_begins + at:
        raise Fault("has something before its beginning or its list of entries: sign the APK anew")
    if length > _LARGEST_DIRECTORY:
        raise Fault("has a list of entries that is too long: build it with fewer files")


def _judge(entries: list[zipfile.ZipInfo], ends: int) -> None:
    """Refuse what would unpack to more than any application does, before anything is unpacked."""
    names = {entry.filename for entry in entries}
    if not names.isdisjoint(_OF_A_BUNDLE):
        raise Fault("is a bundle, not an APK: upload an APK that bundletool made of it")
    if _MANIFEST not in names and any(name.endswith(".apk") for name in names):
        raise Fault("is an archive of APKs: upload one APK that holds all of the application")
    if _MANIFEST not in names:
        raise Fault(f"is not an APK: there is no {_MANIFEST} in it")
    if len(names) < len(entries):
        raise Fault("has entries of the same name: sign the APK anew")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise Fault("is encrypted: upload the APK as Android would install it")
        if entry.compress_type not in _ANDROIDS_METHODS:
            raise Fault("is compressed in a way that Android does not know: build the APK anew")
        if entry.filename == _MANIFEST and entry.file_size > _LARGEST_MANIFEST:
            raise Fault(f"has a manifest of more than {_LARGEST_MANIFEST // _MEGABYTE} MB")
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    is_bomb = unpacked > _UNSUSPECTED_UNPACKED and unpacked / packed > _MOST_RATIO
    if is_bomb or unpacked > _MOST_UNPACKED:
        raise Fault(f"would unpack to {unpacked // _MEGABYTE} MB: an APK does not")
    # Entries that share their bytes unpack to far more than their sizes tell.
    spans = sorted(
        (entry.header_offset, entry.header_offset + _LOCAL_HEADER + entry.compress_size)
        for entry in entries
    )
    if any(end > begins for (_, end), (begins, _) in pairwise([*spans, (ends, ends)])):
        raise Fault("has entries that overlap: build the APK anew")


def _judge_whole(split: str | None, needs_splits: str | None) -> None:
    if split or needs_splits == "true":
        raise Fault(
            "is only a part of an application (a split APK): upload one APK that holds all of it"
        )


def _package(name: str) -> str:
    if len(name) > _LONGEST_PACKAGE or _PACKAGE.fullmatch(name) is None:
        raise Fault(
            f"names the package {name[:100]!a}, which is none: two or more parts of letters, "
            "digits and underscores, each with a letter first, joined by dots"
        )
    return name


def _number(text: Any, name: str, least: int, largest: int) -> int:
    if _NUMBER.fullmatch(str(text)) is None:
        raise Fault(f"has no {name} that is a number: set one")
    number = int(str(text), 16 if str(text).startswith("0x") else 10)
    if not least <= number <= largest:
        raise Fault(f"has the {name} {number}: it must be from {least} to {largest}")
    return number


def _version(text: str | None, code: int) -> str:
    """What people call the version; its code where it has no name, or only refers to one."""
    if not text or text.startswith(_NO_TEXT):
        return str(code)
    return _shown(text) or str(code)


def _shown(text: str) -> str:
    printable = "".join(char for char in text if unicodedata.category(char) not in _UNPRINTABLE)
    return printable.strip()[:_LONGEST_VERSION].strip()


def _sdks(least: Any, target: Any) -> dict[str, int]:
    min_sdk = _number(least or 1, "minSdkVersion", 1, _LARGEST_SDK)
    target_sdk = _number(target or min_sdk, "targetSdkVersion", 1, _LARGEST_SDK)
    if target_sdk < min_sdk:
        raise Fault(f"targets SDK {target_sdk}, which is below its least, {min_sdk}")
    return {"min_sdk": min_sdk, "target_sdk": target_sdk}


def answer(file: BinaryIO) -> dict[str, Any]:
    """What is found, or the fault; no file makes it raise."""
    try:
        return {"apk": read(file)}
    except Fault as fault:
        return {"fault": str(fault)}
    except zipfile.BadZipFile:
        return {"fault": "is not an APK: its archive is broken; send it again, whole"}
    except MemoryError:
        return {"fault": "is not an APK: reading it takes too much memory"}
    except ImportError:
        raise  # our own fault, and not the file's
    except Exception:  # noqa: BLE001 - the libraries raise anything for a broken file
        return {
            "fault": "is not an APK: its manifest cannot be read; build it with Android's tools"
        }


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    logging.disable()
    warnings.simplefilter("ignore")
    # Nothing but the answer is said, whatever the libraries print.
    said, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115, PTH123
    said.write(json.dumps(answer(sys.stdin.buffer)))


if __name__ == "__main__":
    main()
