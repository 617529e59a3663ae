"""An APK, and how it is read without trusting it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

_READER = Path(__file__).with_name("reader.py")
_WITHIN = timedelta(seconds=20)


class NotAnApk(Exception):
    """The file is none that Android would install; the message continues "the file …"."""


@dataclass(frozen=True, kw_only=True)
class Apk:
    """What an APK's manifest says. ``version_code`` rises with each version of the package."""

    package_name: str
    version_code: int
    version_name: str
    min_sdk: int
    target_sdk: int


def read_apk(file: Path) -> Apk:
    """Read an APK in a process of its own, bounded in memory and time.

    Raises NotAnApk, or OSError where the file itself cannot be opened.
    """
    try:
        with file.open("rb") as given:
            done = subprocess.run(  # noqa: S603 - our own program
                # Isolated: neither our environment, with its secrets, nor our folder reach it.
                [sys.executable, "-I", str(_READER)],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                timeout=_WITHIN.total_seconds(),
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise NotAnApk("is not an APK: reading it takes too long") from None
    if done.returncode == 1:
        raise RuntimeError("no APK can be read here: is pyaxmlparser installed?")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise NotAnApk("is not an APK: reading it takes too much time or memory") from None
    if "fault" in answer:
        raise NotAnApk(str(answer["fault"]))
    return Apk(**answer["apk"])
