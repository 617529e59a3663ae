"""Reads one APK and prints what it found, as JSON: ``python reader.py FILE``.

It runs alone, with little memory and time, and imports nothing of ours: whatever a file does to it
stays here. ``{"fault": …}`` continues the sentence "the file …".
"""

import json
import logging
import re
import resource
import sys
import unicodedata
import warnings
import zipfile
from typing import Any

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10

_MOST_ENTRIES = 65_535
_LARGEST_MANIFEST = 4 * 1024 * 1024
_LARGEST_RESOURCES = 64 * 1024 * 1024
_MOST_UNPACKED = 2 * 1024 * 1024 * 1024
_UNSUSPECTED_UNPACKED = 100 * 1024 * 1024
_MOST_RATIO = 100

_MANIFEST, _RESOURCES = "AndroidManifest.xml", "resources.arsc"
# https://developer.android.com/build/configure-app-module#set-application-id
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
_LONGEST_PACKAGE = 255
_LARGEST_CODE = 2_147_483_647
_LONGEST_VERSION = 100
_LARGEST_SDK = 10_000
_ENCRYPTED = 0x1


class Fault(Exception):
    """What is wrong with the file, and what to do."""


def read(file: str) -> dict[str, Any]:
    """What the APK says. Raises Fault, and whatever a broken file makes its libraries raise."""
    with zipfile.ZipFile(file) as archive:
        _judge(archive.infolist())
    from pyaxmlparser import APK  # noqa: PLC0415 - it takes longer than the judgement of most junk

    apk = APK(file)
    if not apk.package:
        raise Fault("is not an APK: its manifest names no package")
    return {
        "package_name": _package(apk.package),
        "version_code": _number(apk.version_code, "versionCode", _LARGEST_CODE),
        "version_name": _version(apk.version_name, apk.version_code),
        **_sdks(apk.get_min_sdk_version(), apk.get_target_sdk_version()),
    }


def _judge(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what would unpack to more than any application does, before anything is unpacked."""
    if len(entries) > _MOST_ENTRIES:
        raise Fault(f"has more than {_MOST_ENTRIES} entries: an APK has fewer")
    manifests = [entry for entry in entries if entry.filename == _MANIFEST]
    if not manifests:
        raise Fault(
            f"is not an APK: there is no {_MANIFEST} in it; of a bundle, upload the APKs made of it"
        )
    if len(manifests) > 1:
        raise Fault(f"has more than one {_MANIFEST}: sign the APK anew")
    for name, largest in ((_MANIFEST, _LARGEST_MANIFEST), (_RESOURCES, _LARGEST_RESOURCES)):
        for entry in entries:
            if entry.filename == name and entry.file_size > largest:
                raise Fault(f"has a {name} of more than {largest // 1024 // 1024} MB")
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise Fault("is encrypted: upload the APK as Android would install it")
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    is_bomb = unpacked > _UNSUSPECTED_UNPACKED and unpacked / packed > _MOST_RATIO
    if is_bomb or unpacked > _MOST_UNPACKED:
        raise Fault(f"would unpack to {unpacked // 1024 // 1024} MB: an APK does not")


def _package(name: str) -> str:
    if len(name) > _LONGEST_PACKAGE or _PACKAGE.fullmatch(name) is None:
        raise Fault(
            f"names the package {name[:50]!r}, which is none: two or more parts of letters, digits "
            "and underscores, each with a letter first, joined by dots"
        )
    return name


def _number(text: Any, name: str, largest: int) -> int:
    try:
        number = int(str(text), 0)
    except ValueError:
        raise Fault(f"has no {name} that is a number: set one") from None
    if not 1 <= number <= largest:
        raise Fault(f"has the {name} {number}: it must be from 1 to {largest}")
    return number


def _version(text: Any, code: Any) -> str:
    told = "".join(
        char for char in str(text or code) if unicodedata.category(char)[0] != "C"
    ).strip()
    return told[:_LONGEST_VERSION] or str(code)


def _sdks(least: Any, target: Any) -> dict[str, int]:
    min_sdk = _number(least or 1, "minSdkVersion", _LARGEST_SDK)
    target_sdk = _number(target or min_sdk, "targetSdkVersion", _LARGEST_SDK)
    if target_sdk < min_sdk:
        raise Fault(f"targets SDK {target_sdk}, which is below its least, {min_sdk}")
    return {"min_sdk": min_sdk, "target_sdk": target_sdk}


def answer(file: str) -> dict[str, Any]:
    """What is found, or the fault; no file makes it raise."""
    try:
        return {"apk": read(file)}
    except Fault as fault:
        return {"fault": str(fault)}
    except zipfile.BadZipFile:
        return {"fault": "is not an APK: it is no ZIP archive, or only a part of one"}
    except MemoryError:
        return {"fault": "is not an APK: reading it takes too much memory"}
    except Exception:  # noqa: BLE001 - the libraries raise anything for a broken file
        return {"fault": "is not an APK: its manifest cannot be read"}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps(answer(sys.argv[1])))


if __name__ == "__main__":
    main()
