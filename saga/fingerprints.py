"""Which shapes of definitions have shipped: a file of the project's, checked in beside them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from saga.definition import Saga
from saga.errors import SagaError


class Standing(StrEnum):
    """What the file knows of a definition."""

    KNOWN = "known"  # it has shipped with this shape
    NEW = "new"  # no such version has shipped
    CHANGED = "changed"  # it has shipped with another shape


class FingerprintsUnreadable(SagaError):
    """The file is not JSON of ``{saga type: {version: fingerprint}}``."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file} has no fingerprints: {why}")


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """``{saga type: {version: fingerprint}}`` of all that has shipped, as ``file`` has them."""

    file: Path
    shipped: dict[str, dict[str, str]]

    @classmethod
    def read(cls, file: Path) -> Self:
        """What the file says; none knows nothing. Raises FingerprintsUnreadable."""
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            told = {}
        except (OSError, ValueError) as error:
            raise FingerprintsUnreadable(file, str(error)) from error
        if not isinstance(told, dict) or not all(isinstance(each, dict) for each in told.values()):
            raise FingerprintsUnreadable(file, "it must be an object of objects")
        return cls(file=file, shipped=told)

    def standing(self, saga: Saga[Any]) -> Standing:
        shipped = self.shipped.get(saga.name, {}).get(str(saga.version))
        if shipped is None:
            return Standing.NEW
        return Standing.KNOWN if shipped == saga.fingerprint else Standing.CHANGED

    def add(self, sagas: Iterable[Saga[Any]]) -> None:
        """Write down the new ones among these. What has shipped is never written over."""
        for saga in sagas:
            if self.standing(saga) is Standing.NEW:
                self.shipped.setdefault(saga.name, {})[str(saga.version)] = saga.fingerprint
        text = json.dumps(self.shipped, indent=2, sort_keys=True)
        self.file.write_text(f"{text}\n", encoding="utf-8")
