"""What an upload may leave behind, counted where it would lie and not by who should remove it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from commands.object_sandbox import ObjectSandbox
from models import Application, ApplicationStatus


@dataclass(frozen=True)
class Remains:
    """How many things there are that belong to no application which users can have."""

    records: int
    objects: int
    uploads: int
    staged: int

    @property
    def total(self) -> int:
        return self.records + self.objects + self.uploads + self.staged

    def __str__(self) -> str:
        return ", ".join(
            f"{count} {what}{'' if count == 1 else 's'}"
            for count, what in (
                (self.records, "record"),
                (self.objects, "object"),
                (self.uploads, "unfinished upload"),
                (self.staged, "staged file"),
            )
        )

    def as_json(self) -> dict[str, int]:
        told = asdict(self)
        return {"stagedFiles" if name == "staged" else name: told[name] for name in told}


class Places:
    """The database, the object store and the staging folder of one stack."""

    def __init__(
        self, database: Engine, *, staging: Path, objects: Path, sandbox: ObjectSandbox | None
    ) -> None:
        """``objects`` is the folder of objects where there is no ``sandbox``."""
        self._database = database
        self._staging = staging
        self._objects = objects
        self._sandbox = sandbox

    def count(self) -> Remains:
        """Look into all of them. A staged file that an upload still waits for counts, too."""
        with Session(self._database) as session:
            records = session.execute(select(Application.object_key, Application.status)).all()
        owned = {key for key, status in records if status == ApplicationStatus.AVAILABLE}
        keys, uploads = self._stored()
        return Remains(
            records=len(records) - len(owned),
            objects=len([key for key in keys if key not in owned]),
            uploads=uploads,
            staged=len(_files(self._staging)),
        )

    def _stored(self) -> tuple[list[str], int]:
        if self._sandbox is not None:
            books = self._sandbox.books()
            return [found["key"] for found in books["objects"]], len(books["uploads"])
        names = [str(file.relative_to(self._objects)) for file in _files(self._objects)]
        # Whatever has another name is what somebody began to write.
        keys = [name for name in names if name.endswith(".apk")]
        return keys, len(names) - len(keys)


def _files(folder: Path) -> list[Path]:
    return [found for found in folder.rglob("*") if found.is_file()]
