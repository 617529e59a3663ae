"""Compiles the minimal device, once for each state of its source."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("device.c")
_OPTIONS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall")
_WITHIN_SECONDS = 120
INSTALL = "on Debian: apt-get install gcc libc6-dev"
"""How a C compiler comes here."""


class NoCompiler(Exception):
    """The device cannot be compiled here; the message says what to install."""


def digest() -> str:
    """What tells this state of the source from every other one."""
    return hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]


def binary(folder: Path, *, static: bool = False) -> Path:
    """The compiled device in a folder, where it is kept; a second call only finds it.

    ``static``: it must run alone in an image, and is otherwise so only where that can be had.
    Raises NoCompiler.
    """
    kept = folder / f"device-{digest()}{'-static' if static else ''}"
    if kept.exists():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler(
            f"the minimal device is a C program, and no C compiler is here: install one, {INSTALL}"
        )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Path(place, "device")
        said = _compile(compiler, made, "-static")
        # Not every system can make what runs alone.
        if said and not static:
            said = _compile(compiler, made)
        if said:
            raise NoCompiler(f"{compiler} does not compile the minimal device: {said}")
        made.replace(kept)
    return kept


def _compile(compiler: str, made: Path, *more: str) -> str:
    """Say what was wrong; "" where nothing was."""
    command = [compiler, *_OPTIONS, *more, "-o", str(made), str(_SOURCE)]
    try:
        done = subprocess.run(  # noqa: S603 - the compiler of whoever runs this
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_WITHIN_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip()[-500:] or "it failed"
