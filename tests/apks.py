"""APKs for tests, made of the project's own small one: other versions, packages and sizes.

The manifest inside is Android's binary XML; its layout is that of ResourceTypes.h:
https://android.googlesource.com/platform/frameworks/base/+/refs/heads/main/libs/androidfw/include/androidfw/ResourceTypes.h
"""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

TINY = Path(__file__).parents[1] / "commands" / "tiny.apk"
PACKAGE, VERSION_CODE, VERSION_NAME = "com.example.tiny", 7, "1.2.3"

_MANIFEST = "AndroidManifest.xml"
_STRING_POOL, _START_ELEMENT = 0x0001, 0x0102
_UTF8 = 1 << 8
_PIECE = bytes(1024 * 1024)


def make_apk(
    path: Path,
    *,
    package: str = PACKAGE,
    version_code: int = VERSION_CODE,
    version_name: str = VERSION_NAME,
    min_sdk: int = 21,
    target_sdk: int = 33,
    size: int | None = None,
    words: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write an APK that says this of itself; padded to about ``size`` bytes, if any.

    ``words`` are other strings of its manifest, and what stands in their place.
    """
    numbers = {
        "versionCode": version_code,
        "minSdkVersion": min_sdk,
        "targetSdkVersion": target_sdk,
    }
    with zipfile.ZipFile(TINY) as tiny, zipfile.ZipFile(path, "w") as made:
        for entry in tiny.infolist():
            content = tiny.read(entry)
            if entry.filename == _MANIFEST:
                texts = {PACKAGE: package, VERSION_NAME: version_name, **words}
                content = _renumbered(_reworded(content, texts), numbers)
            made.writestr(zipfile.ZipInfo(entry.filename), content)  # of 1980: always the same
        if size is not None:
            with made.open(zipfile.ZipInfo("assets/padding"), "w", force_zip64=True) as padding:
                for _ in range((size - TINY.stat().st_size) // len(_PIECE)):
                    padding.write(_PIECE)
    return path


def _reworded(axml: bytes, texts: Mapping[str, str]) -> bytes:
    """The binary XML with some of its strings replaced; the string pool comes first in it."""
    kind, header, size, count, _, flags, begins, _ = struct.unpack_from("<HHIIIIII", axml, 8)
    assert kind == _STRING_POOL
    strings = _strings(axml)
    new = [texts.get(text, text) for text in strings]
    encoded = [_encoded(text, flags) for text in new]
    offsets, data = [], b""
    for text in encoded:
        offsets.append(len(data))
        data += text
    data += bytes(-len(data) % 4)
    begins = header + 4 * count
    pool = struct.pack("<HHIIIIII", kind, header, begins + len(data), count, 0, flags, begins, 0)
    pool += struct.pack(f"<{count}I", *offsets) + data
    rest = axml[8 + size :]
    return struct.pack("<HHI", 0x0003, 8, 8 + len(pool) + len(rest)) + pool + rest


def _strings(axml: bytes) -> list[str]:
    _, header, _, count, _, flags, begins, _ = struct.unpack_from("<HHIIIIII", axml, 8)
    found = []
    for offset in struct.unpack_from(f"<{count}I", axml, 8 + header):
        at = 8 + begins + offset
        if flags & _UTF8:
            length = axml[at + 1]
            found.append(axml[at + 2 : at + 2 + length].decode())
        else:
            (length,) = struct.unpack_from("<H", axml, at)
            found.append(axml[at + 2 : at + 2 + 2 * length].decode("utf-16-le"))
    return found


def _encoded(text: str, flags: int) -> bytes:
    if flags & _UTF8:
        raw = text.encode()
        return bytes([len(text), len(raw)]) + raw + b"\0"
    return struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"


def _renumbered(axml: bytes, numbers: Mapping[str, int]) -> bytes:
    """The binary XML with the values of some attributes replaced."""
    strings, made = _strings(axml), bytearray(axml)
    at = 8
    while at < len(axml):
        kind, _, size = struct.unpack_from("<HHI", axml, at)
        if kind == _START_ELEMENT:
            begins, each, count = struct.unpack_from("<HHH", axml, at + 24)
            for number in range(count):
                attribute = at + 16 + begins + number * each
                (name,) = struct.unpack_from("<I", axml, attribute + 4)
                if strings[name] in numbers:
                    struct.pack_into("<I", made, attribute + 16, numbers[strings[name]])
        at += size
    return bytes(made)
